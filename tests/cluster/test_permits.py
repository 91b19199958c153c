"""Permits of pools and coordinators that die: none is lost."""

import asyncio
import os
import random
import signal

import pytest
from chaos.victims import victims
from partsong_actors.setup import SystemSpec
from partsong_cluster.engines import open_engine
from providers.process import running_server

from partsong.contracts import Row, Task
from partsong.mesh import load_mesh, secrets_of

MESH = """\
version: 1
models:
  small: &upstream
    adapter: openai
    model: small
    base_url: {url}
    api_key: {{env: UPSTREAM_KEY}}
    concurrency: 2
  medium: {{<<: *upstream, model: medium}}
plans:
  panel: {{ensemble: {{members: [small, medium], merge: majority}}}}
routes: [{{use: panel}}]
"""


@pytest.mark.chaos
@pytest.mark.timeout(120)
async def test_no_permit_is_lost_with_a_pool_or_a_coordinator(tmp_path):
    """A model takes two calls at a time; a permit that went with a process would halve it, two would stop it."""
    mesh, env = tmp_path / "mesh.yaml", {"UPSTREAM_KEY": "k"}
    dice = random.Random(0)
    with running_server("providers.openai", "--latency", "0.05", "--key", "k") as server:
        mesh.write_text(MESH.format(url=server.url))
        loaded = load_mesh(mesh, env=env)
        secrets = secrets_of(loaded.mesh.models, env, loaded.folder)
        async with open_engine("ray", loaded, tmp_path, secrets=secrets, system=SystemSpec.passing(coordinators=3)) as engine:

            async def answered(rows: range) -> list[str]:
                asked = [engine.answer(Row(run="run", row=n, task=Task.of(f"no permit lost {n}", id=str(n)))) for n in rows]
                return [type(outcome.reply).__name__ for outcome in await asyncio.gather(*asked)]

            await answered(range(20))
            for n, actor in enumerate(["pool", "coordinator", "pool", "coordinator", "pool"], start=1):
                under_way = asyncio.create_task(answered(range(100 * n, 100 * n + 40)))
                await asyncio.sleep(dice.random())
                os.kill(dice.choice(victims(os.getpid(), actor)), signal.SIGKILL)
                assert await asyncio.wait_for(under_way, 60) == ["Answer"] * 40
            assert len(victims(os.getpid(), "worker")) == 2
