"""Refusals: what SQLite or the disk refuses a journal, said as StoreErrors."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from partsong.errors import Place, StoreError

__all__ = ["damaged", "store_errors"]

_ROOM_OR_NOT = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite also says when there is no room for one of its lesser files."""
_LEAST_FREE_BYTES = 1 << 16


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Raise StoreError in place of what SQLite or the system raises over the journal."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, path) from error
    except OSError as error:
        raise _of_system(error, path) from error


def damaged(path: Path, how: str) -> StoreError:
    """Return the error of a journal whose content cannot be right."""
    return StoreError(
        "store-corrupt",
        f"the journal is damaged: {how}",
        at=Place(str(path)),
        remedy="keep what can be read of it (partsong journal salvage), restore it from a copy, or start the run again with --fresh",
    )


def _of_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    at = Place(str(path))
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return StoreError("store-closed", f"the journal is closed ({error})", at=at, remedy="open it again")
    primary, name = extended & 0xFF, error.sqlite_errorname
    if primary in _ROOM_OR_NOT and _is_full(path.parent):
        primary = sqlite3.SQLITE_FULL
    match primary:
        case sqlite3.SQLITE_FULL:
            return _full(at)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return _read_only(at)
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, name)
        case sqlite3.SQLITE_NOTADB:
            remedy = "name another file as store, or restore it from a copy"
            return StoreError("store-not-a-database", f"the file is no SQLite database ({name})", at=at, remedy=remedy)
        case sqlite3.SQLITE_BUSY:
            remedy = "end what else has the file open and run the same command again"
            return StoreError("store-busy", f"another process holds the journal ({name})", at=at, remedy=remedy)
        case sqlite3.SQLITE_CANTOPEN:
            return _cannot_open(at, name)
        case sqlite3.SQLITE_IOERR:
            remedy = "check the disk and its free space, and run the same command again: nothing written is lost"
            return StoreError("store-io", f"the disk refuses to read or write the journal ({name})", at=at, remedy=remedy)
    return StoreError("store-failed", f"SQLite failed ({name})", at=at, remedy="report this with the lines around it")


def _of_system(error: OSError, path: Path) -> StoreError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return _full(Place(str(path)))
        case errno.EROFS:
            return _read_only(Place(str(path)))
    return _cannot_open(Place(str(path)), error.strerror or type(error).__name__)


def _full(at: Place) -> StoreError:
    return StoreError("store-full", "the disk is full", at=at, remedy="make room and run the same command again: nothing written is lost")


def _read_only(at: Place) -> StoreError:
    return StoreError("store-read-only", "the journal cannot be written", at=at, remedy="make the file and its folder writable")


def _cannot_open(at: Place, why: str) -> StoreError:
    remedy = "check that the folder exists and may be written"
    return StoreError("store-cannot-open", f"the journal cannot be opened ({why})", at=at, remedy=remedy)


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES
