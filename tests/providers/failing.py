"""Failing: how each fault looks on the wire, whatever the protocol."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from providers.faults import Fault
from providers.http11 import Exchange, Response
from providers.replies import Reply

_ELSEWHERE = "http://elsewhere.invalid/v1/chat/completions?key=secret"
_PAGE = b"<html><body><h1>Bad gateway</h1></body></html>"
_BLOCK = "x" * 65_536
_CUTS = ("cut", "cut-mid-event", "cut-mid-character", "cut-before-usage")

Event = tuple[str, Any]


class Wire(Protocol):
    """What a fault must know of a protocol."""

    def error(self, status: int, message: str, kind: str = "") -> dict[str, Any]: ...
    def without_usage(self, body: dict[str, Any]) -> dict[str, Any]: ...
    def without_choices(self, body: dict[str, Any]) -> dict[str, Any] | None: ...


def instead(exchange: Exchange, fault: Fault, wire: Wire, stream: bool) -> bool:
    """Send what the fault sends instead of a reply; False when it lets a reply begin."""
    match fault.kind:
        case "close":
            exchange.cut()
        case "reset":
            exchange.reset()
        case "reset-in-headers":
            exchange.reset(b"HTTP/1.1 200 OK\r\ncontent-ty")
        case "reset-after-headers":
            exchange.reset(Response(200, b"").head(1000))
        case _:
            response = _instead(fault, wire, stream)
            if response is None:
                return False
            exchange.send(response)
    return True


def _instead(fault: Fault, wire: Wire, stream: bool) -> Response | None:
    match fault.kind:
        case "status":
            return Response.of(wire.error(fault.status, f"status {fault.status} on demand"), fault.status, fault.headers)
        case "html":
            return Response(fault.status or 200, _PAGE, "text/html")
        case "empty":
            return Response(200, b"")
        case "redirect":
            return Response(fault.status or 307, b"", headers=(("location", fault.location or _ELSEWHERE),))
        case "malformed" if not stream:
            return Response(200, b'{"id": "x", "choices": [{"mess')
        case "nested" if not stream:
            return Response(200, _nested(fault))
        case "bare" if not stream:
            return Response.of({"id": "x"})
        case "error-body" if not stream:
            return Response.of(wire.error(503, "error on demand"))
        case _:
            return None


def reply_with(fault: Fault, reply: Reply) -> Reply:
    """Return the reply as the fault lets the model say it."""
    match fault.kind:
        case "filtered":
            return replace(reply, finish="content_filter")
        case "withheld":
            return replace(reply, text="", finish="content_filter", tool_calls=())
        case "length":
            return replace(reply, finish="length", text="".join(reply.tokens[: max(1, len(reply.tokens) // 2)]))
        case "huge":
            return replace(reply, text=_BLOCK, tool_calls=())
        case _:
            return reply


def send_whole(exchange: Exchange, body: dict[str, Any], fault: Fault, wire: Wire, done: Callable[[], None]) -> None:
    """Send the reply as the fault spoils it."""
    if fault.kind == "no-usage":
        body = wire.without_usage(body)
    if fault.kind == "no-choices":
        body = wire.without_choices(body) or {}
    response = Response.of(body)
    if fault.kind == "huge":
        _pour_whole(exchange, response, fault, done)
        return
    if fault.kind in _CUTS:
        exchange.cut(response.head(len(response.body)) + response.body[: _cut_at(response.body, fault)])
    elif fault.kind == "stall":
        exchange.stall(response.encoded()[: -(len(response.body) // 2)])
    else:
        exchange.send(replace(response, content_type="text/plain") if fault.kind == "wrong-type" else response)
    done()


def _pour_whole(exchange: Exchange, response: Response, fault: Fault, done: Callable[[], None]) -> None:
    block = _BLOCK.encode()
    before, _, after = response.body.partition(block)
    blocks = _blocks(fault)

    def pieces() -> Iterator[bytes]:
        yield response.head(len(before) + blocks * len(block) + len(after)) + before
        for _ in range(blocks):
            yield block
        yield after

    def end() -> None:
        exchange.finish()
        done()

    exchange.pour(pieces(), end)


def _cut_at(body: bytes, fault: Fault) -> int:
    usage = body.find(b'"usage')
    if fault.kind == "cut-before-usage" and usage > 0:
        return usage
    return _in_character(body) if fault.kind == "cut-mid-character" else len(body) // 2


def _in_character(text: bytes) -> int:
    """Return where the first character of several bytes is half over; the middle if there is none."""
    return next((at + 1 for at, byte in enumerate(text) if byte >= 0xC2), len(text) // 2)


@dataclass(frozen=True, slots=True)
class Cut:
    """The stream ends here, its connection too."""

    partial: bytes = b""


class Stall:
    """The stream ends here, its connection does not."""


def spoilt(events: Iterator[Event], fault: Fault, wire: Wire) -> Iterator[Event | bytes | Cut | Stall]:
    """Yield the events as the fault spoils them."""
    match fault.kind:
        case "no-usage":
            yield from ((name, wire.without_usage(event) if isinstance(event, dict) else event) for name, event in events)
        case "no-choices":
            yield from _without_choices(events, wire)
        case "huge":
            yield from _swollen(events, fault)
        case "cut-before-usage":
            yield from _before_usage(list(events), wire)
        case "cut-mid-character":
            yield from _cut_in_character(events, fault)
        case _:
            yield from _broken_at(events, fault, wire)


def _broken_at(events: Iterator[Event], fault: Fault, wire: Wire) -> Iterator[Event | bytes | Cut | Stall]:
    for number, event in enumerate(events):
        if number == fault.after:
            match fault.kind:
                case "cut":
                    yield Cut()
                case "cut-mid-event":
                    encoded = encoded_event(*event)
                    yield Cut(encoded[: len(encoded) // 2])
                case "stall":
                    yield Stall()
                case "malformed":
                    yield b'data: {"choices": [{"del\n\n'
                case "nested":
                    yield b"data: %b\n\n" % _nested(fault)
                case "error-body":
                    yield ("error", wire.error(503, "error on demand"))
                    return
                case "bare":
                    return
        yield event


def _without_choices(events: Iterator[Event], wire: Wire) -> Iterator[Event]:
    for name, event in events:
        left = wire.without_choices(event) if isinstance(event, dict) else event
        if left is not None:
            yield name, left


def _swollen(events: Iterator[Event], fault: Fault) -> Iterator[bytes]:
    for name, event in events:
        encoded = encoded_event(name, event)
        for _ in range(_blocks(fault) if _BLOCK.encode() in encoded else 1):
            yield encoded


def _before_usage(events: list[Event], wire: Wire) -> Iterator[Event | Cut]:
    naming = [n for n, (_, event) in enumerate(events) if isinstance(event, dict) and wire.without_usage(event) != event]
    last = naming[-1] if naming else len(events) - 1
    yield from events[:last]
    yield Cut()


def _cut_in_character(events: Iterator[Event], fault: Fault) -> Iterator[Event | Cut]:
    for number, event in enumerate(events):
        encoded = encoded_event(*event)
        if number >= fault.after and not encoded.isascii():
            yield Cut(encoded[: _in_character(encoded)])
            return
        yield event
    yield Cut(b'data: {"id": "\xc3')


def _nested(fault: Fault) -> bytes:
    depth = fault.size or 100_000
    return b"[" * depth + b"]" * depth


def _blocks(fault: Fault) -> int:
    return max(1, (fault.size or 10_000_000) // len(_BLOCK))


def encoded_event(name: str, event: Any) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n").encode()
