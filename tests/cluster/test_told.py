"""`partsong run` says within two seconds which process died and what is done about it: once, and the run goes on."""

import asyncio
import os
import signal

import pytest
from chaos.victims import victims
from providers.openai import OpenAIServer
from told import running


@pytest.mark.timeout(180)
async def test_the_death_of_each_process_is_told_once(tmp_path):
    async with OpenAIServer(latency_s=0.2) as server, running(tmp_path, server.url, "ray", rows=4000) as run:
        async with asyncio.timeout(90):
            while len(server.arrivals) < 50:  # noqa: ASYNC110  the run is another process
                await asyncio.sleep(0.02)
        for process, words in (
            ("worker", "mini: a worker's process died"),
            ("journal", "journal: its process died"),
            ("pool", "pools: their process died"),
            ("coordinator", "coordinator: its process died"),
        ):
            [pid] = victims(run.process.pid, process)
            since_s = asyncio.get_running_loop().time()
            os.kill(pid, signal.SIGKILL)
            took_s = await run.says(words, since_s)
            assert took_s < 2.0, process
            seen = len(server.arrivals)
            async with asyncio.timeout(60):
                while len(server.arrivals) < seen + 100:  # noqa: ASYNC110  it goes on
                    await asyncio.sleep(0.1)
            assert run.count(words) == 1, run
