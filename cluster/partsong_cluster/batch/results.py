"""Results: where a run's output goes: a folder of this machine, or any place that fsspec has a URL for. Everything here blocks."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from partsong_cluster.batch.disk import disk_errors, replace_file

__all__ = ["ERRORS", "OUTPUT", "Lines", "LocalResults", "Results"]

OUTPUT = "output.jsonl"
ERRORS = "errors.jsonl"


class Lines(Protocol):
    """A file of lines that is good up to a byte which others keep."""

    def spoiled(self, good_bytes: int) -> str:
        """Return why it is not what was written up to there; empty when it is."""
        ...

    def cut(self, good_bytes: int) -> str:
        """Drop what stands behind; return the file's name if that was anything."""
        ...

    def append(self, offset: int, content: bytes) -> None:
        """Write behind the offset, in place of what an earlier try left there; durable when it returns."""
        ...

    def seal(self, good_bytes: int) -> str:
        """Make one file of it, which readers see whole or not at all; return why that is impossible; empty when it is done."""
        ...

    def close(self) -> None:
        """Let go of it; may be called again."""
        ...


class Results(Protocol):
    """Everything that a run leaves to its user."""

    @property
    def name(self) -> str:
        """As it is shown."""
        ...

    @property
    def pause_s(self) -> float:
        """Between two writes, so that one serves many rows."""
        ...

    @property
    def rows_a_step(self) -> int:
        """Rows written at once, at most."""
        ...

    def errors(self) -> AbstractContextManager[None]:
        """Raise RunError in place of the place's own errors; AwayError (see remote_errors.py) when it may pass."""
        ...

    def own(self, run: str, told: bytes, *, fresh: bool) -> None:
        """Become the one run whose results stand here; RunError names the other. `told` is the run as readers may see it.

        `fresh` deletes another's.
        """
        ...

    def lines(self, name: str) -> Lines:
        """Open a file of lines."""
        ...

    def holds_rows(self) -> str:
        """Return which file holds rows; empty when none does."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a sealed file."""
        ...

    def put(self, name: str, source: Path) -> None:
        """Have the file here under this name: the old one or all of the new for whoever looks."""
        ...

    def drop(self, name: str) -> None:
        """Delete the file of this name, if it is here."""
        ...


class LocalResults:
    """A folder of this machine; made by whoever claims it."""

    pause_s = 0.2
    rows_a_step = 256

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """See Results.name."""
        return str(self._folder)

    def errors(self) -> AbstractContextManager[None]:
        """See Results.errors."""
        return disk_errors(self._folder)

    def own(self, run: str, told: bytes, *, fresh: bool) -> None:
        """See Results.own; who claims the folder owns it."""

    def lines(self, name: str) -> Lines:
        """See Results.lines."""
        return _LineFile(self._folder / name)

    def holds_rows(self) -> str:
        """See Results.holds_rows."""
        held = (name for name in (OUTPUT, ERRORS) if (path := self._folder / name).exists() and path.stat().st_size)
        return next(held, "")

    def read(self, name: str) -> Iterator[bytes]:
        """See Results.read."""
        with (self._folder / name).open("rb") as lines:
            yield from lines

    def put(self, name: str, source: Path) -> None:
        """See Results.put."""
        if source != self._folder / name:
            (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._folder / name, source.read_bytes())

    def drop(self, name: str) -> None:
        """See Results.drop."""
        (self._folder / name).unlink(missing_ok=True)


class _LineFile:
    """See Lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _opened(path)

    def spoiled(self, good_bytes: int) -> str:
        """See Lines.spoiled. Opens the file again when it is another."""
        held = os.fstat(self._fd)
        if not self._path.exists() or self._path.stat().st_ino != held.st_ino:
            self.close()
            self._fd = _opened(self._path)
            return f"{self._path.name} was deleted or replaced"
        if held.st_size < good_bytes:
            return f"{self._path.name} was cut short" if held.st_size else f"{self._path.name} was deleted or emptied"
        if good_bytes and os.pread(self._fd, 1, good_bytes - 1) != b"\n":
            return f"{self._path.name} was changed"
        return ""

    def cut(self, good_bytes: int) -> str:
        """See Lines.cut."""
        longer = os.fstat(self._fd).st_size > good_bytes
        os.ftruncate(self._fd, good_bytes)
        return self._path.name if longer else ""

    def append(self, offset: int, content: bytes) -> None:
        """See Lines.append.

        Always at the file's end: if somebody has just emptied it, it comes out too short, which is noticed, and not with a hole in it.
        """
        if os.fstat(self._fd).st_size > offset:
            os.ftruncate(self._fd, offset)
        left = memoryview(content)
        while left:
            left = left[os.write(self._fd, left) :]
        if content:
            os.fsync(self._fd)

    def seal(self, good_bytes: int) -> str:
        """See Lines.seal; it is one file all along."""
        return self.spoiled(good_bytes)

    def close(self) -> None:
        """See Lines.close."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
