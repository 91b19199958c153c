"""Telling: what a job tells, kept for watchers that come and go: all that was said lately, the state as it is now, and the end."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from partsong_cluster.batch.tally import Tally
from partsong_cluster.jobs.events import Event, progress, said

__all__ = ["Telling"]

_MOST_KEPT = 1000


class Telling:
    """A session's Watcher, which any event loop may ask what is new: whoever waits costs no thread, however many there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._change: Future[None] = Future()
        self._kept: deque[tuple[int, Event]] = deque(maxlen=_MOST_KEPT)
        self._progress: tuple[int, Event] | None = None
        self._number = 0
        self.over = False
        """Whether the end has been told."""

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """See Watcher.show; of several states that nobody asked for only the last is kept."""
        self._tell(progress(tally, in_flight, fraction))

    def say(self, line: str) -> None:
        """See Watcher.say."""
        self._tell(said(line))

    def end(self, event: Event) -> None:
        """Tell the last thing."""
        self._tell(event)

    async def news(self, after: int, within_s: float) -> tuple[int, Sequence[Event]]:
        """Return what was told after this number, and the number to ask with next time; waits for something."""
        with self._lock:
            change, is_known = self._change, self._number <= after
        if is_known:
            await asyncio.wait([asyncio.wrap_future(change)], timeout=within_s)
        with self._lock:
            told = [one for one in self._kept if one[0] > after]
            if self._progress is not None and self._progress[0] > after:
                told.append(self._progress)
            return self._number, [event for _, event in sorted(told, key=lambda one: one[0])]

    def _tell(self, event: Event) -> None:
        with self._lock:
            self._number += 1
            if event.kind == "progress":
                self._progress = (self._number, event)
            else:
                self._kept.append((self._number, event))
            self.over = self.over or event.is_last
            change, self._change = self._change, Future()
        change.set_result(None)
