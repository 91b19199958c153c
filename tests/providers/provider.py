"""A provider on a socket: answers by a function of the prompt, counts what it was asked, and fails on demand."""

import argparse
import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, Literal

from providers.http11 import Connection, Exchange, Request, Response

FaultKind = Literal[
    "status",  # an error of this status, with the headers given
    "slow",  # nothing for `delay_s` (for ever, by default), then the answer
    "cut",  # the connection closes in the middle of the reply: after `after` events of a stream
    "stall",  # the same, but the connection stays open and nothing more comes
    "close",  # the connection is closed before the first byte
    "reset",  # the connection is reset before the first byte
    "malformed",  # 200, and JSON that ends too early
    "html",  # `status` (200 by default) and a web page
    "empty",  # 200 and no body
    "bare",  # 200 and an object with no choices in it
    "no-usage",  # a good reply that names no usage
    "error-body",  # 200, whose body (or whose stream, after `after` events) is an error
    "redirect",  # 307 to another host
]


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    times: float = 1
    """How many calls it hits; `inf` for all."""
    match: str = ""
    """Only calls whose prompt holds this."""
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = inf
    after: int = 1


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    arguments: dict[str, Any]
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Reply:
    text: str = ""
    finish: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"
    tool_calls: Sequence[ToolUse] = ()
    refusal: str = ""
    logprob: float = -0.1
    """Of every token."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def tokens(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, whatever the protocol."""

    prompt: str
    """Text of the last user turn."""
    model: str
    body: dict[str, Any] = field(repr=False)
    stream: bool = False
    logprobs: bool = False
    path: str = ""

    @property
    def prompt_tokens(self) -> int:
        return -(-len(self.prompt) // 4)


def echo(asked: Asked) -> str:
    return asked.prompt


class Refused(Exception):  # noqa: N818 - the vendor's answer, not an error of ours
    """What the vendor says to a request that makes no sense."""

    def __init__(self, message: str, status: int = 400, kind: str = "") -> None:
        self.status, self.kind = status, kind
        super().__init__(message)


class Provider(ABC):
    """`async with OpenAIServer() as server: server.url`."""

    base_path = ""

    def __init__(self, reply: Callable[[Asked], str | Reply] = echo, *, key: str = "test-key", latency_s: float = 0.0, pace_s: float = 0.0):
        self.reply = reply
        self.key = key
        self.latency_s = latency_s
        self.pace_s = pace_s
        """Seconds between two events of a stream."""
        self.calls: Counter[str] = Counter()
        """Good requests by prompt, answered or not."""
        self.abandoned: Counter[str] = Counter()
        """Requests whose client left before it had the whole answer, by prompt."""
        self.requests: deque[Request] = deque(maxlen=256)
        self.connections = 0
        """Connections ever made."""
        self.in_flight = self.most_in_flight = 0
        self._faults: list[Fault] = []
        self._open: set[Connection] = set()
        self._changed = asyncio.Event()

    @abstractmethod
    def read(self, request: Request) -> Asked:
        """Return what is asked; raises Refused."""

    @abstractmethod
    def whole(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        """Return the reply's body."""

    @abstractmethod
    def events(self, asked: Asked, reply: Reply) -> Iterator[tuple[str, Any]]:
        """Return the reply as events of a stream: name (may be empty) and data."""

    @abstractmethod
    def error(self, status: int, message: str, kind: str = "") -> dict[str, Any]:
        """Return an error's body."""

    @abstractmethod
    def without_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the same body or event with no usage."""

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for connection in list(self._open):
            connection.transport.abort()
        await self._server.wait_closed()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def fault(self, kind: FaultKind, **fields: Any) -> None:
        """Let the next call (the next `times` calls that match) fail."""
        self._faults.append(Fault(kind, **fields))

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until what is asked about the server is true."""
        async with asyncio.timeout(5):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    def body(self) -> dict[str, Any]:
        """Return the latest request's body."""
        value: dict[str, Any] = json.loads(self.requests[-1].body)
        return value

    def stats(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "total": self.calls.total(),
            "abandoned": self.abandoned,
            "connections": self.connections,
            "most_in_flight": self.most_in_flight,
        }

    def _connection(self) -> Connection:
        self.connections += 1
        return Connection(self._answer, self._open)

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path.startswith("/_"):
            self._control(exchange)
            return
        self.requests.append(request)
        try:
            asked = self.read(request)
        except Refused as refused:
            exchange.send(Response.of(self.error(refused.status, str(refused), refused.kind), refused.status))
            return
        self.calls[asked.prompt] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._changed.set()
        exchange.on_lost = lambda: self._abandon(asked)
        fault = self._taken(asked)
        delay_s = fault.delay_s if fault is not None and fault.kind == "slow" else self.latency_s
        if delay_s == inf:
            return
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._respond, exchange, asked, fault)
        else:
            self._respond(exchange, asked, fault)

    def _abandon(self, asked: Asked) -> None:
        self.in_flight -= 1
        self.abandoned[asked.prompt] += 1
        self._changed.set()

    def _taken(self, asked: Asked) -> Fault | None:
        for place, fault in enumerate(self._faults):
            if fault.match in asked.prompt:
                left = fault.times - 1
                self._faults[place : place + 1] = [] if left <= 0 else [Fault(**(asdict(fault) | {"times": left}))]
                return fault
        return None

    def _respond(self, exchange: Exchange, asked: Asked, fault: Fault | None) -> None:
        if exchange.lost:
            return
        if fault is not None and self._failed(exchange, asked, fault):
            self._done(exchange)
            return
        said = self.reply(asked)
        reply = Reply(said) if isinstance(said, str) else said
        if asked.stream:
            self._stream(exchange, asked, reply, fault)
            return
        body = self.whole(asked, reply)
        if fault is not None and fault.kind == "no-usage":
            body = self.without_usage(body)
        response = Response.of(body)
        if fault is not None and fault.kind in ("cut", "stall"):
            encoded = response.encoded()
            half = encoded[: -len(response.body) // 2]
            exchange.cut(half) if fault.kind == "cut" else exchange._write(half)
        else:
            exchange.send(response)
        self._done(exchange)

    def _done(self, exchange: Exchange) -> None:
        if exchange.done:
            self.in_flight -= 1

    def _failed(self, exchange: Exchange, asked: Asked, fault: Fault) -> bool:
        """Send what the fault sends instead of a reply; False when it lets a reply begin."""
        match fault.kind:
            case "status":
                body = self.error(fault.status, f"status {fault.status} on demand")
                exchange.send(Response.of(body, fault.status, fault.headers))
            case "close":
                exchange.cut()
            case "reset":
                exchange.reset()
            case "malformed" if not asked.stream:
                exchange.send(Response(200, b'{"id": "x", "choices": [{"mess'))
            case "html":
                page = b"<html><body><h1>Bad gateway</h1></body></html>"
                exchange.send(Response(fault.status or 200, page, "text/html"))
            case "empty":
                exchange.send(Response(200, b""))
            case "bare" if not asked.stream:
                exchange.send(Response.of({"id": "x"}))
            case "error-body" if not asked.stream:
                exchange.send(Response.of(self.error(503, "error on demand")))
            case "redirect":
                exchange.send(Response(307, b"", headers=(("location", "http://elsewhere.invalid/v1/chat/completions?key=secret"),)))
            case _:
                return False
        return True

    def _stream(self, exchange: Exchange, asked: Asked, reply: Reply, fault: Fault | None) -> None:
        exchange.begin("text/event-stream")
        events = self.events(asked, reply)
        if fault is not None:
            events = self._spoilt(events, fault)
        self._next_events(exchange, events)

    def _next_events(self, exchange: Exchange, events: Iterator[Any]) -> None:
        for event in events:
            if exchange.lost:
                return
            if event is _CUT:
                exchange.cut()
                self._done(exchange)
                return
            if event is _STALL:
                return
            exchange.chunk(event if isinstance(event, bytes) else encoded_event(*event))
            if self.pace_s:
                asyncio.get_running_loop().call_later(self.pace_s, self._next_events, exchange, events)
                return
        exchange.end()
        self._done(exchange)

    def _spoilt(self, events: Iterator[tuple[str, Any]], fault: Fault) -> Iterator[Any]:
        for number, event in enumerate(events):
            if number == fault.after:
                match fault.kind:
                    case "cut":
                        yield _CUT
                    case "stall":
                        yield _STALL
                    case "malformed":
                        yield b'data: {"choices": [{"del\n\n'
                    case "error-body":
                        yield ("error", self.error(503, "error on demand"))
                        return
                    case "bare":
                        return
            name, data = event
            yield (name, self.without_usage(data)) if fault.kind == "no-usage" and isinstance(data, dict) else event

    def _control(self, exchange: Exchange) -> None:
        """Statistics and faults, for other processes."""
        request = exchange.request
        if request.path == "/_faults":
            fields = json.loads(request.body)
            fields["headers"] = tuple(tuple(pair) for pair in fields.get("headers", ()))
            self.fault(**fields)
        exchange.send(Response.of(self.stats()))


_CUT, _STALL = object(), object()


def encoded_event(name: str, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n").encode()


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent; raises Refused."""
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("the body is no JSON object")
    return body


def expect(holds: object, message: str) -> None:
    if not holds:
        raise Refused(message)


def only(known: frozenset[str], fields: dict[str, Any], what: str) -> None:
    if unknown := fields.keys() - known:
        raise Refused(f"{what}: unknown field {min(unknown)!r}")


def serve(kind: type[Provider]) -> None:
    """Run as a process: prints its address, then serves until it is ended."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between two events of a stream")
    parser.add_argument("--key", default="test-key")
    parser.add_argument("--text", help="what every answer says; else the prompt comes back")
    options = parser.parse_args()

    async def run() -> None:
        reply = echo if options.text is None else lambda _: options.text
        async with kind(reply, key=options.key, latency_s=options.latency, pace_s=options.pace) as server:
            print(server.url, flush=True)
            await asyncio.Event().wait()

    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())
