"""Schema: the tables of the SQLite store, and how those of an older version are brought up."""

import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from partsong.errors import Place, StoreError, WireError
from partsong.journal.sealed import CALLS

__all__ = ["MONEY_SINCE", "SCHEMA_VERSION", "check_ours", "lay_out", "pragma", "seen_as_now"]

SCHEMA_VERSION = 6
"""Kept in the file as `user_version`; a file of a newer version is refused, one of an older version is brought up when opened to write."""

MONEY_SINCE = 3
"""The first version that keeps costs beside the records, and calls that are not settled."""

_EPOCHS_SINCE = 4
_FEEDBACK_SINCE = 5

_APPLICATION_ID = 0x50535247
"""`PSRG`, kept in the file: tells our journals from other people's databases."""

_CALLS = """
create table calls (
    run text not null, row integer not null, step text not null, ask_hash blob not null, answered integer not null,
    model text not null, usd real not null, at_s real not null, crc integer, record blob not null,
    unique (run, row, step, ask_hash)
) strict;
"""

_CALLS_BY = """
create index calls_by_ask on calls (ask_hash) where answered = 1;
create index calls_by_cost on calls (model, at_s, run, usd) where usd > 0;
"""

_ATTEMPTS = """
create table attempts (
    run text not null, row integer not null, step text not null, ask_hash blob not null,
    model text not null, usd real not null, at_s real not null, crc integer, record blob not null
) strict;
create index attempts_by_cost on attempts (model, at_s, run, usd) where usd > 0;
create index attempts_by_row on attempts (run, row);
create table forgotten (model text not null, usd real not null, at_s real not null) strict;
"""
"""Calls that are not settled, kept for their cost; and by model and hour what forgotten runs have spent."""

_EPOCHS = """
create table epochs (name text primary key, number integer not null) strict, without rowid;
"""

_FEEDBACK = """
create table feedback (
    run text not null, row integer not null, by text not null, score real, comment text not null, at_s real not null, edited text,
    primary key (run, row, by)
) strict, without rowid;
"""

_WITH_EDITS = f"""
alter table feedback rename to feedback_older;
{_FEEDBACK}
insert into feedback select *, null from feedback_older;
drop table feedback_older;
"""  # noqa: S608 - constants alone

_SCHEMA = f"""
begin immediate;
create table runs (
    run text primary key, mesh_hash text not null, input_hash text not null, started_s real not null,
    seq integer not null default 0, output_bytes integer not null default 0, errors_bytes integer not null default 0
) strict;
{_CALLS}
{_CALLS_BY}
{_ATTEMPTS}
create table rows (
    seq integer primary key autoincrement, run text not null, row integer not null, record blob not null, crc integer,
    unique (run, row)
) strict;
create index rows_by_seq on rows (run, seq);
{_EPOCHS}
{_FEEDBACK}
pragma application_id = {_APPLICATION_ID};
pragma user_version = {SCHEMA_VERSION};
commit;
"""
"""`crc` is of the record: SQLite tells a page that makes no sense, and not a wrong letter in an answer. Older rows have none."""

_WITH_MONEY = f"""
alter table calls rename to calls_older;
{_CALLS}
insert into calls
    select run, row, step, ask_hash, answered, model_in(record), usd_in(record), at_s_in(record), crc_of(record), record
    from calls_older order by rowid;
drop table calls_older;
{_CALLS_BY}
{_ATTEMPTS}
alter table rows add column crc integer;
"""  # noqa: S608 - constants alone
"""Version 1 kept one call a step, so that a call asked otherwise at the same step was lost; version 2 kept no money beside the records."""

_FROM_OLDER = f"""
begin immediate;
{{with_money}}
{{with_epochs}}
{{with_feedback}}
pragma user_version = {SCHEMA_VERSION};
commit;
"""
"""Version 3 knew no epochs, version 4 no feedback, version 5 no edits."""


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse the database of another program, or of a newer version."""
    if pragma(connection, "application_id") != _APPLICATION_ID:
        raise StoreError(
            "store-foreign", "this is the database of another program", at=Place(str(path)), remedy="name another file as store"
        )
    version = pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        what = f"the journal has version {version}, this Partsong reads up to {SCHEMA_VERSION}"
        raise StoreError("store-newer", what, at=Place(str(path)), remedy="update Partsong, or name another file as store")


def lay_out(connection: sqlite3.Connection) -> None:
    """Lay out the tables, or those of an older version anew, each in one transaction."""
    version = pragma(connection, "user_version")
    if version == 0:
        connection.executescript(_SCHEMA)
    elif version < SCHEMA_VERSION:
        opened = lru_cache(maxsize=1)(_opened)
        connection.create_function("model_in", 1, lambda blob: opened(blob).model)
        connection.create_function("usd_in", 1, lambda blob: opened(blob).cost_usd)
        connection.create_function("at_s_in", 1, lambda blob: opened(blob).at_s)
        connection.create_function("crc_of", 1, crc32)
        connection.executescript(
            _FROM_OLDER.format(
                with_money=_WITH_MONEY if version < MONEY_SINCE else "",
                with_epochs=_EPOCHS if version < _EPOCHS_SINCE else "",
                with_feedback=_FEEDBACK if version < _FEEDBACK_SINCE else _WITH_EDITS,
            )
        )


def seen_as_now(connection: sqlite3.Connection) -> None:
    """Let a journal of an older version be read by today's names, without changing it."""
    version = pragma(connection, "user_version")
    if version < _EPOCHS_SINCE:
        connection.execute("create temp table epochs (name text primary key, number integer not null)")
    if version < _FEEDBACK_SINCE:
        connection.execute("create temp table feedback (run text, row integer, by text, score real, comment text, at_s real, edited text)")
    elif version < SCHEMA_VERSION:
        connection.execute("create temp view feedback as select *, null as edited from main.feedback")
    if version < MONEY_SINCE:
        connection.execute("create temp view calls as select rowid, *, null as crc from main.calls")
        connection.execute("create temp view rows as select rowid, *, null as crc from main.rows")


class _Cost(NamedTuple):
    model: str
    cost_usd: float
    at_s: float


def _opened(blob: bytes) -> _Cost:
    """Return what an older version's call cost; nothing if its record cannot be read, which whoever asks for it will be told."""
    try:
        call = CALLS.unpack(blob)[0]
    except (WireError, IndexError):
        return _Cost("", 0.0, 0.0)
    return _Cost(call.model, call.reply.cost_usd, call.at_s)


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the number that the file keeps under this name."""
    value = connection.execute(f"pragma {name}").fetchone()[0]
    assert isinstance(value, int)
    return value
