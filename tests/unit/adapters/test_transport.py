"""The transport: what it sends, what it keeps open, and which errors say that nothing was sent."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import zlib
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from providers.unreachable import self_signed

from partsong.adapters.transport import AiohttpTransport, CertificateError, ReplyTooLargeError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@asynccontextmanager
async def server(answer, **options):
    """A server whose connections are answered by a coroutine of reader and writer; it counts them and what each sent."""
    seen = []

    async def connection(reader, writer):
        seen.append(b"")
        try:
            await answer(reader, writer, seen)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connection, "127.0.0.1", 0, **options)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}/", seen


async def request_of(reader, seen):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
    seen[-1] += head + await reader.readexactly(length)


def saying(reply):
    async def answer(reader, writer, seen):
        while True:
            await request_of(reader, seen)
            writer.write(reply)
            await writer.drain()

    return answer


def transport(**options):
    return AiohttpTransport(**{"connect_timeout_s": 5.0, "reply_cap_bytes": 10_000} | options)


async def sent(carrier, url, body=b"{}"):
    response = await carrier.handle_async_request(httpx.Request("POST", url, headers={"X-Mine": "1"}, content=body))
    try:
        return response, await response.aread()
    finally:
        await response.aclose()


async def test_it_sends_the_headers_it_is_given_and_no_others():
    async with server(saying(OK)) as (url, seen), transport() as carrier:
        response, body = await sent(carrier, url, b"[1]")
        assert (response.status_code, body) == (200, b"hi")
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == b"[1]"
    assert {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]} == {b"host", b"x-mine", b"content-length"}


async def test_a_thousand_requests_one_after_another_use_one_connection():
    async with server(saying(OK)) as (url, seen), transport() as carrier:
        for _ in range(1000):
            await sent(carrier, url)
    assert len(seen) == 1


async def test_requests_at_once_are_not_held_back():
    everyone = asyncio.Event()

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        if len(seen) == 150:
            everyone.set()
        await everyone.wait()
        writer.write(OK)
        await writer.drain()

    async with server(answer, backlog=200) as (url, _), transport() as carrier, asyncio.timeout(10):
        await asyncio.gather(*(sent(carrier, url) for _ in range(150)))


async def test_a_redirect_is_returned_and_not_followed():
    reply = b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with server(saying(reply)) as (url, _), transport() as carrier:
        response, _ = await sent(carrier, url)
    assert response.status_code == 307


async def test_cookies_are_not_sent_back():
    reply = b"HTTP/1.1 200 OK\r\nset-cookie: who=me\r\ncontent-length: 0\r\n\r\n"
    async with server(saying(reply)) as (url, seen), transport() as carrier:
        await sent(carrier, url)
        await sent(carrier, url)
    assert b"who=me" not in seen[0]


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with server(saying(OK)) as (url, _), transport() as carrier:
        assert (await sent(carrier, url))[1] == b"hi"


async def test_a_refused_connection_was_never_sent():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with transport() as carrier:
            with pytest.raises(httpx.ConnectError, match=r"(?i)refused"):
                await sent(carrier, f"http://127.0.0.1:{held.getsockname()[1]}/")


async def test_a_host_without_address_was_never_sent():
    async with transport() as carrier:
        with pytest.raises(httpx.ConnectError, match="no address"):
            await sent(carrier, "http://nowhere.invalid/")


async def test_a_connection_that_takes_too_long_was_never_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            async with transport(connect_timeout_s=0.2) as carrier:
                with pytest.raises(httpx.ConnectTimeout):
                    await sent(carrier, f"http://127.0.0.1:{address[1]}/")
        finally:
            for one in waiting:
                one.close()


async def test_a_server_that_speaks_no_tls_was_never_sent_a_request():
    async def answer(reader, writer, seen):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with server(answer) as (url, _), transport() as carrier:
        with pytest.raises(httpx.ConnectError):
            await sent(carrier, url.replace("http:", "https:"))


async def test_a_certificate_that_is_not_trusted_is_told_apart(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    async with server(saying(OK), ssl=context) as (url, _), transport() as carrier:
        with pytest.raises(CertificateError):
            await sent(carrier, url.replace("http:", "https:"))


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_that_breaks_before_the_reply_may_have_been_sent(how):
    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        if how == "reset":
            writer.transport.abort()

    async with server(answer) as (url, _), transport() as carrier:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await sent(carrier, url)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_kept_connection_that_was_stale_may_have_been_sent_and_is_not_tried_twice(how):
    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(OK)
        await writer.drain()
        await request_of(reader, seen)
        if how == "reset":
            writer.transport.abort()

    async with server(answer) as (url, seen), transport() as carrier:
        await sent(carrier, url)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await sent(carrier, url)
    assert [requests.count(b"POST") for requests in seen] == [2]


UNASKED = {
    "a second reply": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale",
    "the word that it is closed": b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "no HTTP": b"bye\r\n",
}


@pytest.mark.parametrize("read", [True, False], ids=["read already", "not yet read"])
@pytest.mark.parametrize("unasked", UNASKED.values(), ids=UNASKED)
async def test_what_comes_unasked_on_a_kept_connection_is_nobodys_reply(unasked, read):
    kept = []

    async def answer(reader, writer, seen):
        kept.append(writer)
        while True:
            await request_of(reader, seen)
            writer.write(OK)
            await writer.drain()

    async with server(answer) as (url, seen), transport() as carrier:
        await sent(carrier, url)
        kept[0].get_extra_info("socket")._sock.send(unasked)
        if read:
            await asyncio.sleep(0.02)
        response, body = await sent(carrier, url)
    assert (response.status_code, body, len(seen)) == (200, b"hi", 2)


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used():
    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(OK)
        await writer.drain()

    async with server(answer) as (url, seen), transport() as carrier:
        for _ in range(20):
            assert (await sent(carrier, url))[1] == b"hi"
            await asyncio.sleep(0.002)
    assert len(seen) == 20


async def test_a_reply_that_breaks_off_is_a_protocol_error():
    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()

    async with server(answer) as (url, _), transport() as carrier:
        with pytest.raises(httpx.RemoteProtocolError):
            await sent(carrier, url)


@pytest.mark.parametrize("reply", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"])
async def test_what_is_no_http_is_a_protocol_error(reply):
    async with server(saying(reply)) as (url, _), transport() as carrier:
        with pytest.raises(httpx.RemoteProtocolError):
            await sent(carrier, url)


async def test_a_reply_over_the_cap_is_refused_and_its_connection_closed():
    closed = asyncio.Event()

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 20_000)
        await writer.drain()
        await reader.read()
        closed.set()

    async with server(answer) as (url, _), transport() as carrier:
        with pytest.raises(ReplyTooLargeError, match="10,000 bytes"):
            await sent(carrier, url)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_nothing_is_read_of_a_reply_whose_head_announces_too_much():
    closed = asyncio.Event()

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500000000\r\n\r\n")
        await writer.drain()
        await reader.read()
        closed.set()

    async with server(answer) as (url, _), transport() as carrier, asyncio.timeout(5):
        with pytest.raises(ReplyTooLargeError, match="10,000 bytes"):
            await sent(carrier, url)
        await closed.wait()


def bomb(encoding, unpacked_bytes):
    """A body that is a thousandth of what comes out of it."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, {"gzip": 31, "deflate": 15, "raw deflate": -15}[encoding])
    block = bytes(1_000_000)
    return b"".join(squeeze.compress(block) for _ in range(unpacked_bytes // len(block))) + squeeze.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("status", [200, 500])
async def test_the_cap_counts_decompressed_bytes(encoding, status):
    packed = bomb(encoding, 300_000_000)
    assert len(packed) < 400_000
    head = f"HTTP/1.1 {status} X\r\ncontent-encoding: {encoding.split()[-1]}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    tracemalloc.start()
    try:
        async with server(saying(head + packed)) as (url, _), transport(reply_cap_bytes=1_000_000) as carrier:
            with pytest.raises(ReplyTooLargeError):
                await sent(carrier, url)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 60_000_000


@pytest.mark.parametrize("encoding", ["br", "zstd", "x-unknown"])
async def test_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding):
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: 9\r\n\r\n".encode()
    async with server(saying(head + b"\x1b\xff\xff\xf8\xff\xff\xff\x1f\x00")) as (url, seen), transport() as carrier:
        with suppress(httpx.TransportError):
            _, body = await sent(carrier, url)
            assert len(body) == 9
    assert b"accept-encoding" not in seen[0].lower()


async def test_a_compressed_reply_is_handed_on_decompressed():
    packed = gzip.compress(b"hello")
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    async with server(saying(head + packed)) as (url, _), transport() as carrier:
        response, body = await sent(carrier, url)
    assert body == b"hello"
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_a_cancelled_request_closes_its_connection_at_once(reply):
    asked, closed = asyncio.Event(), asyncio.Event()

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(reply)
        await writer.drain()
        asked.set()
        await reader.read()
        closed.set()

    async with server(answer) as (url, _), transport() as carrier, asyncio.timeout(5):
        call = asyncio.create_task(sent(carrier, url))
        await asked.wait()
        await asyncio.sleep(0.01)
        call.cancel()
        await closed.wait()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_stream_comes_piece_by_piece():
    more = asyncio.Event()

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await more.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        await writer.drain()

    async with server(answer) as (url, _), transport() as carrier, asyncio.timeout(5):
        response = await carrier.handle_async_request(httpx.Request("POST", url, content=b"{}"))
        pieces = []
        async for piece in response.stream:
            pieces.append(piece)
            more.set()
        await response.aclose()
    assert pieces == [b"first", b"last"]


def saying_slowly(*pieces, pause_s, closed=None):
    """A server whose reply comes in pieces, with pauses between them and then no end; tells when its client has left."""

    async def answer(reader, writer, seen):
        await request_of(reader, seen)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            await asyncio.sleep(pause_s)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await reader.read()
        if closed is not None:
            closed.set()

    return answer


async def test_a_body_that_stalls_is_given_up_and_its_connection_closed():
    closed = asyncio.Event()
    stalling = saying_slowly(b"first", pause_s=0.0, closed=closed)
    async with server(stalling) as (url, _), transport(stall_timeout_s=0.1) as carrier, asyncio.timeout(5):
        with pytest.raises(httpx.ReadTimeout):
            await sent(carrier, url)
        await closed.wait()


async def test_the_first_byte_of_a_body_may_take_as_long_as_the_caller_waits():
    async with server(saying_slowly(b"first", pause_s=0.3)) as (url, _), transport(stall_timeout_s=0.1) as carrier, asyncio.timeout(5):
        response = await carrier.handle_async_request(httpx.Request("POST", url, content=b"{}"))
        assert await anext(aiter(response.stream)) == b"first"
        await response.aclose()


async def test_a_body_that_comes_slowly_but_steadily_does_not_stall():
    async with server(saying_slowly(*[b"x"] * 8, pause_s=0.05)) as (url, _), transport(stall_timeout_s=0.2) as carrier, asyncio.timeout(5):
        response = await carrier.handle_async_request(httpx.Request("POST", url, content=b"{}"))
        stream = aiter(response.stream)
        assert [await anext(stream) for _ in range(8)] == [b"x"] * 8
        await response.aclose()
