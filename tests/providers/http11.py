"""HTTP/1.1 server: as much as the provider servers need, on an asyncio protocol, fast enough that benchmarks measure the client."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_MOST_BYTES = 256 * 2**20
_NO_LINGER = struct.pack("ii", 1, 0)
_UNDERWAY_S = 0.02
"""What a reset connection has sent before must have arrived: a reset throws away what was not read."""
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
        return self.head(len(self.body)) + self.body

    def head(self, length: int) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = (
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\ncontent-type: {self.content_type}\r\n"
            f"{more}content-length: {length}\r\n\r\n"
        )
        return head.encode()


class Exchange:
    """One request and what goes back for it, whole or in chunks."""

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self.request = request
        self.done = False
        self.stalled = False
        """Whether nothing more will come, though it is not done."""
        self.on_lost: Callable[[], None] | None = None
        """Called when the client leaves before the exchange is done."""

    @property
    def lost(self) -> bool:
        return self._connection.transport.is_closing()

    def send(self, response: Response) -> None:
        self._write(response.encoded())
        self.finish()

    def begin(self, content_type: str) -> None:
        self._write(stream_head(content_type))

    def end(self) -> None:
        self._write(b"0\r\n\r\n")
        self.finish()

    def cut(self, partial: bytes = b"") -> None:
        """Close the connection in the middle of whatever it was."""
        self._write(partial)
        self.done = True
        self._connection.transport.close()

    def reset(self, partial: bytes = b"") -> None:
        """Reset the connection (RST), once what is sent before it has arrived."""
        self.done = True
        self._write(partial)
        if partial:
            asyncio.get_running_loop().call_later(_UNDERWAY_S, self._connection.reset)
        else:
            self._connection.reset()

    def stall(self, partial: bytes = b"") -> None:
        """Send this, and then nothing more, for ever."""
        self._write(partial)
        self.stalled = True

    def pour(self, pieces: Iterator[bytes], then: Callable[[], None]) -> None:
        """Send the pieces no faster than the client reads them, then go on; a client that left stops it."""
        for piece in pieces:
            if self.lost:
                return
            self._write(piece)
            if self._connection.paused:
                self._connection.on_resumed = lambda: self.pour(pieces, then)
                return
        then()

    def finish(self) -> None:
        """Say that the reply is complete: the connection may carry the next request."""
        self.done = True
        self._connection.finished()

    def _write(self, data: bytes) -> None:
        if data and not self.lost:
            self._connection.transport.write(data)


def stream_head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def chunk_of(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Connection(asyncio.Protocol):
    """A client's connection: requests one after another."""

    def __init__(self, answer: Callable[[Exchange], None], open_connections: set["Connection"]) -> None:
        self._answer = answer
        self._open = open_connections
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._exchange: Exchange | None = None
        self.paused = False
        """Whether the client reads more slowly than it is sent to."""
        self.on_resumed: Callable[[], None] | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        exchange = self._exchange
        if exchange is not None and not exchange.done and exchange.on_lost is not None:
            exchange.on_lost()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        resumed, self.on_resumed = self.on_resumed, None
        if resumed is not None:
            resumed()

    def reset(self) -> None:
        if not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MOST_BYTES:
            self.transport.abort()
        self._next()

    def finished(self) -> None:
        last = self._exchange is not None and self._exchange.request.headers.get("connection") == "close"
        self._exchange = None
        if last:
            self.transport.close()
        else:
            self._next()

    def _next(self) -> None:
        if self._exchange is not None:
            return
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        method, target, headers = self._head
        body = self._body(headers)
        if body is None:
            return
        self._head = None
        self._exchange = Exchange(self, Request(method, target, headers, body))
        self._answer(self._exchange)

    def _body(self, headers: dict[str, str]) -> bytes | None:
        """Take the request's body off the buffer; None while there is more to come."""
        try:
            body, used = _chunked(self._buffer) if "transfer-encoding" in headers else _counted(self._buffer, headers)
        except ValueError:
            self.transport.write(Response.of({"error": "this is no HTTP/1.1"}, 400).encoded())
            self.transport.close()
            return None
        del self._buffer[:used]
        return body

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, _, rest = first.partition(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._head = (method, rest.partition(" ")[0], headers)
        return True


def _counted(buffer: bytearray, headers: dict[str, str]) -> tuple[bytes | None, int]:
    length = int(headers.get("content-length", "0"))
    if length < 0:
        raise ValueError(length)
    return (bytes(buffer[:length]), length) if len(buffer) >= length else (None, 0)


def _chunked(buffer: bytearray) -> tuple[bytes | None, int]:
    pieces, at = [], 0
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:end].partition(b";")[0], 16)
        at = end + 2 + size + 2
        if len(buffer) < at:
            break
        if size == 0:
            return b"".join(pieces), at
        pieces.append(bytes(buffer[end + 2 : at - 2]))
    return None, 0
