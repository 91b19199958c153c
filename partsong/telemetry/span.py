"""Span: one timed piece of a row's work, linked to its parent by the W3C trace context that the messages carry.

Recorded by a small class of our own: a span of OpenTelemetry's SDK takes 20 us, and a row has half a dozen. What leaves the process is
OpenTelemetry's data model in its own formats.
"""

import re
import time
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Literal, Self

from partsong.contracts import Completion, Failure, Reply
from partsong.telemetry.attributes import Attribute, failure_attributes, reply_attributes, settled_attributes

__all__ = ["Span", "SpanKind", "TraceContext", "new_trace", "run_of"]

SpanKind = Literal["internal", "client"]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1
_RUN = re.compile(r"[0-9a-f]{12}")
_RUN_DIGITS = 12
_TRACE_BITS = 128


def new_trace(run: str, dice: Random) -> int:
    """Return the id of a trace that begins: of a row of a run it begins with the run's own name, so that any process can tell whose it is.

    The other 80 bits are random; W3C trace context asks that for the last 56. A run that is not called by twelve hexadecimal digits leaves
    no mark.
    """
    if not _RUN.fullmatch(run):
        return dice.getrandbits(_TRACE_BITS) | 1
    return int(run, 16) << (_TRACE_BITS - 4 * _RUN_DIGITS) | dice.getrandbits(_TRACE_BITS - 4 * _RUN_DIGITS) | 1


def run_of(trace_id: str) -> str:
    """Return the run that the trace may be of: what `new_trace` was given, or the beginning of a random number."""
    return trace_id[:_RUN_DIGITS]


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace, as W3C trace context (version 00) writes it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits; empty before the trace's first span."""
    sampled: bool

    @classmethod
    def parse(cls, traceparent: str) -> "TraceContext | None":
        """Return what the header says; None if it is empty or malformed."""
        match = _TRACEPARENT.fullmatch(traceparent)
        return match and cls(match[1], match[2], bool(int(match[3], 16) & _SAMPLED))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


class Span:
    """Timed by `with`; while telemetry is off it does nothing and hands its parent's context on."""

    __slots__ = (
        "_began_ns", "_content", "_on_end", "attributes", "cancelled", "context", "end_ns", "error", "failure", "kind", "name", "parent_id",
        "reply", "start_ns", "traceparent",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        context: TraceContext | None,
        parent_id: str = "",
        attributes: Mapping[str, Attribute] | None = None,
        *,
        kind: SpanKind = "internal",
        content: bool = False,
        on_end: "Callable[[Span], None] | None" = None,
        traceparent: str | None = None,
    ) -> None:
        self.name = name
        self.context = context
        self.parent_id = parent_id
        self.kind = kind
        self.attributes: dict[str, Attribute] = dict(attributes or ()) if on_end else {}
        self.traceparent: str = str(context) if traceparent is None else traceparent
        """W3C trace context for whatever is asked in this span's name."""
        self.error = ""
        """Why it failed, in words; empty when it did not."""
        self.failure = ""
        """The failure's code, or the exception's class."""
        self.reply: Completion | Failure | Reply | None = None
        self.cancelled = False
        self.start_ns = 0
        self.end_ns = 0
        self._content = content
        self._on_end = on_end
        self._began_ns = 0

    @classmethod
    def silent(cls, traceparent: str) -> "Span":
        """Return a span that records nothing."""
        return cls("", None, traceparent=traceparent)

    @property
    def recording(self) -> bool:
        """Whether what is set here will be written anywhere."""
        return self._on_end is not None and self.context is not None and self.context.sampled

    @property
    def trace_id(self) -> str:
        """The trace's id, for an answer to name; empty when the row is not traced."""
        return self.context.trace_id if self.context is not None and self.recording else ""

    @property
    def duration_s(self) -> float:
        """Seconds from start to end, once it has ended."""
        return (self.end_ns - self.start_ns) / 1e9

    def set(self, attributes: Mapping[str, Attribute | Sequence[str] | None]) -> None:
        """Add attributes; None leaves one out."""
        if self.recording:
            self.attributes.update({key: _plain(value) for key, value in attributes.items() if value is not None})

    def fail(self, failure: Failure) -> None:
        """Mark it failed."""
        self.error = failure.message or failure.code
        self.failure = str(failure.code)
        self.set(failure_attributes(failure))

    def completed(self, reply: Completion | Failure) -> None:
        """Say what a model's call came to: tokens, cost, finish reason by the GenAI conventions; the text only where content is on."""
        self.reply = reply
        if isinstance(reply, Failure):
            self.fail(reply)
        elif self.recording:
            self.set(reply_attributes(reply, content=self._content))

    def settled(self, reply: Reply) -> None:
        """Say what a plan, a merge or a row came to."""
        self.reply = reply
        if isinstance(reply, Failure):
            self.fail(reply)
        elif self.recording:
            self.set(settled_attributes(reply, content=self._content))

    def __enter__(self) -> Self:
        if self._on_end is not None:
            self.start_ns = time.time_ns()
            self._began_ns = time.perf_counter_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._on_end is None:
            return
        self.end_ns = self.start_ns + time.perf_counter_ns() - self._began_ns
        if kind is not None:
            self._broke_off(kind)
        self._on_end(self)

    def _broke_off(self, kind: type[BaseException]) -> None:
        if issubclass(kind, CancelledError):
            self.cancelled = True
            self.set({"partsong.cancelled": True})
        else:  # the class alone: an exception's text may hold a prompt
            self.error = self.failure = kind.__name__
            self.set({"error.type": kind.__name__})


def _plain(value: Attribute | Sequence[str]) -> Attribute:
    return value if isinstance(value, str | bool | int | float) else tuple(value)
