"""Places: the files that INPUT means: a path, a folder, a glob, `-`, or any fsspec URL, compressed or not."""

import hashlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from partsong.errors import InputError, Place
from partsong_cluster.batch.lines import ByteSource
from partsong_cluster.batch.plain_url import check_plain
from partsong_cluster.batch.remote_errors import AwayError, away, passes, transport_errors
from partsong_cluster.batch.remote_options import remote_options

__all__ = ["STDIN", "FileKind", "InputFile", "fingerprint", "input_files"]

FileKind = Literal["jsonl", "csv", "tsv", "parquet"]

STDIN = "-"
_GLOB = "*?["

_KINDS: dict[str, FileKind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst", ".lzma"})
_WHOLE_BYTES = 64_000_000
_SAMPLES = 256
_SAMPLE_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input."""

    name: str
    """As it is shown and opened."""
    kind: FileKind
    compressed: bool = False
    size_bytes: int | None = None
    """None when nobody can tell (standard input)."""
    mark: str = ""
    """What a remote file system says to tell versions apart."""

    def open(self) -> ByteSource:
        """Open it for reading, decompressed."""
        if self.name == STDIN:
            return sys.stdin.buffer
        try:
            if not self.compressed and "://" not in self.name:
                return Path(self.name).open("rb")
            file = _fsspec().open(self.name, "rb", compression="infer", **remote_options(self.name)).open()
            return cast("ByteSource", file) if self.compressed else _buffered(file)
        except transport_errors(ImportError, ValueError) as error:
            raise _unreadable(self.name, error) from None


def input_files(given: str, kind: FileKind | None = None) -> Sequence[InputFile]:
    """Return the input's files, sorted by name; `kind` overrules their endings. AwayError where a remote place does not answer."""
    if given == STDIN:
        return [InputFile(STDIN, kind or "jsonl")]
    found = [_file(name, size, mark, kind) for name, size, mark in _found(given, kind)]
    if not found:
        raise InputError(
            "no-input", "no file matches", at=Place(given), remedy="check the pattern; quote it, so that the shell leaves it alone"
        )
    return found


def fingerprint(files: Sequence[InputFile]) -> str:
    """Return a hash over names and content, so that a changed input is noticed.

    Up to 64 MB a local file is read whole; of a larger one its size and 256 samples spread over it. A remote file counts by what its file
    system says of it, standard input by nothing.
    """
    hasher = hashlib.blake2b(digest_size=16)
    for file in files:
        hasher.update(f"{file.name}\0{file.size_bytes}\0{file.mark}\0".encode("utf-8", "surrogateescape"))
        if file.name != STDIN and not file.mark:
            for piece in _samples(Path(file.name), file.size_bytes or 0):
                hasher.update(piece)
    return hasher.hexdigest()


def _samples(path: Path, size_bytes: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as source:
            if size_bytes <= _WHOLE_BYTES:
                while piece := source.read(1 << 20):
                    yield piece
                return
            for n in range(_SAMPLES):
                source.seek((size_bytes - _SAMPLE_BYTES) * n // (_SAMPLES - 1))
                yield source.read(_SAMPLE_BYTES)
    except OSError as error:
        raise _unreadable(str(path), error) from None


def _found(given: str, kind: FileKind | None) -> Iterator[tuple[str, int | None, str]]:
    if "://" in given or "::" in given:
        check_plain(given, "the input")
        yield from _remote(given)
        return
    path = Path(given)
    if path.is_dir():
        members = [p for p in sorted(path.iterdir()) if p.is_file() and (kind or _kind_of(p.name)) and not p.name.startswith((".", "_"))]
    elif path.exists():
        members = [path]
    elif any(mark in given for mark in _GLOB):
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        members = sorted(p for p in anchor.glob(str(path.relative_to(path.anchor))) if p.is_file())
    else:
        raise InputError("no-input", "there is no such file", at=Place(given), remedy="check the path; `-` reads standard input")
    yield from ((str(member), member.stat().st_size if member.is_file() else None, "") for member in members)


def _remote(given: str) -> Iterator[tuple[str, int | None, str]]:
    try:
        system, path = _fsspec().core.url_to_fs(given, **remote_options(given))
        system.invalidate_cache()
        names = (
            sorted(system.glob(path)) if system.isdir(path) is False and any(m in path for m in "*?[") else _remote_members(system, path)
        )
        for name in names:
            info = system.info(name)
            yield system.unstrip_protocol(name) if "::" not in given else given, info.get("size"), str(system.ukey(name))
    except transport_errors(ImportError, ValueError, NotImplementedError) as error:
        raise _unreadable(given, error) from None


def _remote_members(system: Any, path: str) -> Sequence[str]:
    if any(mark in path for mark in _GLOB):
        return sorted(system.glob(path))
    if not system.isdir(path):
        return [path]
    return sorted(entry["name"] for entry in system.ls(path, detail=True) if entry["type"] == "file" and _kind_of(entry["name"]))


def _file(name: str, size_bytes: int | None, mark: str, kind: FileKind | None) -> InputFile:
    found = kind or _kind_of(name)
    if found is None:
        endings = ", ".join(_KINDS)
        raise InputError(
            "input-kind", "the file's name does not say what it holds", at=Place(name), remedy=f"name it {endings}, or give --input-format"
        )
    return InputFile(name, found, Path(name.split("::")[0]).suffix in _COMPRESSED, size_bytes, mark)


def _kind_of(name: str) -> FileKind | None:
    path = Path(name.split("::")[0].split("?")[0])
    return _KINDS.get((path.with_suffix("") if path.suffix in _COMPRESSED else path).suffix.lower())


def _fsspec() -> Any:
    import fsspec

    return fsspec


def _buffered(file: Any) -> ByteSource:
    """Return the file with lines read up to a size, which fsspec's own files cannot; what decompresses them can."""
    return cast("ByteSource", io.BufferedReader(file, _BUFFER_BYTES))


def _unreadable(name: str, error: Exception) -> InputError | AwayError:
    if "://" in name and passes(error):
        return away(name, "read", error)
    if isinstance(error, ImportError):
        return InputError("input-package", f"reading this needs a package: {error}", at=Place(name), remedy="install it beside Partsong")
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError("input-unreadable", f"the input cannot be read: {why}", at=Place(name), remedy="check the path and its permissions")
