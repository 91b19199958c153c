"""Calling: what goes over the wire when a provider server is asked, byte by byte; no client's opinion in between."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from providers.anthropic import AnthropicServer
from providers.gemini import GeminiServer
from providers.openai import OpenAIServer
from providers.provider import Provider

SERVERS: dict[str, type[Provider]] = {"openai": OpenAIServer, "anthropic": AnthropicServer, "gemini": GeminiServer}
_KEYS = {
    OpenAIServer: "authorization: Bearer {}\r\n",
    AnthropicServer: "x-api-key: {}\r\nanthropic-version: 2023-06-01\r\n",
    GeminiServer: "x-goog-api-key: {}\r\n",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back until the connection ended, or nothing more came."""

    raw: bytes
    ended: str
    """`closed`, `reset` or `open`."""

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def body(self) -> bytes:
        body = self.raw.partition(b"\r\n\r\n")[2]
        return _unchunked(body) if "transfer-encoding" in self.headers else body

    @property
    def whole(self) -> Any:
        return json.loads(self.body)

    @property
    def complete(self) -> bool:
        """Whether as much came as was promised."""
        if "transfer-encoding" in self.headers:
            return self.raw.endswith(b"0\r\n\r\n")
        return len(self.body) == int(self.headers["content-length"])

    @property
    def events(self) -> list[Any]:
        """What the complete events of a stream hold, `[DONE]` left out."""
        lines = [line for event in self.body.split(b"\n\n")[:-1] for line in event.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line[6:]) for line in lines if line != b"data: [DONE]"]


def request(server: Provider, prompt: str, *, stream: bool = False, key: str = "test-key", more: dict[str, Any] | None = None) -> bytes:
    """Return the HTTP request that asks the prompt of this kind of server."""
    if isinstance(server, GeminiServer):
        path = "/v1beta/models/m:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")
        body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    else:
        path = "/v1/chat/completions" if isinstance(server, OpenAIServer) else "/v1/messages"
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}]} | ({"stream": True} if stream else {})
        body |= {"max_tokens": 100} if isinstance(server, AnthropicServer) else {}
        body |= {"stream_options": {"include_usage": True}} if stream and isinstance(server, OpenAIServer) else {}
    return http(path, json.dumps(body | (more or {})).encode(), _KEYS[type(server)].format(key))


def http(path: str, body: bytes, headers: str = "", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


async def hear(server: Provider, sent: bytes, *, patience_s: float = 5.0) -> Heard:
    """Send this on a connection of its own; return what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    raw, ended = bytearray(), "closed"
    try:
        async with asyncio.timeout(patience_s):
            while piece := await reader.read(65_536):
                raw += piece
    except TimeoutError:
        ended = "open"
    except ConnectionResetError:
        ended = "reset"
    writer.close()
    return Heard(bytes(raw), ended)


def _unchunked(data: bytes) -> bytes:
    pieces = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        data = rest[int(size, 16) + 2 :]
    return b"".join(pieces)
