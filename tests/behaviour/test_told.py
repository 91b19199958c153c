"""`partsong run` says within two seconds what broke and what is done about it: once, not once a row."""

import asyncio
from math import inf

import pytest
from providers.openai import OpenAIServer
from told import running

WITHIN_S = 2.0


@pytest.fixture
def kind(request):
    engine = request.config.getoption("--engine")
    if engine == "address":
        pytest.skip("as over a Ray of its own")
    return engine


async def arrivals(server, count):
    """Return when so many calls have come."""
    async with asyncio.timeout(60):
        while len(server.arrivals) < count:  # noqa: ASYNC110  the run is another process
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("status", "code"), [(500, "server-error"), (429, "rate-limited")])
async def test_a_storm_of_errors_is_told_and_lived_through(tmp_path, kind, status, code):
    async with OpenAIServer(latency_s=0.05) as server, running(tmp_path, server.url, kind) as run:
        await arrivals(server, 50)
        server.fault("status", status=status, times=inf)
        since_s = asyncio.get_running_loop().time()
        assert await run.says(f"mini: {code}", since_s) < WITHIN_S
        await asyncio.sleep(2)
        server.mend()
        assert await run.process.wait() == 0, run
        assert run.count(f"mini: {code}") == 1, run
        assert run.count(code) <= 2, run  # the second says that it is given a rest


async def test_a_provider_that_refuses_connections_is_told_and_waited_for(tmp_path, kind):
    async with OpenAIServer(latency_s=0.05) as server, running(tmp_path, server.url, kind) as run:
        await arrivals(server, 50)
        await server.stop()
        since_s = asyncio.get_running_loop().time()
        assert await run.says("mini: connect", since_s) < WITHIN_S
        await asyncio.sleep(1)
        await server.start(server.port)
        assert await run.process.wait() == 0, run
        assert run.count("mini: connect (") == 1, run


async def test_a_wrong_key_is_told_and_not_tried_row_by_row(tmp_path, kind):
    async with OpenAIServer(latency_s=0.05) as server, running(tmp_path, server.url, kind, key="wrong", rows=200) as run:
        async with asyncio.timeout(60):
            while not server.requests:  # noqa: ASYNC110  the run is another process
                await asyncio.sleep(0.02)
        since_s = asyncio.get_running_loop().time()
        assert await run.says("auth", since_s) < WITHIN_S
        await run.process.wait()
        assert run.count("failed: auth") == 1, run
        assert run.count("calls fail at once") == 1, run
        assert len(server.requests) < 100
