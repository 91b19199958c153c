"""Victims: the processes of one run's engine, found as its driver's descendants by the titles that Ray gives them."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["ACTORS", "PROCESSES", "actors_of", "are_alive", "victims"]

_TITLES = {
    "worker": b"ray::_ModelWorker",
    "pool": b"ray::_ModelPool",
    "coordinator": b"ray::_CoordinatorActor",
    "synthesizer": b"ray::_SynthesizerActor",
    "journal": b"ray::_JournalActor",
}
"""The title goes on with the method at work."""

ACTORS = tuple(_TITLES)
PROCESSES = (*ACTORS, "driver")
"""Every process there is."""

_STARTS_WITHIN_S = 30.0


def victims(driver: int, process: str) -> Sequence[int]:
    """Return the processes of this kind, as soon as there are any; none when they do not come."""
    if process == "driver":
        return [driver]
    until_s = time.monotonic() + _STARTS_WITHIN_S
    while not (found := [pid for pid in _family_of(driver) if _command(pid).startswith(_TITLES[process])]):
        if time.monotonic() > until_s:
            break
        time.sleep(0.02)
    return found


def actors_of(driver: int) -> Sequence[int]:
    """Return the processes of all actors."""
    return [pid for pid in _family_of(driver) if _command(pid).startswith(tuple(_TITLES.values()))]


def are_alive(pids: Iterable[int]) -> Sequence[int]:
    """Return those that there still are, as more than remains."""
    return [pid for pid in pids if _parent(str(pid)) is not None]


def _family_of(ancestor: int) -> Sequence[int]:
    """Return all descendants of a process that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (parent := _parent(entry.name)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    family: list[int] = []
    ahead = [ancestor]
    while ahead:
        young = children.get(ahead.pop(), [])
        family += young
        ahead += young
    return family


def _parent(pid: str) -> int | None:
    try:
        state, parent = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):  # ended meanwhile
        return None
    return None if state == "Z" else int(parent)


def _command(pid: int) -> bytes:
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:  # ended meanwhile
        return b""
