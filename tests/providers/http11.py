"""HTTP/1.1 server: as much as the provider servers need, on an asyncio protocol, fast enough that benchmarks measure the client."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_MOST_BYTES = 256 * 2**20
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        return cls(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), headers=headers)

    def encoded(self) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\ncontent-type: {self.content_type}\r\n"
            f"{more}content-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Exchange:
    """One request and what goes back for it, whole or in chunks."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self.request = request
        self.done = False
        self.on_lost: Callable[[], None] | None = None
        """Called when the client leaves before the exchange is done."""

    @property
    def lost(self) -> bool:
        return self._connection.transport.is_closing()

    def send(self, response: Response) -> None:
        self._write(response.encoded())
        self._finish()

    def begin(self, content_type: str) -> None:
        self._write(f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    def chunk(self, piece: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        self._write(b"0\r\n\r\n")
        self._finish()

    def cut(self, partial: bytes = b"") -> None:
        """Close the connection in the middle of whatever it was."""
        self._write(partial)
        self.done = True
        self._connection.transport.close()

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self.done = True
        self._connection.transport.abort()

    def _write(self, data: bytes) -> None:
        if data and not self.lost:
            self._connection.transport.write(data)

    def _finish(self) -> None:
        self.done = True
        self._connection.finished()


class Connection(asyncio.Protocol):
    """A client's connection: requests one after another."""

    def __init__(self, answer: Callable[[Exchange], None], open_connections: set["Connection"]) -> None:
        self._answer = answer
        self._open = open_connections
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._exchange: Exchange | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        exchange = self._exchange
        if exchange is not None and not exchange.done and exchange.on_lost is not None:
            exchange.on_lost()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MOST_BYTES:
            self.transport.abort()
        self._next()

    def finished(self) -> None:
        self._exchange = None
        self._next()

    def _next(self) -> None:
        if self._exchange is not None:
            return
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        method, target, headers = self._head
        length = int(headers.get("content-length", "0"))
        if len(self._buffer) < length:
            return
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        self._exchange = Exchange(self, Request(method, target, headers, body))
        self._answer(self._exchange)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if "transfer-encoding" in headers:
            self.transport.write(Response.of({"error": "send a content-length"}, 411).encoded())
            self.transport.close()
            return False
        self._head = (method, target, headers)
        return True
