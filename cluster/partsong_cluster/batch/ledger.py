"""Ledger: what the reading of a run must remember: ids, how far all rows are done, the tally. One SQLite file in the run's folder.

All of it can be had again from the journal and the input, except a copy of `run.json`: a damaged ledger is thrown away and made anew.

Ids are kept as 16-byte hashes with their row, on disk: memory stays flat over any number of rows, and rows read again after a resume
are not their own duplicates. Two of 100 million ids share a hash with probability 1.5e-23. Ids and position are committed together,
so that the position is never ahead of the ids; after a power cut both may be older, which costs reading some rows again, no more.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from partsong.errors import Place, RunError
from partsong_cluster.batch.disk import disk_errors, disk_full, not_writable
from partsong_cluster.batch.position import Position

__all__ = ["Ledger"]

_SCHEMA = """
create table if not exists ids (hash blob primary key, row integer not null) without rowid, strict;
create table if not exists facts (name text primary key, fact text not null) without rowid, strict;
"""

_CACHE_KIB = 2048
"""Ids come in no order, so that more cache only grows with the run: 16 MiB made 600,000 ids no faster (9.3 us each)."""


class Ledger:
    """May be used from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.was_damaged = False
        """Whether what was found here could not be used, so that the ledger is empty."""
        with self._opened():
            try:
                self._db = _connected(path)
            except _DamagedError:
                _delete(path)
                self._db = _connected(path)
                self.was_damaged = True
            self._db.execute("begin")

    def first_row(self, id: str, row: int) -> int:
        """Enter the id and return the first row that has it: this one, or an earlier one."""
        key = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._opened():
            if self._db.execute("insert or ignore into ids values (?, ?)", (key, row)).rowcount:
                return row
            found: int = self._db.execute("select row from ids where hash = ?", (key,)).fetchone()[0]
            return found

    def position(self) -> Position:
        """Return the position before which every row is done."""
        return Position(**(self._fact("position") or {}))

    def keep_position(self, position: Position) -> None:
        """Keep the position, with all ids entered so far."""
        self._keep("position", asdict(position))

    def tally(self) -> tuple[int, Any]:
        """Return the tally and the journal's place that it goes up to; 0 and None if there is none."""
        seq, tally = self._fact("tally") or (0, None)
        return seq, tally

    def keep_tally(self, seq: int, tally: Any) -> None:
        """Keep the tally of all rows up to this place of the journal."""
        self._keep("tally", [seq, tally])

    def manifest(self) -> Any:
        """Return the copy of the run's manifest; None if there is none."""
        return self._fact("manifest")

    def keep_manifest(self, manifest: Any) -> None:
        """Keep a copy of the run's manifest."""
        self._keep("manifest", manifest)

    def start_reading_again(self) -> None:
        """Forget ids and position (of an input that has changed, or of rows that the journal has lost)."""
        with self._opened():
            self._db.execute("delete from ids")
            self._db.execute("delete from facts where name = 'position'")
            self._commit()

    def close(self) -> None:
        """Keep what is entered and let go of the file; may be called again."""
        with self._opened():
            try:
                if self._db.in_transaction:
                    self._db.execute("commit")
            finally:
                self._db.close()

    def _fact(self, name: str) -> Any:
        with self._opened():
            found = self._db.execute("select fact from facts where name = ?", (name,)).fetchone()
        return from_json(found[0]) if found else None

    def _keep(self, name: str, fact: Any) -> None:
        with self._opened():
            self._db.execute("insert or replace into facts values (?, ?)", (name, to_json(fact).decode()))
            self._commit()

    def _commit(self) -> None:
        if self._db.in_transaction:  # a full disk may have ended it
            self._db.execute("commit")
        self._db.execute("begin")

    @contextmanager
    def _opened(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise _refusal(error, self._path) from None


class _DamagedError(Exception):
    """What is there is no ledger."""


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute(f"pragma cache_size = -{_CACHE_KIB}")
        db.executescript(_SCHEMA)
        facts = {name: from_json(fact) for name, fact in db.execute("select name, fact from facts")}
        Position(**facts.get("position", {}))
    except (sqlite3.Error, ValueError, TypeError) as error:
        db.close()
        if isinstance(error, sqlite3.Error) and not _is_damage(error):
            raise
        raise _DamagedError from error
    return db


def _is_damage(error: sqlite3.Error) -> bool:
    return _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _primary(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _refusal(error: sqlite3.Error, path: Path) -> RunError:
    if _is_damage(error):
        _delete(path)
        remedy = "run the same command again: it is made anew from the journal and the input"
        return RunError("ledger-damaged", "the run's ledger was damaged and is thrown away", at=Place(str(path)), remedy=remedy)
    match _primary(error):
        case sqlite3.SQLITE_FULL:
            return disk_full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return not_writable(path.parent)
    remedy = "make room or make the folder writable, and run the same command again: it continues"
    return RunError("ledger", f"the run's ledger cannot be used: {error}", at=Place(str(path)), remedy=remedy)


def _delete(path: Path) -> None:
    with disk_errors(path):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
