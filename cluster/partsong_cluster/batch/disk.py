"""Disk: what the disk refuses, said as errors of the run; files replaced in one step."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from partsong.errors import Place, RunError
from partsong.journal.folder import sync_folder

__all__ = ["disk_errors", "disk_full", "not_writable", "replace_file"]

_OTHER = "name another folder with -o"
_AGAIN = "and run the same command again: it continues, nothing written is lost"


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Raise RunError in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise _run_error(place, error) from None


def replace_file(path: Path, content: bytes) -> None:
    """Write the file so that whoever looks sees the old content or all of the new, also after a power cut; the new once this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def disk_full(place: Path) -> RunError:
    """Return the error of a disk without room."""
    return RunError("disk-full", "the disk is full", at=Place(str(place)), remedy=f"make room {_AGAIN}")


def not_writable(place: Path) -> RunError:
    """Return the error of a folder that may not be written."""
    remedy = "make it writable, or name another folder with -o"
    return RunError("not-writable", "the folder cannot be written", at=Place(str(place)), remedy=remedy)


def _run_error(place: Path, error: OSError) -> RunError:
    at = Place(str(place))
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return disk_full(place)
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return not_writable(place)
        case errno.ENOENT:
            what = "the run's folder was deleted or moved while the run was at work"
            return RunError("folder-gone", what, at=at, remedy=f"put it back {_AGAIN}")
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return RunError("not-a-folder", f"this is not what it should be: {error.strerror}", at=at, remedy=_OTHER)
    return RunError("disk", f"the disk refuses: {error.strerror or error}", at=at, remedy=f"check the disk {_AGAIN}")
