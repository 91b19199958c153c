"""SQLite: the embedded store, one file; write-ahead log, every transaction synced to disk before it counts."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from partsong.contracts import CallRecord, Completion, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.contracts.feedback import Feedback
from partsong.errors import Place, StoreError, WireError
from partsong.journal.fencing import check_latest
from partsong.journal.folder import make_folder
from partsong.journal.owner import Owner
from partsong.journal.refusals import damaged, store_errors
from partsong.journal.schema import MONEY_SINCE, check_ours, lay_out, pragma, seen_as_now
from partsong.journal.sealed import CALLS, ROWS, seal
from partsong.journal.store import FORGOTTEN_AT_ONCE, Published, Record, RunInfo
from partsong.wire import Codec

__all__ = ["SqliteStore"]

_BUSY_TIMEOUT_S = 5.0
_HASHES_A_QUERY = 500
_BYTES_A_LOOK = 4_000_000
"""Rows are handed out a number at a time; of large ones fewer, so that who reads all of them needs little memory."""


class SqliteStore:
    """A store in one SQLite file; may be used from any thread, by one at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path, owner: Owner | None = None, inode: int | None = None) -> None:
        self._db = connection
        self._path = path
        self._owner = owner
        self._inode = inode

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open the file; for writing it is made when missing, and refused while another process writes it."""
        with store_errors(path):
            return cls._open_to_read(path) if read_only else cls._open_to_write(path)

    @classmethod
    def _open_to_read(cls, path: Path) -> Self:
        if not path.is_file():
            raise StoreError("store-missing", "there is no journal", at=Place(str(path)), remedy="name the folder of a run")
        connection = _connected(f"{path.absolute().as_uri()}?mode=ro")
        try:
            check_ours(connection, path)
            seen_as_now(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection, path)

    @classmethod
    def _open_to_write(cls, path: Path) -> Self:
        make_folder(path.parent)
        owner = Owner.claim(path)
        connection = None
        try:
            connection = _connected(path.absolute().as_uri())
            if connection.execute("select count(*) from sqlite_master").fetchone()[0]:
                check_ours(connection, path)
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            lay_out(connection)
        except BaseException:
            if connection is not None:
                connection.close()
            owner.release()
            raise
        return cls(connection, path, owner, path.stat().st_ino)

    def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """See Store.claim."""
        with self._transaction():
            [(number,)] = self._db.execute(_CLAIM, {"name": name, "if_number": if_number}).fetchall()
        return Epoch(name=name, number=number)

    def holds(self, epoch: Epoch) -> bool:
        """See Store.holds."""
        return self._latest([epoch]) == {epoch.name: epoch.number}

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        """See Store.append."""
        sealed = seal(records)
        calls = [s for s in sealed if s.step is not None]
        settled = [
            (s.run, s.row, s.step, s.ask_hash, s.answered, s.model, s.usd, s.at_s, crc32(s.packed), s.packed) for s in calls if s.settled
        ]
        attempts = [(s.run, s.row, s.step, s.ask_hash, s.model, s.usd, s.at_s, crc32(s.packed), s.packed) for s in calls if not s.settled]
        rows = [(s.run, s.row, s.packed, crc32(s.packed)) for s in sealed if s.step is None]
        with self._transaction(under):
            self._db.executemany("insert or ignore into calls values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", settled)
            self._db.executemany("insert into attempts values (?, ?, ?, ?, ?, ?, ?, ?, ?)", attempts)
            self._db.executemany("insert or ignore into rows (run, row, record, crc) values (?, ?, ?, ?)", rows)

    def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.calls."""
        found = self._select(
            "select record, crc from calls where run = ? and row between ? and ?"
            " and not exists (select 1 from rows where rows.run = calls.run and rows.row = calls.row) order by row, rowid",
            (run, first_row, last_row),
        )
        return [self._unpacked(CALLS, *blob) for blob in found]

    def failed_calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See Store.failed_calls."""
        query = "select record, crc from calls where run = ? and row between ? and ? and answered = 0 order by row, rowid"
        return [self._unpacked(CALLS, *blob) for blob in self._select(query, (run, first_row, last_row))]

    def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        found = self._select("select row from rows where run = ? and row between ? and ?", (run, first_row, last_row))
        return frozenset(row for (row,) in found)

    def finished(self, run: str, before_row: int) -> int:
        """See Store.finished."""
        found: int = self._select("select count(*) from rows where run = ? and row < ?", (run, before_row))[0][0]
        return found

    def row(self, run: str, row: int) -> RowRecord | None:
        """See Store.row."""
        found = self._select("select record, crc from rows where run = ? and row = ?", (run, row))
        return self._unpacked(ROWS, *found[0]) if found else None

    def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See Store.rows."""
        query = "select seq, record, crc from rows where run = ? and seq > ? order by seq limit ?"
        found, held_bytes = [], 0
        with store_errors(self._path), closing(self._db.execute(query, (run, after_seq, limit))) as cursor:
            for seq, blob, crc in cursor:
                found.append((seq, blob, crc))
                held_bytes += len(blob)
                if held_bytes >= _BYTES_A_LOOK:
                    break
        return [(seq, self._unpacked(ROWS, blob, crc)) for seq, blob, crc in found]

    def cached(self, ask_hashes: Sequence[bytes], of: Collection[str] = ()) -> Mapping[bytes, Completion]:
        """See Store.cached; of several completions the first one journalled."""
        found: dict[bytes, Completion] = {}
        others = f"run not in ({', '.join('?' * len(of))})"
        for start in range(0, len(ask_hashes), _HASHES_A_QUERY):
            some = list(ask_hashes[start : start + _HASHES_A_QUERY])
            marks = ", ".join("?" * len(some))
            query = f"select ask_hash, record, crc from calls where answered = 1 and ask_hash in ({marks}) order by {others}, rowid"  # noqa: S608 - marks alone
            for ask_hash, *blob in self._select(query, [*some, *of]):
                reply = None if ask_hash in found else self._unpacked(CALLS, *blob).reply
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

    def rate(self, feedback: Iterable[Feedback]) -> None:
        """See Store.rate."""
        with self._transaction():
            self._db.executemany(_RATE, [one.model_dump() for one in feedback])

    def ratings(self, run: str, first_row: int, last_row: int) -> Sequence[Feedback]:
        """See Store.ratings."""
        found = self._select(_RATINGS, (run, first_row, last_row))
        return [
            Feedback(run=run, row=row, by=by, score=score, comment=c, at_s=at, edited=edited) for row, by, score, c, at, edited in found
        ]

    def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        found = self._select("select run, mesh_hash, input_hash, started_s from runs where run = ?", (run,))
        return RunInfo(*found[0]) if found else None

    def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """See Store.begin; a run that is there already is left as it was."""
        with self._transaction(under):
            self._db.execute(
                "insert or ignore into runs (run, mesh_hash, input_hash, started_s) values (?, ?, ?, ?)",
                (info.run, info.mesh_hash, info.input_hash, info.started_s),
            )

    def forget(self, run: str, under: Collection[Epoch] = ()) -> bool:
        """See Store.forget."""
        with self._transaction(under):
            for table in ("runs", "feedback"):
                self._db.execute(f"delete from {table} where run = ?", (run,))  # noqa: S608 - constants
            [(first,)] = self._db.execute(_FIRST_ROW, (run,) * 3).fetchall()
            if first is None:
                return False
            for statement in _FORGET:
                self._db.execute(statement, (run, first + FORGOTTEN_AT_ONCE))
        return True

    def published(self, run: str) -> Published:
        """See Store.published; of a run that is not there, nothing is published."""
        found = self._select("select seq, output_bytes, errors_bytes from runs where run = ?", (run,))
        return Published(*found[0]) if found else Published()

    def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """See Store.publish."""
        with self._transaction(under):
            changed = self._db.execute(
                "update runs set seq = ?, output_bytes = ?, errors_bytes = ? where run = ?",
                (published.seq, published.output_bytes, published.errors_bytes, run),
            ).rowcount
            if not changed:
                raise StoreError("store-unknown-run", f"the journal has no run {run!r}", at=Place(str(self._path)), remedy="begin it first")

    def close(self) -> None:
        """See Store.close; may be called again."""
        with store_errors(self._path):
            self._db.close()
        if self._owner is not None:
            self._owner.release()
            self._owner = None

    def _latest(self, epochs: Collection[Epoch]) -> Mapping[str, int]:
        if not epochs:
            return {}
        names = [epoch.name for epoch in epochs]
        marks = ", ".join("?" * len(names))
        return dict(self._select(f"select name, number from epochs where name in ({marks})", names))  # noqa: S608 - marks alone

    def _check_keeps_money(self) -> None:
        with store_errors(self._path):
            version = pragma(self._db, "user_version")
        if version < MONEY_SINCE:
            what = f"the journal is of version {version}, which keeps no costs apart"
            raise StoreError("store-older", what, at=Place(str(self._path)), remedy="go on with a run on it once: that brings it up")

    @contextmanager
    def _transaction(self, under: Collection[Epoch] = ()) -> Iterator[None]:
        with store_errors(self._path):
            self._db.execute("begin immediate")
            try:
                check_latest(under, self._latest(under))
                yield
                self._check_there()
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    def _check_there(self) -> None:
        """Refuse to write into a file that nobody can find any more: SQLite does not mind, and all of it would be lost at the end."""
        if self._inode is None:
            return
        try:
            there = self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            what = "the journal's file was deleted or replaced while a run was writing it"
            remedy = "put it back (or a copy of it) and run the same command again; without it the run has to start again with --fresh"
            raise StoreError("store-gone", what, at=Place(str(self._path)), remedy=remedy)

    def _select(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with store_errors(self._path):
            return self._db.execute(query, values).fetchall()

    def _unpacked(self, codec: Codec[Any], blob: bytes, crc: int | None) -> Any:
        if crc is not None and crc != crc32(blob):
            raise damaged(self._path, "a record is not what was written")
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

_CLAIM = """
insert into epochs (name, number) values (:name, 1)
on conflict (name) do update set number = number + (:if_number is null or number = :if_number) returning number
"""
_RATE = """
insert into feedback (run, row, by, score, comment, at_s, edited) values (:run, :row, :by, :score, :comment, :at_s, :edited)
on conflict (run, row, by) do update set score = coalesce(excluded.score, score), edited = coalesce(excluded.edited, edited),
comment = iif(excluded.score is null and excluded.comment = '', comment, excluded.comment), at_s = excluded.at_s
where excluded.at_s >= feedback.at_s
"""
_RATINGS = "select row, by, score, comment, at_s, edited from feedback where run = ? and row between ? and ? order by row, by"
_FIRST_ROW = """
select min(row) from (
    select min(row) as row from calls where run = ? union all select min(row) from attempts where run = ?
    union all select min(row) from rows where run = ?
)
"""
_INTO_FORGOTTEN = """
insert into forgotten select model, sum(usd), max(at_s) from {} where run = ? and row < ? and usd > 0
group by model, cast(at_s / 3600 as integer)
"""
_FORGET = (
    *(_INTO_FORGOTTEN.format(table) for table in ("calls", "attempts")),
    *(f"delete from {table} where run = ? and row < ?" for table in ("calls", "attempts", "rows")),  # noqa: S608 - constants
)


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
