"""Link-local addresses are refused at the very connection, whatever name led there, unless the user allows them."""

import asyncio
import socket

import httpx
import pytest

from partsong.adapters.adapter import Surroundings
from partsong.adapters.openai import OpenAIAdapter, OpenAISpec
from partsong.adapters.reach import LinkLocalError, socket_factory
from partsong.adapters.transport import AiohttpTransport, RefusedAddressError
from partsong.contracts import FailureCode, Task
from partsong.contracts.allowed import Allowed


@pytest.fixture
def names(monkeypatch):
    """What names resolve to, one answer a look-up, the last for good; connections are counted, and none leaves this machine."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def looked_up(host, port, *rest, **options):
        if host not in answers:
            return real(host, port, *rest, **options)
        addresses = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return answers


async def asked(url, allowed=None):
    carrier = AiohttpTransport(connect_timeout_s=0.3, reply_cap_bytes=1000, allowed=allowed or Allowed())
    async with carrier:
        response = await carrier.handle_async_request(httpx.Request("POST", url, content=b"{}"))
        await response.aread()
        await response.aclose()


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "2852039166", "0xa9fea9fe", "[fd00:ec2::254]"]
)
async def test_an_address_is_refused_however_it_is_written(host):
    with pytest.raises((RefusedAddressError, httpx.UnsupportedProtocol)):  # some ways to write one are no host to aiohttp
        await asked(f"http://{host}/latest/meta-data/")


async def test_a_name_that_resolves_to_one_is_refused(names):
    names["innocent.example"] = [["169.254.169.254"]]
    with pytest.raises(RefusedAddressError):
        await asked("http://innocent.example/")


async def test_a_name_that_resolves_otherwise_a_moment_later_is_refused_then(names):
    async def connection(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(connection, "127.0.0.1", 0)
    async with listening:
        url = f"http://rebound.example:{listening.sockets[0].getsockname()[1]}/"
        names["rebound.example"] = [["127.0.0.1"], ["169.254.169.254"]]
        await asked(url)
        with pytest.raises(RefusedAddressError):
            await asked(url)


async def test_of_several_addresses_only_the_others_are_tried(names):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        names["both.example"] = [["169.254.169.254", "127.0.0.1"]]
        with pytest.raises(httpx.ConnectError):
            await asked(f"http://both.example:{port}/")


def test_allowed_it_is_connected_to():
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("169.254.169.254", 80))
    socket_factory(Allowed(link_local=True))(address).close()
    with pytest.raises(LinkLocalError):
        socket_factory(Allowed(outside_files=True))(address)


async def test_a_models_calls_fail_for_good_and_say_what_to_do():
    adapter = OpenAIAdapter(
        OpenAISpec(adapter="openai", model="m", base_url="http://169.254.169.254/v1"), Surroundings("m", secret="k" * 20)
    )
    await adapter.open()
    failure = await adapter.complete(Task.of("hello"))
    await adapter.close()
    assert (failure.code, failure.retryable, failure.sent) == (FailureCode.CONNECT, False, "no")
    assert "--allow link-local" in failure.message
