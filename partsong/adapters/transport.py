"""Transport: httpx's interface over aiohttp, with errors that say whether the request can have been sent.

httpx's own transport is 20 times slower at 64 requests in flight. The ready-made aiohttp one calls a connection that broke after the
request was sent a connect time-out: whoever believes it and asks again pays twice. Here `httpx.ConnectError` and `httpx.ConnectTimeout`
alone mean "never sent".
"""

import asyncio
import os
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from types import TracebackType
from typing import Any

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from partsong.adapters.reach import LinkLocalError, socket_factory
from partsong.contracts.allowed import NOTHING, Allowed

__all__ = ["AiohttpTransport", "CertificateError", "RefusedAddressError", "ReplyTooLargeError"]

_READ_BYTES = 2**18
_NOT_OURS = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers of the bytes on the wire: what is handed on is decoded."""

_UNHEARD_S = 10.0
"""How long what was sent may stay unacknowledged before the kernel drops it and its connection (Linux). Else a request that was given up
while the network was cut reaches the provider when it is mended, a minute later, and is paid for, though another was made in its place."""


class CertificateError(httpx.ConnectError):
    """The server's certificate is not trusted; nothing was sent, and asking again will not help."""


class RefusedAddressError(httpx.ConnectError):
    """The host's address is link-local, which the user has not allowed; nothing was sent."""


class ReplyTooLargeError(httpx.ReadError):
    """The reply, once decompressed, passes the cap; the connection is closed."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends one request a call: no cookies, no redirects, no proxy from the environment, as many connections as there are calls."""

    def __init__(
        self, *, connect_timeout_s: float, reply_cap_bytes: int, stall_timeout_s: float | None = None, allowed: Allowed = NOTHING
    ) -> None:
        """`stall_timeout_s` is the longest pause within a body; how long its first byte may take is the caller's to say."""
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s)
        self._reply_cap_bytes = reply_cap_bytes
        self._stall_timeout_s = stall_timeout_s
        self._allowed = allowed
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session, on the event loop that will use it; connects to nothing."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0, limit_per_host=0, ttl_dns_cache=60, keepalive_timeout=30.0, socket_factory=_sockets(self._allowed)
            ),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=_READ_BYTES,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> "AiohttpTransport":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None = None, error: BaseException | None = None, trace: TracebackType | None = None
    ) -> None:
        await self.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response once its head is there; its body comes as it is read. Cancelled, the connection is closed at once."""
        assert self._session is not None, "open comes first"
        try:
            reply = await self._session.request(
                request.method,
                _url(str(request.url)),
                headers=CIMultiDict(request.headers.multi_items()),
                data=await request.aread() or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, HttpProcessingError) as error:
            raise _translated(error, request) from error
        headers = [(name, value) for name, value in reply.headers.items() if name.lower() not in _NOT_OURS]
        body = _Body(reply, self._reply_cap_bytes, self._stall_timeout_s, request)
        return httpx.Response(reply.status, headers=headers, stream=body, request=request)


def _sockets(allowed: Allowed) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return what makes the sockets that may be connected, which let go of what nobody hears."""
    made = socket_factory(allowed)

    def letting_go(address: tuple[Any, ...]) -> socket.socket:
        one = made(address)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_UNHEARD_S * 1000))
        return one

    return letting_go


class _Connector(aiohttp.TCPConnector):
    """Hands out no kept connection that something came on unasked: a late reply, or a 408 that says it is being closed.

    aiohttp takes that for the reply to the next request (aio-libs/aiohttp#13656; 3.14 does): another row's answer.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        while (kept := await super()._get(key, traces)) is not None and _has_heard(kept):
            kept.close()
        return kept


def _has_heard(kept: Any) -> bool:
    """Whether bytes, or the end, have come on an idle connection, read already or not yet."""
    if kept.protocol.should_close:
        return True
    if not hasattr(select, "poll"):  # Windows
        return False
    waiting = select.poll()
    waiting.register(kept.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class _Body(httpx.AsyncByteStream):
    """The decoded body as it comes; closed before its end, the connection is closed, else it is kept for the next request."""

    def __init__(self, reply: aiohttp.ClientResponse, cap_bytes: int, stall_timeout_s: float | None, request: httpx.Request) -> None:
        self._reply = reply
        self._cap_bytes = self._left_bytes = cap_bytes
        self._stall_timeout_s = stall_timeout_s
        self._request = request
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun and self._announced_bytes() > self._cap_bytes:
            raise self._too_large()
        try:
            piece = await self._piece()
        except (aiohttp.ClientError, OSError, HttpProcessingError) as error:
            raise _translated(error, self._request) from error
        if not piece:
            raise StopAsyncIteration
        self._begun = True
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise self._too_large()
        return piece

    async def _piece(self) -> bytes:
        content = self._reply.content
        if not self._begun or content.is_eof():  # most replies come in one piece: a timer would cost each of them a microsecond or two
            return await content.readany()
        async with asyncio.timeout(self._stall_timeout_s):
            return await content.readany()

    def _announced_bytes(self) -> int:
        """Return the length that the head tells, so that nothing of a reply that is too long is read; 0 when it tells none."""
        return 0 if "content-encoding" in self._reply.headers else self._reply.content_length or 0

    def _too_large(self) -> ReplyTooLargeError:
        return ReplyTooLargeError(f"the reply is longer than {self._cap_bytes:,} bytes", request=self._request)

    async def aclose(self) -> None:
        self._reply.close()  # a reply read to its end has given its connection back already


@lru_cache(maxsize=256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _translated(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """Return httpx's error for aiohttp's; the text names the kind alone, for texts may hold addresses with keys in them."""
    what = _what(error)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return CertificateError(what, request=request)
        case aiohttp.ClientConnectorError(os_error=LinkLocalError()):
            return RefusedAddressError(what, request=request)
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(what, request=request)
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return httpx.ConnectError(what, request=request)
        case aiohttp.InvalidURL():
            return httpx.UnsupportedProtocol(what, request=request)
        case aiohttp.ServerTimeoutError() | asyncio.TimeoutError():
            return httpx.ReadTimeout(what, request=request)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError() | HttpProcessingError():
            return httpx.RemoteProtocolError(what, request=request)
    return httpx.ReadError(what, request=request)


def _what(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the host's name has no address"
        case aiohttp.ClientConnectorCertificateError():
            return "the server's certificate is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "no TLS connection could be agreed on"
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused ({error.status})"
        case aiohttp.ClientConnectorError(os_error=LinkLocalError()):
            return "its address is link-local, which is refused; --allow link-local lets a mesh file that you trust connect to it"
        case aiohttp.ClientConnectorError():
            return f"no connection: {os.strerror(error.os_error.errno) if error.os_error.errno else type(error.os_error).__name__}"
        case aiohttp.ServerTimeoutError() | asyncio.TimeoutError():
            return "nothing came in time"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection before it answered"
        case aiohttp.ClientPayloadError():
            return "the connection ended in the middle of the reply"
        case ssl.SSLError():
            return "the TLS connection broke"
    return type(error).__name__
