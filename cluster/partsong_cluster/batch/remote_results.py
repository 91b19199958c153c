"""Remote results: output on any filesystem that fsspec has a URL for, as immutable parts that become one file at the end.

An object cannot be appended to. So each step is an object of its own, `output.jsonl.parts/<first byte>-<end byte>.jsonl`, put whole or not
at all. What a part holds follows from the journal and its name alone: put again, or put by two writers at once, it is the same, and parts
that overlap agree. At the end one upload makes `output.jsonl` of them, which appears when all of it is there; then they are deleted.
"""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from partsong.errors import Place, RunError
from partsong.telemetry.tree import GATHERED
from partsong_cluster.batch.remote_errors import remote_errors
from partsong_cluster.batch.remote_options import remote_options
from partsong_cluster.batch.results import ERRORS, OUTPUT, Lines

__all__ = ["RemoteResults", "gathered", "is_remote"]

_OWNER = "run.json"
_OURS = (OUTPUT, ERRORS, "output.parquet", "summary.json", "report.html", "mesh.json")
_PART = re.compile(r"(\d{16,})-(\d{16,})\.jsonl")
_WHOLE_OR_NOTHING = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
"""Protocols of object stores: what is put appears at once or not at all. Elsewhere a draft is renamed."""
_PIECE_BYTES = 16 * 2**20
_MOST_UPLOADED_PARTS = 9_000
"""S3 takes 10,000 of an object."""


def is_remote(given: str | os.PathLike[str]) -> bool:
    """Return whether it is a URL, and not a path of this machine."""
    return "://" in str(given) and not str(given).startswith("file://")


class RemoteResults:
    """A folder at a URL."""

    pause_s = 5.0
    rows_a_step = 4096

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        """As it is shown."""
        self._found: tuple[Any, str] | None = None

    def errors(self) -> AbstractContextManager[None]:
        """See Results.errors."""
        return remote_errors(self.name)

    def own(self, run: str, told: bytes, *, fresh: bool) -> None:
        """See Results.own."""
        with self.errors():
            owner = self._owner()
            if owner is not None and owner.get("run") != run and not fresh:
                raise self._taken(owner)
            if fresh:
                self._empty()
            if owner is None or fresh:
                fs, folder = self._system()
                _make_folders(fs, f"{folder}/{OUTPUT}.parts", f"{folder}/{ERRORS}.parts")
                told_more = {**json.loads(told), "host": socket.gethostname()}
                fs.pipe_file(f"{folder}/{_OWNER}", json.dumps(told_more, indent=2).encode() + b"\n")
                owner = self._owner()
            if owner is None or owner.get("run") != run:  # another has begun here at the same moment
                raise self._taken(owner or {})

    def owner(self) -> str:
        """Return which run's results stand here, and where it began; empty where none do. Raises as `errors` says."""
        with self.errors():
            owner = self._owner()
        return "" if owner is None else _named(owner)

    def lines(self, name: str) -> Lines:
        """See Results.lines."""
        fs, folder = self._system()
        return _Parts(fs, folder, name)

    def holds_rows(self) -> str:
        """See Results.holds_rows."""
        fs, folder = self._system()
        return next((name for name in (OUTPUT, ERRORS) if _Parts(fs, folder, name).held().any), "")

    def read(self, name: str) -> Iterator[bytes]:
        """See Results.read."""
        fs, folder = self._system()
        with fs.open(f"{folder}/{name}", "rb", block_size=_PIECE_BYTES) as lines:
            yield from lines

    def put(self, name: str, source: Path) -> None:
        """See Results.put."""
        fs, folder = self._system()
        if "/" in name:
            _make_folders(fs, f"{folder}/{name.rpartition('/')[0]}")
        with source.open("rb") as file:
            _upload(fs, f"{folder}/{name}", iter(lambda: file.read(_PIECE_BYTES), b""), source.stat().st_size)

    def drop(self, name: str) -> None:
        """See Results.drop."""
        fs, folder = self._system()
        _delete(fs, [f"{folder}/{name}"])

    def _system(self) -> tuple[Any, str]:
        if self._found is None:
            import fsspec

            self._found = fsspec.core.url_to_fs(self.name, **remote_options(self.name))
        return self._found

    def _owner(self) -> dict[str, Any] | None:
        fs, folder = self._system()
        try:
            found: dict[str, Any] = json.loads(fs.cat_file(f"{folder}/{_OWNER}"))
        except FileNotFoundError:
            return None
        return found

    def _taken(self, owner: dict[str, Any]) -> RunError:
        what = f"the results of another run stand here: {_named(owner)}"
        remedy = "go on with it where it began, name another place with -o, or delete what stands there (`partsong run` does with --fresh)"
        return RunError("output-taken", what, at=Place(self.name), remedy=remedy)

    def _empty(self) -> None:
        fs, folder = self._system()
        for name in (OUTPUT, ERRORS):
            _Parts(fs, folder, name).cut(0)
        _delete(fs, gathered(fs, folder))
        for name in (*_OURS, _OWNER):
            _delete(fs, [f"{folder}/{name}"])


def _named(owner: Mapping[str, Any]) -> str:
    return f"{owner.get('run', 'unknown')}, begun on {owner.get('host', 'another host')}"


def gathered(fs: Any, folder: str) -> Sequence[str]:
    """Return the paths of the traces that a job gathered beside its output."""
    try:
        return [path for path in fs.find(f"{folder}/{GATHERED}") if path.endswith(".jsonl")]
    except FileNotFoundError:
        return []


@dataclass(frozen=True, slots=True)
class _Part:
    first: int
    end: int
    path: str


@dataclass(frozen=True, slots=True)
class _Held:
    """What stands at the place: the one file, if it was made, and parts behind it or within it."""

    whole_bytes: int | None
    parts: Sequence[_Part]

    @property
    def any(self) -> bool:
        return bool(self.whole_bytes or self.parts)

    def chain(self, good_bytes: int) -> Sequence[tuple[_Part | None, int, int]] | None:
        """Return pieces (part, None being the one file, and bytes within it) that make up the first bytes; None when some are missing."""
        at = min(self.whole_bytes or 0, good_bytes)
        pieces: list[tuple[_Part | None, int, int]] = [(None, 0, at)] if at else []
        while at < good_bytes:
            reaching = [part for part in self.parts if part.first <= at < part.end <= good_bytes]
            if not reaching:
                return None
            best = max(reaching, key=lambda part: part.end)
            pieces.append((best, at - best.first, best.end - best.first))
            at = best.end
        return pieces


class _Parts:
    """See Lines."""

    def __init__(self, fs: Any, folder: str, name: str) -> None:
        self._fs = fs
        self._name = name
        self._whole = f"{folder}/{name}"
        self._folder = f"{folder}/{name}.parts"
        self._looked = False

    def spoiled(self, good_bytes: int) -> str:
        """See Lines.spoiled; looks at the place the first time, and when it is sealed."""
        if self._looked:
            return ""
        why = self._lacks(self.held(), good_bytes)
        self._looked = True
        return why

    def cut(self, good_bytes: int) -> str:
        """See Lines.cut."""
        held = self.held()
        behind = [part.path for part in held.parts if part.end > good_bytes]
        if held.whole_bytes is not None and held.whole_bytes > good_bytes:
            behind.append(self._whole)
        _delete(self._fs, behind)
        return self._name if behind else ""

    def append(self, offset: int, content: bytes) -> None:
        """See Lines.append."""
        if content:
            self._fs.pipe_file(f"{self._folder}/{offset:016}-{offset + len(content):016}.jsonl", content)

    def seal(self, good_bytes: int) -> str:
        """See Lines.seal."""
        held = self.held()
        pieces = held.chain(good_bytes)
        if pieces is None or (held.whole_bytes or 0) > good_bytes:
            return self._lacks(held, good_bytes)
        if held.whole_bytes != good_bytes:
            _upload(self._fs, self._whole, self._read(pieces), good_bytes)
        _delete(self._fs, [part.path for part in held.parts])
        if not _is_whole_or_nothing(self._fs):
            with suppress(OSError):
                self._fs.rmdir(self._folder)
        return ""

    def close(self) -> None:
        """See Lines.close; nothing is open."""

    def held(self) -> _Held:
        """Return what stands at the place."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(self._folder, detail=True)
        except FileNotFoundError:
            found = {}
        parts = [_part(path, info["size"]) for path, info in found.items()]
        try:
            whole_bytes: int | None = self._fs.info(self._whole)["size"]
        except FileNotFoundError:
            whole_bytes = None
        return _Held(whole_bytes, [part for part in parts if part is not None])

    def _lacks(self, held: _Held, good_bytes: int) -> str:
        if (held.whole_bytes or 0) > good_bytes:
            return f"{self._name} goes further than the journal"
        return "" if held.chain(good_bytes) is not None else f"parts of {self._name} are gone"

    def _read(self, pieces: Sequence[tuple[_Part | None, int, int]]) -> Iterator[bytes]:
        for part, first, end in pieces:
            path = self._whole if part is None else part.path
            for at in range(first, end, _PIECE_BYTES):
                yield self._fs.cat_file(path, start=at, end=min(end, at + _PIECE_BYTES))


def _part(path: str, size_bytes: int) -> _Part | None:
    """Return the part; None when it is none, or not all that its name says."""
    named = _PART.fullmatch(path.rpartition("/")[2])
    if named is None or int(named[2]) - int(named[1]) != size_bytes:
        return None
    return _Part(int(named[1]), int(named[2]), path)


def _make_folders(fs: Any, *folders: str) -> None:
    """Make the folders where files must stand in one; where a path is but a name, to make one could be to make a bucket."""
    if not _is_whole_or_nothing(fs):
        for folder in folders:
            fs.makedirs(folder, exist_ok=True)


def _is_whole_or_nothing(fs: Any) -> bool:
    """Return whether the place has no folders, and what is uploaded is there when all of it is."""
    return not _WHOLE_OR_NOTHING.isdisjoint((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _upload(fs: Any, path: str, pieces: Iterator[bytes], size_bytes: int) -> None:
    """Have the file there when all of it is: by one multipart upload, or under another name and renamed."""
    at_once = _is_whole_or_nothing(fs)
    target = path if at_once else f"{path}.draft"
    file = fs.open(target, "wb", block_size=max(_PIECE_BYTES, -(-size_bytes // _MOST_UPLOADED_PARTS)))
    try:
        for piece in pieces:
            file.write(piece)
        file.close()
    except BaseException:
        file.closed = True  # else whoever collects it finishes what is half done
        with suppress(OSError):  # a place that is away keeps the pieces until its own rules delete them
            file.discard()
        raise
    if not at_once:
        fs.mv(target, path)


def _delete(fs: Any, paths: Sequence[str]) -> None:
    for path in paths:
        try:
            fs.rm_file(path)
        except FileNotFoundError:
            continue
