"""Segments: large records stand in objects beside the database, one an append and run; the database keeps where in them.

An object is there before the transaction that names it, and is never changed. One that no transaction names (its writer died in between) is
deleted with its run.
"""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from zlib import crc32

from partsong.errors import Place, StoreError
from partsong.journal.away import away
from partsong.journal.folder import make_folder, sync_folder
from partsong.journal.sealed import Sealed
from partsong.journal.store import FORGOTTEN_AT_ONCE
from partsong.journal.transport_errors import transport_errors

__all__ = ["Kept", "Segments", "kept_inside"]

LARGE_BYTES = 64_000
"""Records from this size on go to segments: a database keeps them too, but its log, copies and backups then carry them as well."""

_CHECK = "check the address in `store: segments`, that the bucket is there, and the credentials of this machine"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a record's bytes are: here, or in a segment."""

    record: bytes | None
    segment: str | None
    start: int
    length: int
    crc: int


def kept_inside(sealed: Sealed) -> Kept:
    """Return a record that stands in the database."""
    return Kept(sealed.packed, None, 0, len(sealed.packed), crc32(sealed.packed))


class Segments:
    """Objects under one URL, by run."""

    def __init__(self, url: str, *, large_bytes: int = LARGE_BYTES) -> None:
        self._url = url.rstrip("/")
        self._large_bytes = large_bytes
        with self._errors("opened"):
            from fsspec.core import url_to_fs

            self._fs, self._root = url_to_fs(self._url)
        self._leaving: dict[str, list[str]] = {}
        self._is_local = "file" in ((self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol)

    def put(self, records: Sequence[Sealed]) -> list[Kept]:
        """Return where each of the records is, in their order; the large ones are in objects when it returns."""
        kept = [kept_inside(sealed) for sealed in records]
        large = sorted((n for n, sealed in enumerate(records) if len(sealed.packed) >= self._large_bytes), key=lambda n: records[n].run)
        for run, numbers in groupby(large, key=lambda n: records[n].run):
            name, start, pieces = f"{run}/{uuid.uuid4().hex}", 0, []
            for n in numbers:
                packed = records[n].packed
                kept[n] = Kept(None, name, start, len(packed), kept[n].crc)
                pieces.append(packed)
                start += len(packed)
            with self._errors("written"):
                self._write(f"{self._root}/{name}", b"".join(pieces))
        return kept

    def read(self, kept: Iterable[Kept]) -> dict[tuple[str, int], bytes]:
        """Return the bytes of those that stand in segments, by segment and start."""
        wanted = [one for one in kept if one.segment is not None]
        if not wanted:
            return {}
        paths = [f"{self._root}/{one.segment}" for one in wanted]
        starts, ends = [one.start for one in wanted], [one.start + one.length for one in wanted]
        with self._errors("read"):
            found = self._fs.cat_ranges(paths, starts, ends, on_error="raise")
        return {(str(one.segment), one.start): bytes(read) for one, read in zip(wanted, found, strict=True)}

    def forget(self, run: str) -> bool:
        """Delete a part of the run's objects; return whether there may be more. They are listed once, and anew after an error."""
        folder = f"{self._root}/{run}"
        with self._errors("deleted"):
            names = self._leaving.pop(run, None) or self._fs.find(folder, refresh=True)
            if len(names) > FORGOTTEN_AT_ONCE:
                self._fs.rm(names[:FORGOTTEN_AT_ONCE])
                self._leaving[run] = names[FORGOTTEN_AT_ONCE:]
                return True
            with suppress(FileNotFoundError):
                self._fs.rm(folder, recursive=True)
            return False

    def _write(self, path: str, content: bytes) -> None:
        if not self._is_local:
            self._fs.pipe_file(path, content)
            return
        file = Path(path)
        make_folder(file.parent)
        with file.open("xb") as made:
            made.write(content)
            made.flush()
            os.fsync(made.fileno())
        sync_folder(file.parent)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """Raise StoreError in place of what the filesystem's library raises."""
        at = Place(self._url, field="store.segments")
        try:
            yield
        except ImportError as error:
            remedy = "install it beside Partsong; `partsong[s3]` has what S3 needs"
            raise StoreError("store-package", f"segments there need a package: {error}", at=at, remedy=remedy) from None
        except FileNotFoundError as error:
            if done == "read":
                remedy = "bring it back from a copy of the place, or start the run again with --fresh"
                raise StoreError("store-corrupt", "a segment of the journal is gone", at=at, remedy=remedy) from error
            raise StoreError("store-refused", "the place of large records is not there", at=at, remedy=_CHECK) from error
        except (PermissionError, ValueError) as error:
            what = f"large records cannot be {done}: {type(error).__name__}"
            raise StoreError("store-refused", what, at=at, remedy=_CHECK) from error
        except transport_errors() as error:
            raise away(f"large records cannot be {done} ({type(error).__name__})", at) from error
