"""A power cut, for tests: what a process did to its files, recorded by strace, and what a disk holds of it when the power fails.

The disk owes nothing but what was synced: of every write since a file's last sync it may hold all, nothing or some sectors, in any order.
Names (made, renamed, deleted) are owed once their folder was synced; before, the disk holds some of the first of them: file systems with a
journal keep those in order. What the process says on standard output tells how far it was.
"""

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["CutDisk", "Said", "Step", "recorded"]

_CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink,unlinkat,rename"
_SECTOR_BYTES = 512
_AT_THE_END = -1
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    """-1: at the end, as files are written from one end to the other."""
    content: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    length: int


@dataclass(frozen=True, slots=True)
class Make:
    path: str


@dataclass(frozen=True, slots=True)
class Delete:
    path: str


@dataclass(frozen=True, slots=True)
class Rename:
    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Sync:
    path: str
    """A file, or a folder, whose names are synced."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line on standard output."""

    text: str


Step = Write | Truncate | Make | Delete | Rename | Sync | Said


def recorded(command: Sequence[str], folder: Path) -> list[Step]:
    """Run the command to its end and return what it did to files in the folder, and said, in order."""
    trace = folder.with_name(folder.name + ".trace")
    strace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-o", str(trace)]
    subprocess.run([*strace, *command], check=True, stdout=subprocess.DEVNULL, timeout=60)
    with trace.open(encoding="ascii") as lines:
        steps = [step for step in map(_step, _whole(lines)) if step is not None]
    trace.unlink()
    return [step for step in steps if isinstance(step, Said) or Path(step.path).is_relative_to(folder)]


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Yield calls without their process, those that others interrupted put together where they end."""
    begun: dict[str, str] = {}
    for line in lines:
        process, _, call = line.rstrip("\n").partition(" ")
        call = call.lstrip()
        if call.endswith(_UNFINISHED):
            begun[process] = call.removesuffix(_UNFINISHED)
        elif call.startswith("<... "):
            yield begun.pop(process) + call.partition(" resumed>")[2]
        else:
            yield call


_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_HEX = r'"((?:\\x[0-9a-f]{2})*)"'
_FD = re.compile(r"(-?\w+)<((?:\\x[0-9a-f]{2})*)>")
_TEXT = re.compile(_HEX)
_OFFSET = re.compile(r"(\d+)$")


def _step(call: str) -> Step | None:
    match = _CALL.match(call)
    if match is None or int(match["result"]) < 0:
        return None
    name, arguments = match["name"], match["arguments"]
    texts = [_bytes(text) for text in _TEXT.findall(arguments)]
    fd = _FD.match(arguments)
    path = _bytes(fd[2]).decode() if fd else ""
    match name:
        case "openat" if "O_CREAT" in arguments:
            return Make(texts[0].decode())
        case "pwrite64":
            return Write(path, int(_OFFSET.findall(arguments)[0]), texts[0][: int(match["result"])])
        case "write" if fd and fd[1] == "1":
            return Said(texts[0].decode().strip())
        case "write":
            return Write(path, _AT_THE_END, texts[0][: int(match["result"])])
        case "ftruncate":
            return Truncate(path, int(_OFFSET.findall(arguments)[0]))
        case "fsync" | "fdatasync":
            return Sync(path)
        case "unlink" | "unlinkat":
            return Delete(texts[-1].decode())
        case "rename":
            return Rename(texts[0].decode(), texts[1].decode())
    return None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(eq=False, slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    since: list[Write | Truncate] = field(default_factory=list)
    size_bytes: int = 0

    def take(self, step: Write | Truncate) -> None:
        if isinstance(step, Truncate):
            self.size_bytes = step.length
        else:
            step = replace(step, offset=self.size_bytes) if step.offset == _AT_THE_END else step
            self.size_bytes = max(self.size_bytes, step.offset + len(step.content))
        self.since.append(step)


class CutDisk:
    """A disk that takes one step after the other and tells what it might hold, were the power cut now."""

    def __init__(self) -> None:
        self._seen: dict[str, _File] = {}
        self._named: dict[str, _File] = {}
        """By names that are synced."""
        self._renamed: list[tuple[str, _File | None]] = []
        """Names given and taken since their folder was synced."""

    def take(self, step: Step) -> None:
        """Do what the process did."""
        match step:
            case Write() | Truncate():
                if step.path in self._seen:
                    self._seen[step.path].take(step)
            case Make():
                if step.path not in self._seen:
                    self._name(step.path, _File())
            case Delete():
                self._name(step.path, None)
            case Rename():
                moved = self._seen.get(step.path)
                self._name(step.to, moved)
                self._name(step.path, None)
            case Sync():
                self._sync(step.path)

    def left(self, dice: random.Random) -> dict[str, bytes]:
        """Return the files by name as they may be found after the cut."""
        names: dict[str, _File | None] = {**self._named, **dict(self._renamed[: dice.randint(0, len(self._renamed))])}
        fate = dice.choice([_all, _nothing, _some])
        return {path: _content(file, fate, dice) for path, file in names.items() if file is not None}

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            self._seen.pop(path, None)
        else:
            self._seen[path] = file
        self._renamed.append((path, file))

    def _sync(self, path: str) -> None:
        file = self._seen.get(path)
        if file is not None:
            for step in file.since:
                _do(step, file.synced)
            file.since.clear()
            return
        owed = [(name, file) for name, file in self._renamed if str(Path(name).parent) == path]
        self._renamed = [(name, file) for name, file in self._renamed if str(Path(name).parent) != path]
        for name, file in owed:
            if file is None:
                self._named.pop(name, None)
            else:
                self._named[name] = file


Fate = Callable[[Sequence[Write | Truncate], random.Random], Sequence[Write | Truncate]]


def _all(steps: Sequence[Write | Truncate], dice: random.Random) -> Sequence[Write | Truncate]:
    return steps


def _nothing(steps: Sequence[Write | Truncate], dice: random.Random) -> Sequence[Write | Truncate]:
    return ()


def _some(steps: Sequence[Write | Truncate], dice: random.Random) -> Sequence[Write | Truncate]:
    """Return some of the steps, some of them torn, in another order."""
    share = dice.random()
    kept: list[Write | Truncate] = []
    for step in steps:
        if dice.random() < share:
            kept.append(step)
        elif isinstance(step, Write) and dice.random() < 0.5:
            kept += _sectors(step, dice)
    dice.shuffle(kept)
    return kept


def _sectors(write: Write, dice: random.Random) -> Iterator[Write]:
    start = write.offset
    end = start + len(write.content)
    while start < end:
        next_sector = min(end, (start // _SECTOR_BYTES + 1) * _SECTOR_BYTES)
        if dice.random() < 0.5:
            yield Write(write.path, start, write.content[start - write.offset : next_sector - write.offset])
        start = next_sector


def _content(file: _File, fate: Fate, dice: random.Random) -> bytes:
    content = bytearray(file.synced)
    for step in fate(file.since, dice):
        _do(step, content)
    return bytes(content)


def _do(step: Write | Truncate, content: bytearray) -> None:
    if isinstance(step, Truncate):
        del content[step.length :]
        content.extend(bytes(step.length - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.content)] = step.content
