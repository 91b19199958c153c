"""Outbox: what is to leave the process, on a thread of its own; it never blocks who puts, is bounded, and counts what it had to drop."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from partsong.telemetry.span import Span

__all__ = ["Outbox", "Sink"]

_log = logging.getLogger(__name__)

_BATCH = 512
_PAUSE_S = 1.0


class Sink(Protocol):
    """Where batches of ended spans go; called from the outbox's thread."""

    def write(self, spans: Sequence[Span]) -> bool:
        """Return whether the spans have left; may raise OSError."""
        ...

    def close(self) -> None:
        """Let go; a `write` that waits in another thread gives up."""
        ...


class Outbox:
    """Holds at most `max_spans` between the work and one sink."""

    def __init__(self, sink: Sink, name: str, *, max_spans: int = 8192) -> None:
        self._sink = sink
        self._name = name
        self._max_spans = max_spans
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._deliver, name=f"partsong-telemetry-{name}", daemon=True)
        self.dropped = 0
        """Spans that found the outbox full, or that the sink refused."""

    @property
    def waiting(self) -> int:
        """Spans that wait to be delivered."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take an ended span, or count it as dropped; returns at once."""
        if self._closing or len(self._waiting) >= self._max_spans:
            self.dropped += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= _BATCH:
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Deliver what waits, for at most this long; count the rest as dropped."""
        self._closing = True
        self._wake.set()
        ends_s = time.monotonic() + timeout_s
        self._thread.join(timeout_s)
        self._sink.close()
        self._thread.join(max(0.1, ends_s - time.monotonic()))
        self.dropped += len(self._waiting)
        self._waiting.clear()
        if self.dropped:
            _log.warning("%d spans were not delivered to the %s", self.dropped, self._name)

    def _deliver(self) -> None:
        while not self._closing:
            self._wake.wait(_PAUSE_S)
            self._wake.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._left(batch):
                self.dropped += len(batch)

    def _left(self, batch: Sequence[Span]) -> bool:
        try:
            return self._sink.write(batch)
        except (OSError, ValueError) as error:  # the run matters more than its traces
            _log.debug("the %s took no spans: %s", self._name, error)
            return False
