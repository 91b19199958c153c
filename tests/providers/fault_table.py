"""Fault table: what a user gets of every fault, by adapter, whole and streamed; tests hold the engine to it, the docs print it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from providers.faults import Fault

__all__ = ["ADAPTERS", "COLUMNS", "TABLE", "Case", "Cell", "Column", "Unreachable", "answered", "fails"]

Adapter = Literal["openai", "anthropic", "gemini"]
ADAPTERS: Sequence[Adapter] = ("openai", "anthropic", "gemini")

Unreachable = Literal[
    "refused",  # nothing listens at the port
    "no-address",  # the host's name has no address
    "link-local",  # where clouds keep their credentials
    "silent",  # something listens, and says nothing
    "no-handshake",  # the connection is made, but no TLS is agreed on
    "untrusted",  # the server's certificate is its own word
]


@dataclass(frozen=True, slots=True)
class Column:
    """One adapter, asked for a whole reply or a stream."""

    adapter: Adapter
    streamed: bool


COLUMNS = tuple(Column(adapter, streamed) for streamed in (False, True) for adapter in ADAPTERS)


@dataclass(frozen=True, slots=True)
class Cell:
    """What the user gets."""

    code: str | None = None
    """The failure's code; None when the row is answered."""
    sent: Literal["no", "maybe", "yes"] = "yes"
    retried: bool = False
    finish_reason: str = "stop"
    estimated: bool = False
    """Whether the usage is Partsong's estimate."""


def answered(finish_reason: str = "stop", *, estimated: bool = False) -> Cell:
    return Cell(finish_reason=finish_reason, estimated=estimated)


def fails(code: str, *, sent: Literal["no", "maybe", "yes"] = "yes", retried: bool = False) -> Cell:
    return Cell(code, sent, retried)


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: a row of the table."""

    fault: str
    """In words."""
    how: Fault | Unreachable
    gets: Cell
    """What the user gets, where nothing else is said."""
    streamed: Cell | None = None
    """What a streamed row gets, where that differs."""
    but: Mapping[Adapter, Cell] = field(default_factory=dict)
    """What an adapter makes of it that sees more in it than the others, or less."""
    but_streamed: Mapping[Adapter, Cell] = field(default_factory=dict)
    """The same, of streamed rows alone."""
    waits_s: tuple[float, float] | None = None
    """Between which bounds the wait before the second try lies."""
    closes: bool = False
    """Whether the server sees that its connection is closed before it has said all."""

    def cell(self, column: Column) -> Cell:
        if column.streamed:
            return self.but_streamed.get(column.adapter) or self.streamed or self.but.get(column.adapter) or self.gets
        return self.but.get(column.adapter) or self.gets

    def groups(self) -> Iterator[tuple[Cell, list[Column]]]:
        """Yield each cell there is, with the columns it stands in."""
        cells = [self.cell(column) for column in COLUMNS]
        for cell in dict.fromkeys(cells):
            yield cell, [column for column, other in zip(COLUMNS, cells, strict=True) if other == cell]


def _status(status: int, *headers: tuple[str, str]) -> Fault:
    return Fault("status", status=status, headers=headers)


_BAD_REQUEST = fails("bad-request")
_RATE_LIMITED = fails("rate-limited", retried=True)
_OVERLOADED = fails("overloaded", retried=True)
_BROKEN = fails("server-error", retried=True)
_TIMEOUT = fails("timeout", retried=True)
_LOST = fails("connection-lost", sent="maybe", retried=True)
_MALFORMED = fails("malformed-reply", retried=True)
_CUT = fails("connection-lost", retried=True)
_CUT_STREAM = fails("stream-broken")
_REDIRECTED = fails("not-found")
_FOUR = 4
"""So many events into a stream, every protocol has said something."""

TABLE: Mapping[str, Sequence[Case]] = {
    "Statuses": (
        Case("400", _status(400), _BAD_REQUEST),
        Case("401", _status(401), fails("auth")),
        Case("403", _status(403), fails("forbidden")),
        Case("404", _status(404), fails("not-found")),
        Case("408", _status(408), _TIMEOUT),
        Case("409", _status(409), fails("bad-request", retried=True)),
        Case("413", _status(413), fails("too-large")),
        Case("422", _status(422), _BAD_REQUEST),
        Case("429", _status(429), _RATE_LIMITED),
        Case("429, `retry-after: 2`", _status(429, ("retry-after", "2")), _RATE_LIMITED, waits_s=(2, 3)),
        Case("429, `retry-after` a date, 9 s from now", _status(429, ("retry-after", "{date+9}")), _RATE_LIMITED, waits_s=(7, 10)),
        Case("429, `retry-after: soon`", _status(429, ("retry-after", "soon")), _RATE_LIMITED, waits_s=(0, 1)),
        Case("429, `retry-after: -5`", _status(429, ("retry-after", "-5")), _RATE_LIMITED, waits_s=(0, 1)),
        Case("429, `retry-after: 999999999`", _status(429, ("retry-after", "999999999")), fails("rate-limited")),
        Case("500", _status(500), _BROKEN),
        Case("502", _status(502), _BROKEN),
        Case("503", _status(503), _OVERLOADED),
        Case("504", _status(504), _TIMEOUT),
        Case("529", _status(529), _OVERLOADED),
        Case("301, to another host", Fault("redirect", status=301), _REDIRECTED),
        Case("302, to another host", Fault("redirect", status=302), _REDIRECTED),
        Case("307, to another host", Fault("redirect", status=307), _REDIRECTED),
        Case("308, to another host", Fault("redirect", status=308), _REDIRECTED),
        Case("a key that expires after two calls (401 from then on)", Fault("status", status=401, skip=2), fails("auth")),
    ),
    "Connections": (
        Case("refused", "refused", fails("connect", sent="no", retried=True)),
        Case("the host's name has no address", "no-address", fails("connect", sent="no", retried=True)),
        Case("a link-local address, where nothing allows it", "link-local", fails("connect", sent="no")),
        Case("no connection within `connect_timeout`", "silent", fails("connect", sent="no", retried=True)),
        Case("no TLS can be agreed on", "no-handshake", fails("connect", sent="no", retried=True)),
        Case("a certificate that nobody vouches for", "untrusted", fails("connect", sent="no")),
        Case("closed before the reply", Fault("close"), _LOST),
        Case("reset before the reply", Fault("reset"), _LOST),
        Case("reset within the headers", Fault("reset-in-headers"), _LOST),
        Case("reset after the headers", Fault("reset-after-headers"), _CUT),
        Case("no first byte within `timeout`", Fault("slow"), fails("timeout", sent="maybe", retried=True), closes=True),
    ),
    "Replies that break off": (
        Case("stalled in its middle, for `stall_timeout`", Fault("stall", after=_FOUR), _TIMEOUT, streamed=fails("timeout"), closes=True),
        Case("cut in its middle", Fault("cut", after=_FOUR), _CUT, streamed=_CUT_STREAM),
        Case("cut before it has said anything", Fault("cut", after=0), _CUT, streamed=fails("stream-broken", retried=True)),
        Case("cut within an event", Fault("cut-mid-event", after=_FOUR), _CUT, streamed=_CUT_STREAM),
        Case("cut within a character's UTF-8", Fault("cut-mid-character", after=_FOUR), _CUT, streamed=_CUT_STREAM),
        Case(
            "cut when all is said but the usage",
            Fault("cut-before-usage"),
            _CUT,
            streamed=_CUT_STREAM,
            but_streamed={"openai": answered(estimated=True)},
        ),
        Case("ended in good order, but too early", Fault("bare", after=_FOUR), _MALFORMED, streamed=_CUT_STREAM),
    ),
    "Replies that are none": (
        Case("empty body", Fault("empty"), _MALFORMED),
        Case("truncated JSON", Fault("malformed", after=_FOUR), _MALFORMED, streamed=fails("malformed-reply")),
        Case("JSON nested 100,000 deep", Fault("nested", after=_FOUR), fails("malformed-reply")),
        Case("a good reply under a wrong content type", Fault("wrong-type"), answered(), streamed=_MALFORMED),
        Case("a web page", Fault("html"), fails("malformed-reply")),
        Case(
            "an empty list of choices (of content blocks, of candidates)",
            Fault("no-choices"),
            _MALFORMED,
            but={"anthropic": answered()},
            but_streamed={"gemini": fails("stream-broken", retried=True), "anthropic": answered()},
        ),
        Case(
            "an error under status 200 (of a stream: before anything is said)",
            Fault("error-body", after=0),
            _BROKEN,
            but={"anthropic": _OVERLOADED, "gemini": _OVERLOADED},
        ),
        Case(
            "an error under status 200 (of a stream: after something was said)",
            Fault("error-body", after=_FOUR),
            _BROKEN,
            but={"anthropic": _OVERLOADED, "gemini": _OVERLOADED},
            streamed=fails("server-error"),
            but_streamed={"anthropic": fails("overloaded"), "gemini": fails("overloaded")},
        ),
        Case("500 MB (over `reply_cap`)", Fault("huge", size=500_000_000), fails("too-large"), closes=True),
        Case("the content filter withholds all", Fault("withheld"), fails("content-filter")),
    ),
    "Replies with something about them": (
        Case("10 MB", Fault("huge", size=10_000_000), answered()),
        Case("no usage", Fault("no-usage"), answered(estimated=True)),
        Case("stopped at its longest length", Fault("length"), answered("length")),
        Case(
            "stopped by the content filter, with words before it",
            Fault("filtered"),
            answered("content_filter"),
            but={"anthropic": fails("content-filter")},
        ),
    ),
}
