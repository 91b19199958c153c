"""Faults: what befalls a process: killed, stopped for a while, or out of memory; one table."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["FAULTS", "Fault", "FaultKind"]

FaultKind = Literal["killed", "stopped", "out of memory"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls which kind of process."""

    kind: FaultKind
    process: str
    lasts_s: float = 0.0
    """How long it is stopped."""

    def __str__(self) -> str:
        return f"{self.process} {self.kind}" + (f" for {self.lasts_s:g} s" if self.lasts_s else "")

    def strike(self, pid: int) -> None:
        """Let it happen, and return when it is over; a process that has ended meanwhile is left alone."""
        with contextlib.suppress(ProcessLookupError):
            FAULTS[self.kind](pid, self.lasts_s)


def _killed(pid: int, _lasts_s: float) -> None:
    os.kill(pid, signal.SIGKILL)


def _stopped(pid: int, lasts_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(lasts_s)
    finally:
        os.kill(pid, signal.SIGCONT)


def _out_of_memory(pid: int, _lasts_s: float) -> None:
    """Lower the limit of its address space below what it has: the kernel refuses it every further page, for good."""
    resource.prlimit(pid, resource.RLIMIT_AS, (2**20, 2**20))


FAULTS: dict[FaultKind, Callable[[int, float], None]] = {"killed": _killed, "stopped": _stopped, "out of memory": _out_of_memory}
