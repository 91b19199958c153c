"""PostgreSQL's refusals, said as StoreErrors: what passes when the server is back, and what a person has to mend."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from partsong.errors import StoreError
from partsong.journal.away import away
from partsong.journal.postgres_address import PostgresAddress

__all__ = ["kind_of", "postgres_errors"]

Kind = Literal["lost", "crossed", "refused"]

_AWAY_CLASSES = frozenset({"08", "57"})
"""Connections lost, and servers that shut down, start, or end a session."""
_READ_ONLY = "25006"
_AWAY = frozenset({_READ_ONLY, "25P03", "53300"})
"""A stand-by after a fail-over, a session that was idle for too long, too many connections."""
_CROSSED = frozenset({"40001", "40P01", "55P03"})
"""Two transactions that waited for one another: one of them is to do it again."""
_CANCELLED = "57014"

_WHO = frozenset({"28000", "28P01"})
_NO_DATABASE = "3D000"
_NO_RIGHT = "42501"
_FULL = "53100"
_OTHER_TABLES = frozenset({"42P01", "42703"})


@contextmanager
def postgres_errors(address: PostgresAddress, *, read_only: bool) -> Iterator[None]:
    """Raise StoreError in place of what the driver raises."""
    try:
        yield
    except Exception as error:
        if read_only and _state(error) == _READ_ONLY:
            raise StoreError("store-read-only", "the journal was opened to be read", at=address.at, remedy="open it to write") from error
        said = _said(error, address)
        if said is None:
            raise
        raise said from error


def kind_of(error: BaseException) -> Kind:
    """Return what is to be done about it: reach the server again, do the same again, or neither."""
    state = _state(error)
    if state in _CROSSED:
        return "crossed"
    return "lost" if _is_lost(error, state) else "refused"


def _said(error: Exception, address: PostgresAddress) -> StoreError | None:
    state = _state(error)
    if _is_lost(error, state):
        return away(f"PostgreSQL cannot be reached ({_why(error, state)})", address.at)
    if state is None:
        return _of_client(error, address)
    if state in _WHO:
        remedy = "name the variable that holds the password: ?password_env=NAME, or set PGPASSWORD, on every node where a journal may run"
        return StoreError("store-refused", f"PostgreSQL does not let {address.user or 'this user'} in", at=address.at, remedy=remedy)
    if state == _NO_DATABASE:
        remedy = f"make it: createdb {address.database}"
        return StoreError("store-missing", f"PostgreSQL has no database {address.database!r}", at=address.at, remedy=remedy)
    if state == _NO_RIGHT:
        remedy = f"make this user the owner of the database {address.database}"
        return StoreError("store-refused", "the user may not do this in the database", at=address.at, remedy=remedy)
    if state == _FULL:
        remedy = "make room on PostgreSQL's disk, and run the same command again: nothing written is lost"
        return StoreError("store-full", "PostgreSQL's disk is full", at=address.at, remedy=remedy)
    if state in _OTHER_TABLES:
        remedy = "restore it from a copy, or name another database"
        return StoreError("store-changed", "the journal's tables are not as Partsong made them", at=address.at, remedy=remedy)
    remedy = "see PostgreSQL's log, and report this with the lines around it"
    return StoreError("store-failed", f"PostgreSQL failed ({_why(error, state)})", at=address.at, remedy=remedy)


def _of_client(error: Exception, address: PostgresAddress) -> StoreError | None:
    """Say what the driver itself refuses."""
    from asyncpg.exceptions import ClientConfigurationError

    behind = list(_behind(error))
    if any(isinstance(one, ssl.SSLError) for one in behind):
        remedy = "see that its certificate is of this host and of an authority that `sslrootcert` names"
        return StoreError("store-refused", f"PostgreSQL's TLS is not to be trusted ({_why(error, None)})", at=address.at, remedy=remedy)
    if any(isinstance(one, ClientConfigurationError) for one in behind):
        remedy = "write postgresql://user@host/database?sslmode=verify-full"
        return StoreError("store-scheme", "the store's address cannot be used", at=address.at, remedy=remedy)
    return None


def _is_lost(error: BaseException, state: str | None) -> bool:
    if state is not None:
        return state != _CANCELLED and (state[:2] in _AWAY_CLASSES or state in _AWAY)
    from asyncpg.exceptions import InterfaceError, InternalClientError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    # asyncpg trips over itself (InternalClientError) where a server that shuts down ends a session just as a transaction begins
    lost = (OSError, TimeoutError, asyncio.IncompleteReadError, PoolTimeoutError, InternalClientError)
    return any((isinstance(one, lost) and not isinstance(one, ssl.SSLError)) or type(one) is InterfaceError for one in _behind(error))


def _state(error: BaseException) -> str | None:
    """Return PostgreSQL's five letters."""
    for one in _behind(error):
        state = getattr(one, "sqlstate", None)
        if isinstance(state, str) and state:
            return state
    return None


def _why(error: BaseException, state: str | None) -> str:
    name = type(list(_behind(error))[-1]).__name__
    return name if state is None else f"{state} {name}"


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and those that it stands for."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = getattr(one, "orig", None) or one.__cause__
