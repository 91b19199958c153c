"""Pulse: when rows of a run were answered, by its journal, watched from a thread beside it."""

import threading
import time
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.reckoning import rows_done

__all__ = ["Pulse"]

_EVERY_S = 0.05


class Pulse:
    """`with Pulse(journal) as pulse: ...; pulse.longest_gap_s(since_s)`."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._beats: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    @property
    def rows(self) -> int:
        """Rows answered."""
        return self._beats[-1][1]

    @property
    def quiet_s(self) -> float:
        """Seconds since the last one was."""
        return time.monotonic() - self._beats[-1][0]

    def longest_gap_s(self, since_s: float) -> float:
        """Return the longest time in which no row was answered, from a moment on until the last of all."""
        beats = [since_s, *(at_s for at_s, _ in self._beats if at_s > since_s)]
        return max((after - before for before, after in pairwise(beats)), default=0.0)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            rows = rows_done(self._journal)
            if rows > self.rows:
                self._beats.append((time.monotonic(), rows))
