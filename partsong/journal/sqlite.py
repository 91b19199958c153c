"""SQLite: the embedded store, one file; write-ahead log, every transaction synced to disk before it counts."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.errors import Place, StoreError, WireError
from partsong.journal.owner import Owner
from partsong.journal.sealed import CALLS, ROWS, seal
from partsong.journal.store import Published, Record, RunInfo
from partsong.wire import Codec

__all__ = ["SCHEMA_VERSION", "SqliteStore"]

SCHEMA_VERSION = 3
"""Kept in the file as `user_version`; a file of a newer version is refused, one of an older version is brought up when opened to write."""

_APPLICATION_ID = 0x50535247
"""`PSRG`, kept in the file: tells our journals from other people's databases."""

_BUSY_TIMEOUT_S = 5.0
_HASHES_A_QUERY = 500

_CALLS = """
create table calls (
    run text not null, row integer not null, step text not null, ask_hash blob not null, answered integer not null,
    model text not null, usd real not null, at_s real not null, record blob not null,
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
    model text not null, usd real not null, at_s real not null, record blob not null
) strict;
create index attempts_by_cost on attempts (model, at_s, run, usd) where usd > 0;
create index attempts_by_row on attempts (run, row);
create table forgotten (model text not null, usd real not null, at_s real not null) strict;
"""
"""Calls that are not settled, kept for their cost; and by model and hour what forgotten runs have spent."""

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
    seq integer primary key autoincrement, run text not null, row integer not null, record blob not null,
    unique (run, row)
) strict;
create index rows_by_seq on rows (run, seq);
pragma application_id = {_APPLICATION_ID};
pragma user_version = {SCHEMA_VERSION};
commit;
"""

_FROM_OLDER = f"""
begin immediate;
alter table calls rename to calls_older;
{_CALLS}
insert into calls
    select run, row, step, ask_hash, answered, model_in(record), usd_in(record), at_s_in(record), record from calls_older order by rowid;
drop table calls_older;
{_CALLS_BY}
{_ATTEMPTS}
pragma user_version = {SCHEMA_VERSION};
commit;
"""  # noqa: S608 - constants alone
"""Version 1 kept one call a step, so that a call asked otherwise at the same step was lost; version 2 kept no money beside the records."""


class SqliteStore:
    """A store in one SQLite file; may be used from any thread, by one at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path, owner: Owner | None = None) -> None:
        self._db = connection
        self._path = path
        self._owner = owner

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> "SqliteStore":
        """Open the file; for writing it is made when missing, and refused while another process writes it."""
        with _errors_at(path):
            return cls._open_to_read(path) if read_only else cls._open_to_write(path)

    @classmethod
    def _open_to_read(cls, path: Path) -> "SqliteStore":
        if not path.is_file():
            raise StoreError("store-missing", "there is no journal", at=Place(str(path)), remedy="name the folder of a run")
        connection = _connected(f"{path.absolute().as_uri()}?mode=ro")
        try:
            _check_ours(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    @classmethod
    def _open_to_write(cls, path: Path) -> "SqliteStore":
        path.parent.mkdir(parents=True, exist_ok=True)
        owner = Owner.claim(path)
        connection = None
        try:
            connection = _connected(path.absolute().as_uri())
            if connection.execute("select count(*) from sqlite_master").fetchone()[0]:
                _check_ours(connection, path)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            version = _pragma(connection, "user_version")
            if version == 0:
                connection.executescript(_SCHEMA)
            elif version < SCHEMA_VERSION:
                _bring_up(connection)
        except BaseException:
            if connection is not None:
                connection.close()
            owner.release()
            raise
        return cls(connection, path, owner)

    def append(self, records: Iterable[Record]) -> None:
        """See Store.append."""
        sealed = seal(records)
        calls = [s for s in sealed if s.step is not None]
        settled = [(s.run, s.row, s.step, s.ask_hash, s.answered, s.model, s.usd, s.at_s, s.packed) for s in calls if s.settled]
        attempts = [(s.run, s.row, s.step, s.ask_hash, s.model, s.usd, s.at_s, s.packed) for s in calls if not s.settled]
        rows = [(s.run, s.row, s.packed) for s in sealed if s.step is None]
        with self._transaction():
            self._db.executemany("insert or ignore into calls values (?, ?, ?, ?, ?, ?, ?, ?, ?)", settled)
            self._db.executemany("insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?)", attempts)
            self._db.executemany("insert or ignore into rows (run, row, record) values (?, ?, ?)", rows)

    def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.calls."""
        found = self._select(
            "select record from calls where run = ? and row between ? and ?"
            " and not exists (select 1 from rows where rows.run = calls.run and rows.row = calls.row) order by row, rowid",
            (run, first_row, last_row),
        )
        return [self._unpacked(CALLS, blob) for (blob,) in found]

    def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        found = self._select("select row from rows where run = ? and row between ? and ?", (run, first_row, last_row))
        return frozenset(row for (row,) in found)

    def row(self, run: str, row: int) -> RowRecord | None:
        """See Store.row."""
        found = self._select("select record from rows where run = ? and row = ?", (run, row))
        return self._unpacked(ROWS, found[0][0]) if found else None

    def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        found = self._select("select seq, record from rows where run = ? and seq > ? order by seq limit ?", (run, after_seq, limit))
        return [(seq, self._unpacked(ROWS, blob)) for seq, blob in found]

    def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        """See Store.cached; of several completions the first one journalled."""
        found: dict[bytes, Completion] = {}
        for start in range(0, len(ask_hashes), _HASHES_A_QUERY):
            some = list(ask_hashes[start : start + _HASHES_A_QUERY])
            marks = ", ".join("?" * len(some))
            query = f"select ask_hash, record from calls where answered = 1 and ask_hash in ({marks}) order by rowid"  # noqa: S608 - marks alone
            for ask_hash, blob in self._select(query, some):
                reply = None if ask_hash in found else self._unpacked(CALLS, blob).reply
                if isinstance(reply, Completion):
                    found[ask_hash] = reply
        return found

    def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """See Store.spent."""
        self._check_keeps_money()
        found = self._select(_SPENT_BY_ALL, (since_s,) * 3) if run is None else self._select(_SPENT_BY_RUN, (since_s, run) * 2)
        usd: dict[str, float] = {}
        for model, usd_of_a_table in found:
            usd[model] = usd.get(model, 0.0) + usd_of_a_table
        return usd

    def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        found = self._select("select run, mesh_hash, input_hash, started_s from runs where run = ?", (run,))
        return RunInfo(*found[0]) if found else None

    def begin(self, info: RunInfo) -> None:
        """See Store.begin; a run that is there already is left as it was."""
        with self._transaction():
            self._db.execute(
                "insert or ignore into runs (run, mesh_hash, input_hash, started_s) values (?, ?, ?, ?)",
                (info.run, info.mesh_hash, info.input_hash, info.started_s),
            )

    def forget(self, run: str) -> None:
        """See Store.forget."""
        with self._transaction():
            for table in ("calls", "attempts"):
                self._db.execute(
                    f"insert into forgotten select model, sum(usd), max(at_s) from {table} where run = ? and usd > 0"  # noqa: S608 - constants
                    " group by model, cast(at_s / 3600 as integer)",
                    (run,),
                )
            self._db.execute("delete from runs where run = ?", (run,))
            self._db.execute("delete from calls where run = ?", (run,))
            self._db.execute("delete from attempts where run = ?", (run,))
            self._db.execute("delete from rows where run = ?", (run,))

    def published(self, run: str) -> Published:
        """See Store.published; of a run that is not there, nothing is published."""
        found = self._select("select seq, output_bytes, errors_bytes from runs where run = ?", (run,))
        return Published(*found[0]) if found else Published()

    def publish(self, run: str, published: Published) -> None:
        """See Store.publish."""
        with self._transaction():
            changed = self._db.execute(
                "update runs set seq = ?, output_bytes = ?, errors_bytes = ? where run = ?",
                (published.seq, published.output_bytes, published.errors_bytes, run),
            ).rowcount
            if not changed:
                raise StoreError("store-unknown-run", f"the journal has no run {run!r}", at=Place(str(self._path)), remedy="begin it first")

    def close(self) -> None:
        """See Store.close; may be called again."""
        with _errors_at(self._path):
            self._db.close()
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    def _check_keeps_money(self) -> None:
        with _errors_at(self._path):
            version = _pragma(self._db, "user_version")
        if version < SCHEMA_VERSION:
            what = f"the journal is of version {version}, which keeps no costs apart"
            raise StoreError("store-older", what, at=Place(str(self._path)), remedy="go on with a run on it once: that brings it up")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors_at(self._path):
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    def _select(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with _errors_at(self._path):
            return self._db.execute(query, values).fetchall()

    def _unpacked(self, codec: Codec[Any], blob: bytes) -> Any:
        try:
            return codec.unpack(blob)[0]
        except (WireError, IndexError) as error:
            what = error.problems[0].what if isinstance(error, WireError) else "it is empty"
            remedy = "read it with the version of Partsong that wrote it, or start the run again with --fresh"
            raise StoreError(
                "store-bad-record", f"a record of the journal cannot be read: {what}", at=Place(str(self._path)), remedy=remedy
            ) from None


_SPENT_BY_ALL = """
select model, sum(usd) from calls where usd > 0 and at_s >= ? group by model
union all select model, sum(usd) from attempts where usd > 0 and at_s >= ? group by model
union all select model, sum(usd) from forgotten where at_s >= ? group by model
"""
_SPENT_BY_RUN = """
select model, sum(usd) from calls where usd > 0 and at_s >= ? and +run = ? group by model
union all select model, sum(usd) from attempts where usd > 0 and at_s >= ? and +run = ? group by model
"""
"""`+run` keeps to the index by cost, which holds all that is asked for: five times as fast as going by the run to its records."""


def _bring_up(connection: sqlite3.Connection) -> None:
    """Lay out the tables of an older version anew, in one transaction."""
    opened = lru_cache(maxsize=1)(_opened)
    connection.create_function("model_in", 1, lambda blob: opened(blob).model)
    connection.create_function("usd_in", 1, lambda blob: opened(blob).cost_usd)
    connection.create_function("at_s_in", 1, lambda blob: opened(blob).at_s)
    connection.executescript(_FROM_OLDER)


def _opened(blob: bytes) -> "_Cost":
    """Return what an older version's call cost; nothing if its record cannot be read, which whoever asks for it will be told."""
    try:
        call = CALLS.unpack(blob)[0]
    except (WireError, IndexError):
        return _Cost("", 0.0, 0.0)
    return _Cost(call.model, call.reply.cost_usd, call.at_s)


class _Cost(NamedTuple):
    model: str
    cost_usd: float
    at_s: float


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value = connection.execute(f"pragma {name}").fetchone()[0]
    assert isinstance(value, int)
    return value


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != _APPLICATION_ID:
        raise StoreError(
            "store-foreign", "this is the database of another program", at=Place(str(path)), remedy="name another file as store"
        )
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        what = f"the journal has version {version}, this Partsong reads up to {SCHEMA_VERSION}"
        raise StoreError("store-newer", what, at=Place(str(path)), remedy="update Partsong, or name another file as store")


_TROUBLES: Mapping[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_FULL: ("store-full", "the disk is full", "make room and run the same command again: nothing written is lost"),
    sqlite3.SQLITE_READONLY: ("store-read-only", "the journal cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_PERM: ("store-read-only", "the journal cannot be written", "make the file and its folder writable"),
    sqlite3.SQLITE_CANTOPEN: ("store-cannot-open", "the journal cannot be opened", "check that the folder exists and may be written"),
    sqlite3.SQLITE_NOTADB: ("store-not-a-database", "the file is no SQLite database", "name another file as store"),
    sqlite3.SQLITE_CORRUPT: (
        "store-corrupt",
        "the journal is damaged",
        "restore the file from a copy, or start the run again with --fresh",
    ),
    sqlite3.SQLITE_BUSY: ("store-busy", "another process holds the journal", "end what else has the file open and run the command again"),
    sqlite3.SQLITE_IOERR: ("store-io", "the disk refuses to read or write the journal", "check the disk and its free space"),
}


@contextmanager
def _errors_at(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        extended: int | None = getattr(error, "sqlite_errorcode", None)
        if extended is None:
            raise StoreError("store-closed", f"the journal is closed ({error})", at=Place(str(path)), remedy="open it again") from error
        name = error.sqlite_errorname
        code, what, remedy = _TROUBLES.get(extended & 0xFF, ("store-failed", "SQLite failed", "report this with the lines around it"))
        raise StoreError(code, f"{what} ({name})", at=Place(str(path)), remedy=remedy) from error
    except OSError as error:
        raise StoreError(
            "store-cannot-open", f"the journal cannot be opened ({error.strerror})", at=Place(str(path)), remedy=_FOLDER
        ) from error


_FOLDER = "check that the folder exists and may be written"
