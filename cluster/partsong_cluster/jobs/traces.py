"""Traces: a job's spans from all processes and nodes, gathered into files among its results.

Lines are written to the job's scratch folder as they come, and a file is put among the results when it is large or old enough. Past the
mesh file's rotation (its size times the files kept) the oldest is deleted at both places. No row waits for any of it.
"""

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from partsong_actors.traces import PARCELS, Parcel, Sender

from partsong.contracts import Notice
from partsong.errors import PartsongError
from partsong.telemetry.spec import Rotation
from partsong.telemetry.tree import GATHERED
from partsong.work.notices import Tell

__all__ = ["Gathering", "Place", "keep_putting"]

_PART_BYTES = 8_000_000
_PART_S = 30.0
_LOOKS_EVERY_S = 2.0
_QUIET_S = 2.5
"""From when on nothing more is expected at the end: processes send once a second."""
_QUIET_WITHIN_S = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files go, and what is known of nodes."""

    put: Callable[[str, Path], Awaitable[None]]
    """Has the file there under this name."""
    drop: Callable[[str], Awaitable[None]]
    """Deletes the file of this name."""
    alive: Callable[[], Awaitable[Collection[str] | None]]
    """Returns the ids of the nodes that are alive; None while nobody can say."""


@dataclass(slots=True)
class _Part:
    name: str
    path: Path
    began_s: float
    size_bytes: int = 0


class Gathering:
    """Spans of one job, of one life of its actor. `take` may be called from any thread."""

    def __init__(self, scratch: Path, rotation: Rotation, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = scratch / GATHERED
        self._most_bytes = rotation.size * rotation.keep
        self._part_bytes = min(_PART_BYTES, rotation.size)
        self._tell = tell
        self._clock = clock
        self._life = uuid.uuid4().hex[:8]
        self._number = 0
        self._lock = threading.Lock()
        self._writing: _Part | None = None
        self._file: BinaryIO | None = None
        self._closed: deque[_Part] = deque()
        self._held: deque[_Part] = deque()
        self._dropped: list[str] = []
        self._senders: dict[str, Sender] = {}
        self._lost: set[str] = set()
        self._kept_back: dict[str, int] = {}
        self._over = False
        self._told_refused = False
        self._heard_s = clock()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last parcel."""
        return self._clock() - self._heard_s

    def take(self, packed: bytes) -> bool:
        """Write down a parcel's spans; return False when no more are taken. OSError when the disk refuses."""
        [parcel] = PARCELS.unpack(packed)
        with self._lock:
            if self._over:
                return False
            self._heard_s = self._clock()
            before = self._senders.get(parcel.sender.actor)
            self._senders[parcel.sender.actor] = parcel.sender
            self._write(parcel)
        if before is not None and before.life != parcel.sender.life:
            self._tell(_lost(f"the process of {before.service} on node {before.host}"))
        return True

    def next_part(self, *, last: bool = False) -> tuple[str, Path] | None:
        """Return a file that is to be put among the results; `last` has the one at work too. Its name is not asked for again."""
        with self._lock:
            at_work = self._writing
            if at_work is not None and (last or self._clock() - at_work.began_s > _PART_S):
                self._close()
            if not self._closed:
                return None
            part = self._closed.popleft()
            return part.name, part.path

    def too_old(self) -> list[str]:
        """Return files among the results that are to be deleted."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            return dropped

    def look(self, alive: Collection[str]) -> None:
        """Tell of senders whose nodes are gone."""
        with self._lock:
            hosts = {sender.node: sender.host for sender in self._senders.values()}
            gone = {node: host for node, host in hosts.items() if node not in alive and node not in self._lost}
            self._lost |= gone.keys()
        for node, host in gone.items():
            self._tell(_lost(f"node {host} ({node[:6]})"))

    def refused(self, error: PartsongError) -> None:
        """Tell, once, that a file is not among the results."""
        if not self._told_refused:
            doing = "traces are not all among the results; rows go on"
            self._tell(Notice(code="traces-refused", where="traces", what=error.problems[0].what, doing=doing))
        self._told_refused = True

    def end(self) -> None:
        """Take no more; tell what did not come."""
        with self._lock:
            self._over = True
            kept_back = sum(self._kept_back.values())
        if kept_back:
            what = f"{kept_back:,} spans could not be sent here while rows went on"
            self._tell(Notice(code="spans-elsewhere", where="traces", what=what, doing="they are in files of the nodes that made them"))

    def _write(self, parcel: Parcel) -> None:
        if self._writing is None or self._file is None:
            self._number += 1
            name = f"{self._life}-{self._number:04}.jsonl"
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writing = _Part(f"{GATHERED}/{name}", self._folder / name, self._clock())
            self._file = self._writing.path.open("ab", buffering=0)
            self._held.append(self._writing)
        self._file.write(parcel.line + b"\n")
        self._writing.size_bytes += len(parcel.line) + 1
        if parcel.kept_back:
            self._kept_back[parcel.sender.life] = parcel.kept_back
        if self._writing.size_bytes >= self._part_bytes:
            self._close()
        while len(self._held) > 1 and sum(part.size_bytes for part in self._held) > self._most_bytes:
            self._forget(self._held.popleft())

    def _close(self) -> None:
        if self._writing is not None and self._file is not None:
            self._file.close()
            self._closed.append(self._writing)
        self._writing = self._file = None

    def _forget(self, part: _Part) -> None:
        """Delete the oldest file: also one that waits to be put, where the place is away."""
        part.path.unlink(missing_ok=True)
        if part in self._closed:
            self._closed.remove(part)
        else:
            self._dropped.append(part.name)


async def keep_putting(gathering: Gathering, place: Place, over: asyncio.Event) -> None:
    """Put files among the results until the run is over and all that was sent has come. What fails costs traces and not the run."""
    ends = asyncio.ensure_future(over.wait())
    try:
        while not over.is_set():
            await asyncio.wait((ends,), timeout=_LOOKS_EVERY_S)
            await _put(gathering, place)
        for _ in range(_QUIET_WITHIN_S):
            if gathering.quiet_s > _QUIET_S:
                break
            await asyncio.sleep(1)
        gathering.end()
        await _put(gathering, place, last=True)
    finally:
        ends.cancel()


async def _put(gathering: Gathering, place: Place, *, last: bool = False) -> None:
    if (alive := await place.alive()) is not None:
        gathering.look(alive)
    try:
        while (part := gathering.next_part(last=last)) is not None:
            await place.put(*part)
        for name in gathering.too_old():
            await place.drop(name)
    except PartsongError as error:
        gathering.refused(error)


def _lost(what: str) -> Notice:
    doing = "what its last second had of spans is missing from traces"
    return Notice(code="spans-lost", where="traces", what=f"{what} was lost", doing=doing)
