"""PostgreSQL schema: which version of the tables a database holds; Alembic's migrations beside this file make and bring them up."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partsong.errors import StoreError
from partsong.journal.postgres_address import PostgresAddress

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["REVISIONS", "VERSION_TABLE", "check_current", "lay_out"]

VERSION_TABLE = "partsong_schema"
"""Where Alembic keeps the version."""

REVISIONS: Sequence[str] = ("0001", "0002", "0003")
"""All of ours, the latest last."""

_LOCK = 0x50535200
"""Which of PostgreSQL's advisory locks lets one at a time make the tables."""


async def lay_out(connection: "AsyncConnection", address: PostgresAddress) -> None:
    """Make the tables, or bring up older ones, in the connection's transaction; one process at a time does."""
    from sqlalchemy import text

    await connection.execute(text(f"select pg_advisory_xact_lock({_LOCK})"))
    found = await _revision(connection)
    _check_known(found, address)
    if found is None and await _one(connection, "select to_regclass('calls') is not null or to_regclass('runs') is not null"):
        what = "the database holds tables of another program, of the same names as the journal's"
        raise StoreError("store-foreign", what, at=address.at, remedy="name another database, one for Partsong alone")
    if found != REVISIONS[-1]:
        await connection.run_sync(_upgraded)


async def check_current(connection: "AsyncConnection", address: PostgresAddress) -> None:
    """Raise StoreError unless the tables are there, and of this version."""
    found = await _revision(connection)
    _check_known(found, address)
    if found is None:
        raise StoreError("store-missing", "the database holds no journal", at=address.at, remedy="name the database of a run")
    if found != REVISIONS[-1]:
        what = f"the journal is of schema {found}, this Partsong reads {REVISIONS[-1]}"
        raise StoreError("store-older", what, at=address.at, remedy="go on with a run on it once: that brings it up")


def _check_known(found: str | None, address: PostgresAddress) -> None:
    if found is not None and found not in REVISIONS:
        what = f"the journal is of schema {found}, this Partsong knows up to {REVISIONS[-1]}"
        raise StoreError("store-newer", what, at=address.at, remedy="update Partsong, or name another database as store")


async def _revision(connection: "AsyncConnection") -> str | None:
    if not await _one(connection, f"select to_regclass('{VERSION_TABLE}') is not null"):
        return None
    found: str | None = await _one(connection, f"select version_num from {VERSION_TABLE}")  # noqa: S608 - a constant
    return found


async def _one(connection: "AsyncConnection", query: str) -> Any:
    from sqlalchemy import text

    return (await connection.execute(text(query))).scalar_one_or_none()


def _upgraded(connection: "Connection") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
