"""Refusals: what SQLite or the disk refuses a journal, said as StoreErrors."""

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from partsong.errors import Place, StoreError

__all__ = ["damaged", "store_errors"]

_ROOM = "make room and run the same command again: nothing written is lost"
_WRITABLE = "make the file and its folder writable"
_SALVAGE = "restore it from a copy, keep what can be read of it (partsong journal salvage), or start the run again with --fresh"

_REFUSALS: Mapping[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_FULL: ("store-full", "the disk is full", _ROOM),
    sqlite3.SQLITE_READONLY: ("store-read-only", "the journal cannot be written", _WRITABLE),
    sqlite3.SQLITE_PERM: ("store-read-only", "the journal cannot be written", _WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("store-cannot-open", "the journal cannot be opened", "check that the folder exists and may be written"),
    sqlite3.SQLITE_NOTADB: (
        "store-not-a-database",
        "the file is no SQLite database",
        "name another file as store, or restore it from a copy",
    ),
    sqlite3.SQLITE_CORRUPT: ("store-corrupt", "the journal is damaged", _SALVAGE),
    sqlite3.SQLITE_BUSY: ("store-busy", "another process holds the journal", "end what else has the file open and run the command again"),
    sqlite3.SQLITE_IOERR: ("store-io", "the disk refuses to read or write the journal", "check the disk and its free space"),
}
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
    return StoreError("store-corrupt", f"the journal is damaged: {how}", at=Place(str(path)), remedy=_SALVAGE)


def _of_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return StoreError("store-closed", f"the journal is closed ({error})", at=Place(str(path)), remedy="open it again")
    primary = extended & 0xFF
    if primary in _ROOM_OR_NOT and _is_full(path.parent):
        primary = sqlite3.SQLITE_FULL
    code, what, remedy = _REFUSALS.get(primary, ("store-failed", "SQLite failed", "report this with the lines around it"))
    return StoreError(code, f"{what} ({error.sqlite_errorname})", at=Place(str(path)), remedy=remedy)


def _of_system(error: OSError, path: Path) -> StoreError:
    at = Place(str(path))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("store-full", "the disk is full", at=at, remedy=_ROOM)
    if error.errno == errno.EROFS:
        return StoreError("store-read-only", "the journal cannot be written", at=at, remedy=_WRITABLE)
    what = f"the journal cannot be opened ({error.strerror})"
    return StoreError("store-cannot-open", what, at=at, remedy="check that the folder exists and may be written")


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES
