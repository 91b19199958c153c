"""A provider on a socket: answers by a function of the prompt, counts what it was asked, and fails on demand."""

import argparse
import asyncio
import json
import signal
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from math import inf
from pathlib import Path
from typing import Any

from providers.failing import Cut, Stall, encoded_event, instead, reply_with, send_whole, spoilt
from providers.faults import Fault, FaultKind, Faults
from providers.http11 import Connection, Exchange, Request, Response, chunk_of
from providers.replies import Asked, Replies, Reply, ToolUse, echo, fitting, from_table

__all__ = ["Arrival", "Asked", "Provider", "Refused", "Reply", "ToolUse", "body_of", "echo", "expect", "only", "serve"]

_NONSENSE = (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError)
"""What reading a request of the wrong shape leads to."""


class Refused(Exception):  # noqa: N818 - the vendor's answer, not an error of ours
    """What the vendor says to a request that makes no sense."""

    def __init__(self, message: str, status: int = 400, kind: str = "") -> None:
        self.status, self.kind = status, kind
        super().__init__(message)


@dataclass(slots=True)
class Arrival:
    """A good request, as a provider's own books have it."""

    at_s: float
    """On the server's monotonic clock."""
    model: str
    prompt: str
    prompt_tokens: int
    completion_tokens: int = 0
    """0 until it is answered; what a client that left did not read counts."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Provider(ABC):
    """`async with OpenAIServer() as server: server.url`."""

    base_path = ""

    def __init__(
        self, reply: Replies = fitting, *, key: str = "test-key", latency_s: float = 0.0, pace_s: float = 0.0, capacity: float = inf
    ):
        self.reply = reply
        self.keys = {key}
        """Keys that are admitted."""
        self.latency_s = latency_s
        self.pace_s = pace_s
        """Seconds between two events of a stream."""
        self.capacity = capacity
        """Calls at once that it answers in its own time; beyond, all take longer in proportion."""
        self.calls: Counter[str] = Counter()
        """Good requests by prompt, answered or not."""
        self.abandoned: Counter[str] = Counter()
        """Requests whose client left before it had the whole answer, by prompt."""
        self.came_with: Counter[str] = Counter()
        """Requests by the key that they came with, those that were refused included."""
        self.requests: deque[Request] = deque(maxlen=256)
        self.arrivals: deque[Arrival] = deque(maxlen=100_000)
        self.connections = 0
        """Connections ever made."""
        self.in_flight = self.most_in_flight = 0
        self._faults = Faults()
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

    @abstractmethod
    def without_choices(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the same body or event with nothing said in it; None if there is nothing else in it."""

    def admits(self, key: str) -> bool:
        """Count the request for its key; return whether it is admitted."""
        self.came_with[key] += 1
        return key in self.keys

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port, backlog=1024)
        self.host, self.port = self._server.sockets[0].getsockname()

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
        return f"http://{self.host}:{self.port}{self.base_path}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def fault(self, kind: FaultKind, **fields: Any) -> None:
        """Let the next call (the next `times` calls that match) fail."""
        self.break_by(Fault(kind, **fields))

    def mend(self) -> None:
        """Let no further call fail."""
        self._faults.clear()

    def break_by(self, fault: Fault) -> None:
        """Let the calls that the fault hits fail."""
        self._faults.add(fault)

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

    def stats(self, *, summary: bool = False) -> dict[str, Any]:
        """Return what was counted; with `summary`, without the prompts."""
        counted = {
            "total": self.calls.total(),
            "total_abandoned": self.abandoned.total(),
            "connections": self.connections,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "came_with": self.came_with,
        }
        return counted if summary else counted | {"calls": self.calls, "abandoned": self.abandoned}

    def reset(self) -> None:
        """Forget all counts and all faults."""
        self._faults.clear()
        self.calls.clear()
        self.abandoned.clear()
        self.came_with.clear()
        self.requests.clear()
        self.arrivals.clear()
        self.connections = len(self._open)
        self.most_in_flight = self.in_flight

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
            asked.prompt.encode()  # a lone surrogate is no text
        except Refused as refused:
            exchange.send(Response.of(self.error(refused.status, str(refused), refused.kind), refused.status))
            return
        except _NONSENSE as nonsense:
            exchange.send(Response.of(self.error(400, f"the request makes no sense: {nonsense}"), 400))
            return
        self.calls[asked.prompt] += 1
        arrival = Arrival(asyncio.get_running_loop().time(), asked.model, asked.prompt, asked.prompt_tokens)
        self.arrivals.append(arrival)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._changed.set()
        exchange.on_lost = lambda: self._abandon(asked)
        fault = self._faults.next(asked.prompt)
        delay_s = fault.delay_s if fault is not None and fault.kind == "slow" else self._latency_s()
        if delay_s == inf:
            return
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._respond, exchange, asked, fault, arrival)
        else:
            self._respond(exchange, asked, fault, arrival)

    def _latency_s(self) -> float:
        return self.latency_s * max(1.0, self.in_flight / self.capacity)

    def _abandon(self, asked: Asked) -> None:
        self.in_flight -= 1
        self.abandoned[asked.prompt] += 1
        self._changed.set()

    def _respond(self, exchange: Exchange, asked: Asked, fault: Fault | None, arrival: Arrival) -> None:
        if exchange.lost:
            return
        if fault is not None and instead(exchange, fault, self, asked.stream):
            self._done(exchange)
            return
        said = self.reply(asked)
        reply = Reply(said) if isinstance(said, str) else said
        if fault is not None:
            reply = reply_with(fault, reply)
        arrival.completion_tokens = len(reply.tokens) + reply.reasoning_tokens
        if asked.stream:
            self._stream(exchange, asked, reply, fault)
        elif fault is not None:
            send_whole(exchange, self.whole(asked, reply), fault, self, lambda: self._done(exchange))
        else:
            exchange.send(Response.of(self.whole(asked, reply)))
            self._done(exchange)

    def _done(self, exchange: Exchange) -> None:
        if exchange.done:
            self.in_flight -= 1

    def _stream(self, exchange: Exchange, asked: Asked, reply: Reply, fault: Fault | None) -> None:
        exchange.begin("text/plain" if fault is not None and fault.kind == "wrong-type" else "text/event-stream")
        events = self.events(asked, reply)
        pieces = self._pieces(exchange, events if fault is None else spoilt(events, fault, self))
        if self.pace_s:
            self._paced(exchange, pieces)
        else:
            exchange.pour(pieces, lambda: self._end(exchange))

    def _pieces(self, exchange: Exchange, events: Iterator[Any]) -> Iterator[bytes]:
        """Yield what is to be sent; a cut sends its own last part."""
        for event in events:
            if isinstance(event, Cut):
                exchange.cut(chunk_of(event.partial) if event.partial else b"")
                return
            if isinstance(event, Stall):
                exchange.stall()
                return
            yield chunk_of(event if isinstance(event, bytes) else encoded_event(*event))

    def _paced(self, exchange: Exchange, pieces: Iterator[bytes]) -> None:
        if exchange.lost:
            return
        piece = next(pieces, None)
        if piece is None:
            self._end(exchange)
            return
        exchange.pour(iter([piece]), lambda: asyncio.get_running_loop().call_later(self.pace_s, self._paced, exchange, pieces))

    def _end(self, exchange: Exchange) -> None:
        if exchange.stalled:
            return
        if not exchange.done:
            exchange.end()
        self._done(exchange)

    def _control(self, exchange: Exchange) -> None:
        """Statistics and faults, for other processes."""
        request = exchange.request
        match request.method, request.path:
            case "GET", "/_stats":
                exchange.send(Response.of(self.stats(summary=request.target.endswith("?summary=1"))))
            case "GET", "/_arrivals":
                exchange.send(Response.of({"arrivals": [astuple(arrival) for arrival in self.arrivals]}))
            case "POST", "/_faults":
                exchange.send(self._told(request))
            case "POST", "/_keys":
                self.keys = set(json.loads(request.body))
                exchange.send(Response.of(self.stats(summary=True)))
            case "POST", "/_reset":
                self.reset()
                exchange.send(Response.of(self.stats()))
            case _:
                exchange.send(
                    Response.of({"error": "there are GET /_stats, GET /_arrivals, POST /_faults, POST /_keys and POST /_reset"}, 404)
                )

    def _told(self, request: Request) -> Response:
        try:
            told = json.loads(request.body)
            faults = [Fault.of(fields) for fields in (told if isinstance(told, list) else [told])]
        except (TypeError, ValueError) as wrong:
            return Response.of({"error": f"no fault: {wrong}"}, 400)
        for fault in faults:
            self._faults.add(fault)
        return Response.of(self.stats(summary=True))


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent; raises Refused."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
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
    """Run as a process: prints its address, then serves until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between two events of a stream")
    parser.add_argument("--capacity", type=float, default=inf, help="calls at once beyond which all take longer in proportion")
    parser.add_argument("--key", default="test-key")
    parser.add_argument("--text", help="what every answer says; else the prompt comes back, or a tool call or JSON where that is asked")
    parser.add_argument("--table", type=Path, help="JSON file of answers by prompt")
    options = parser.parse_args()
    text = options.text
    reply = (lambda _: text) if text is not None else from_table(options.table) if options.table is not None else fitting

    async def run() -> None:
        ended = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, ended.set)
        server = kind(reply, key=options.key, latency_s=options.latency, pace_s=options.pace, capacity=options.capacity)
        await server.start(options.port, options.host)
        print(f"listening on {server.url}", flush=True)
        await ended.wait()
        await server.stop()

    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())
