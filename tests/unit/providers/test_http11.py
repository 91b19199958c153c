"""HTTP/1.1 server: requests however they are split, connections that last, clients that leave."""

import asyncio

import pytest
from providers.calling import hear, http, request
from providers.openai import OpenAIServer


@pytest.fixture
async def server():
    async with OpenAIServer() as server:
        yield server


async def test_a_request_may_come_a_byte_at_a_time(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for byte in request(server, "hello"):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert b"hello" in await reader.read()
    writer.close()
    assert server.calls["hello"] == 1


async def test_a_chunked_request_is_read(server):
    plain = request(server, "grüße, in chunks")
    head, _, body = plain.partition(b"\r\n\r\n")
    head = head.rpartition(b"\r\n")[0] + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:7], body[7:40], body[40:]))
    heard = await hear(server, head + chunks + b"0\r\n\r\n")
    assert heard.status == 200
    assert server.calls["grüße, in chunks"] == 1


async def test_a_connection_carries_one_request_after_another(server):
    sent = request(server, "again").replace(b"connection: close\r\n", b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(3):
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
    assert (server.calls["again"], server.connections) == (3, 1)


@pytest.mark.parametrize("length", ["many", "-5", ""])
async def test_a_length_that_is_no_number_is_refused(server, length):
    heard = await hear(server, f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {length}\r\n\r\n".encode())
    assert (heard.status, heard.ended) == (400, "closed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_is_noticed_and_counted(server, stream):
    server.latency_s, server.pace_s = (0.0, 0.05) if stream else (30.0, 0.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server, "so many words that it takes a while", stream=stream))
    await server.until(lambda: server.in_flight)
    if stream:
        await reader.readuntil(b"\n\n")
    writer.close()
    await server.until(lambda: server.abandoned.total() == 1)
    assert server.in_flight == 0


async def test_a_slow_reader_does_not_make_the_server_hold_the_reply(server):
    server.fault("huge", size=200_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
    writer.write(request(server, "all of it"))
    await reader.readexactly(1_000)
    await asyncio.sleep(0.05)
    [connection] = server._open
    assert connection.transport.get_write_buffer_size() < 1_000_000
    writer.close()
    await server.until(lambda: server.abandoned["all of it"])


async def test_an_unknown_control_is_told_what_there_is(server):
    heard = await hear(server, http("/_typo", b"", method="GET"))
    assert (heard.status, "/_stats" in heard.whole["error"]) == (404, True)
