"""A request that is given up while its host is cut off never reaches the provider: it would be paid beside the one made in its place."""

import time

import pytest
from hosts.host import Host
from hosts.namespaces import REPOSITORY, why_not
from hosts.network import Network
from hosts.services import UpstreamHost

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

CALLER = """\
import asyncio, sys
from pathlib import Path
import httpx
from partsong.adapters.transport import AiohttpTransport

async def ask(transport, prompt):
    body = {"model": "small", "messages": [{"role": "user", "content": prompt}]}
    request = httpx.Request("POST", f"{sys.argv[1]}/chat/completions", json=body, headers={"authorization": "Bearer k"})
    await (await transport.handle_async_request(request)).aread()

async def main():
    async with AiohttpTransport(connect_timeout_s=5, reply_cap_bytes=2**20) as transport:
        await ask(transport, "heard")
        print("answered", flush=True)
        while not Path("cut").exists():
            await asyncio.sleep(0.05)
        try:
            await asyncio.wait_for(ask(transport, "unheard"), 1)
        except TimeoutError:
            print("given up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
PORT = f":{8000:04X} "


def until(true):
    until_s = time.monotonic() + 50
    while not true():
        assert time.monotonic() < until_s, "it does not come true"
        time.sleep(0.1)


def test_a_request_that_was_given_up_while_cut_off_is_not_delivered_afterwards(tmp_path):
    with Network() as network, UpstreamHost(network, tmp_path) as upstream:
        host = Host(network, "caller", 1, tmp_path)
        host.start()
        try:
            environment = {"PYTHONPATH": str(REPOSITORY)}
            caller = host.spawn("python", "-c", CALLER, upstream.url, log="caller.log", environment=environment)
            until(lambda: "answered" in host.said("caller.log") or caller.poll() is not None)
            host.partition("services")
            host.run("touch", "cut")
            until(lambda: "given up" in host.said("caller.log"))
            until(lambda: PORT not in host.run("cat", "/proc/net/tcp").stdout)  # the kernel has let go of it
            host.heal()
            assert [one.prompt for one in upstream.server.arrivals()] == ["small: heard"]
        finally:
            host.kill()
