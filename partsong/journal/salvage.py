"""Salvage: of a damaged journal, what can be read is kept in a new one; the damaged file stays beside it.

The new journal holds no checkpoint of output files, which are written anew from it, and lacks the records that could not be read: their
rows and calls are asked again when the run goes on.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

from partsong.contracts import CallRecord, RowRecord
from partsong.errors import Place, StoreError, WireError
from partsong.journal.folder import sync_folder
from partsong.journal.owner import Owner
from partsong.journal.refusals import damaged, store_errors
from partsong.journal.schema import MONEY_SINCE, check_ours, pragma, seen_as_now
from partsong.journal.sealed import CALLS, ROWS
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import RunInfo
from partsong.wire import Codec

__all__ = ["Salvaged", "problems", "salvage", "set_aside_if_damaged"]

_RECORDS: dict[str, Codec[Any]] = {"calls": CALLS, "attempts": CALLS, "rows": ROWS}
_LESSER = ("-wal", "-shm")
_LESSER_TABLES = {"forgotten": "model, usd, at_s", "epochs": "name, number", "feedback": "run, row, by, score, comment, at_s, edited"}
_DAMAGE = frozenset({"store-corrupt", "store-not-a-database"})
_MOST_PROBLEMS = 20
_RECORDS_A_STEP = 500
_LEAST_RECORD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came of a salvage."""

    rows: int
    """Finished rows that were kept."""
    calls: int
    """Calls that were kept, those that are to be asked again included."""
    dropped: int
    """Records that were found and are not what was written; those on pages that make no sense cannot be counted."""
    damaged: Path
    """Where the damaged file is now."""


def problems(path: Path) -> list[str]:
    """Return what is wrong with the journal, page by page and record by record; nothing when it is sound. Reads all of it."""
    _check_there(path)
    try:
        with store_errors(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            check_ours(db, path)
            found = [str(problem) for (problem,) in db.execute(f"pragma integrity_check({_MOST_PROBLEMS})")]
            return list(_changed(db)) if found == ["ok"] else found
    except StoreError as error:
        if error.code not in _DAMAGE:
            raise
        return [error.problems[0].what]


def set_aside_if_damaged(path: Path) -> Path | None:
    """Rename a journal that cannot be used, and return its new name; None when it is sound or there is none."""
    if not path.is_file():
        return None
    owner = Owner.claim(path)
    try:
        return _set_aside(path) if problems(path) else None
    finally:
        owner.release()


def salvage(path: Path) -> Salvaged:
    """Put a sound journal in the place of a damaged one, with all its records that can be read and are what was written."""
    _check_there(path)
    draft = path.with_name(f"{path.name}.salvage")
    owner = Owner.claim(path)
    try:
        with store_errors(path):
            _delete(draft)
            kept = _copied(path, draft)
            aside = _set_aside(path)
            draft.rename(path)
            sync_folder(path.parent)
        return Salvaged(kept.rows, kept.calls, kept.dropped, aside)
    finally:
        _delete(draft)
        owner.release()


@dataclass(slots=True)
class _Kept:
    rows: int = 0
    calls: int = 0
    dropped: int = 0


def _copied(path: Path, draft: Path) -> _Kept:
    kept, runs = _Kept(), set[str]()
    with closing(sqlite3.connect(path, isolation_level=None)) as old, closing(SqliteStore.open(draft)) as new:
        old.execute("pragma writable_schema = on")  # lets SQLite look into a file that is shorter than it says
        check_ours(old, path)
        seen_as_now(old)
        for table in _tables(old):
            records = _records(old, table, kept)
            while some := list(islice(records, _RECORDS_A_STEP)):
                new.append(some)
                runs.update(record.run for record in some)
                kept.rows += len(some) * (table == "rows")
                kept.calls += len(some) * (table != "rows")
        for run in runs:
            new.begin(_run(old, run))
        lesser = {table: _lesser(old, table, columns) for table, columns in _LESSER_TABLES.items()}
    with closing(sqlite3.connect(draft)) as new_db, new_db:
        for table, found in lesser.items():
            columns = _LESSER_TABLES[table]
            marks = ", ".join("?" for _ in columns.split(","))
            new_db.executemany(f"insert into {table} ({columns}) values ({marks})", found)  # noqa: S608 - constants
    if not kept.rows and not kept.calls:
        raise damaged(path, "nothing of it can be read")
    return kept


def _tables(db: sqlite3.Connection) -> Sequence[str]:
    return [table for table in _RECORDS if table != "attempts" or pragma(db, "user_version") >= MONEY_SINCE]


def _records(db: sqlite3.Connection, table: str, kept: _Kept) -> Iterator[CallRecord | RowRecord]:
    """Yield what is as it was written; count what is not."""
    for crc, blob in _readable(db, table):
        try:
            if crc is not None and crc != crc32(blob):
                raise WireError("wire-invalid", "it is not what was written")
            yield _RECORDS[table].unpack(blob)[0]
        except (WireError, IndexError, TypeError):
            kept.dropped += 1


def _readable(db: sqlite3.Connection, table: str) -> Iterator[tuple[Any, Any]]:
    """Yield sum and record of all that can be reached: where a page makes no sense, by every row id that may come behind it."""
    query = f"select rowid, crc, record from {table} where rowid > ? order by rowid"  # noqa: S608 - constants
    after, last = 0, None
    while last is None or after < last:
        try:
            for row_id, crc, blob in db.execute(query, (after,)):
                after = row_id
                yield crc, blob
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            last = _last(db, table, after) if last is None else last
            after += 1
        else:
            return


def _last(db: sqlite3.Connection, table: str, after: int) -> int:
    """Return the table's last row id, or where that cannot be read the most it can be by the file's size."""
    try:
        found: int = db.execute(f"select max(rowid) from {table}").fetchone()[0]  # noqa: S608 - constants
    except sqlite3.DatabaseError:
        size_bytes: int = db.execute("pragma page_count").fetchone()[0] * db.execute("pragma page_size").fetchone()[0]
        return after + size_bytes // _LEAST_RECORD_BYTES
    return found


def _run(db: sqlite3.Connection, run: str) -> RunInfo:
    try:
        found = db.execute("select mesh_hash, input_hash, started_s from runs where run = ?", (run,)).fetchone()
    except sqlite3.DatabaseError:
        found = None
    return RunInfo(run, *found) if found else RunInfo(run, "", "", 0.0)


def _lesser(db: sqlite3.Connection, table: str, columns: str) -> Sequence[tuple[Any, ...]]:
    try:
        return db.execute(f"select {columns} from {table}").fetchall()  # noqa: S608 - constants
    except sqlite3.Error:  # damaged, or of an older version
        return []


def _changed(db: sqlite3.Connection) -> Iterator[str]:
    seen_as_now(db)
    for table in _tables(db):
        query = f"select rowid, crc, record from {table} where crc is not null"  # noqa: S608 - constants
        yield from (f"record {rowid} of {table} is not what was written" for rowid, crc, blob in db.execute(query) if crc != crc32(blob))


def _is_damage(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path) -> Path:
    """Rename the journal's files to the first free name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for lesser in _LESSER:
        found = path.with_name(path.name + lesser)
        if found.exists():
            found.rename(aside.with_name(aside.name + lesser))
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def _delete(draft: Path) -> None:
    for name in ("", *_LESSER, ".owner"):
        draft.with_name(draft.name + name).unlink(missing_ok=True)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise StoreError("store-missing", "there is no journal", at=Place(str(path)), remedy="name the folder of a run")
