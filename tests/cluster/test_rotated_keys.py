"""Keys rotated while rows are under way: every row is answered, none is paid twice, and in the end nobody asks with the old key."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from partsong_cluster.deploy import LoadedDeploy, load_deploy, system_spec
from partsong_cluster.deploy.applied import running
from partsong_cluster.deploy.apply import apply, end, plan_for
from partsong_cluster.deploy.plan import Plan
from partsong_cluster.engines import ray_engine
from partsong_cluster.ray_runtime import ray_runtime
from providers.process import RunningServer, running_server
from ray.cluster_utils import Cluster

from partsong.contracts import Answer, Row, Task
from partsong.mesh import LoadedMesh, load_mesh

pytestmark = pytest.mark.timeout(180)

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{file: keys/{key}}}, concurrency: 4, retries: 0}}
routes: [{{use: mini}}]
"""
DEPLOY = """\
version: 1
name: support
pools: {{mini: {{workers: {{min: 2, max: 2}}, resources: {{cpu: 0.5}}, generation: {generation}}}}}
coordinators: {{count: 1, resources: {{cpu: 0.5}}}}
store: {{url: "sqlite:///journal.db"}}
"""
ROWS = 240
OLD, NEW = "sk-old", "sk-new"


class Site:
    """A provider with two keys, and the operator's files."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.folder, self.server = folder, server
        (folder / "keys").mkdir()
        self.write_key("openai", OLD)

    def write_key(self, name: str, key: str) -> None:
        """As editors and Kubernetes do it: the name changes over to the new content at once."""
        (self.folder / "anew").write_text(f"{key}\n")
        (self.folder / "anew").replace(self.folder / "keys" / name)

    def files(self, key: str = "openai", generation: int = 0) -> tuple[LoadedDeploy, LoadedMesh]:
        (self.folder / "deploy.yaml").write_text(DEPLOY.format(generation=generation))
        (self.folder / "mesh.yaml").write_text(MESH.format(url=self.server.url, key=key))
        return load_deploy(self.folder / "deploy.yaml"), load_mesh(self.folder / "mesh.yaml", env={})

    async def applied(self, key: str = "openai", generation: int = 0) -> Plan:
        files = self.files(key, generation)
        plan = await plan_for(*files)
        await apply(plan, *files)
        return plan

    async def until(self, happened: Callable[[dict[str, int]], bool]) -> None:
        """Wait for what is asked about requests by key."""
        async with asyncio.timeout(60):
            while True:
                if happened(self.came_with()):
                    return
                await asyncio.sleep(0.1)

    def came_with(self) -> dict[str, int]:
        counted: dict[str, int] = self.server.stats(summary=True)["came_with"]
        return counted

    async def until_only_the_new_key(self) -> None:
        """Wait until a second of calls has come with the new key alone."""
        async with asyncio.timeout(60):
            while True:
                before = self.came_with()
                await asyncio.sleep(1)
                after = self.came_with()
                if after.get(OLD) == before.get(OLD) and after.get(NEW, 0) > before.get(NEW, 0):
                    return


@pytest.fixture(scope="module")
def cluster():
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, "num_cpus": 4})
    yield started
    started.shutdown()


@pytest.fixture
async def site(cluster, tmp_path):
    with running_server("providers.openai", "--latency", "0.5") as server:
        async with ray_runtime(cluster.address):
            yield Site(tmp_path, server)
            for one in await running():
                await end(one.name, one.namespace)


async def _answered(engine):
    rows = (Row(run="r", row=n, task=Task.of(f"question {n}", id=str(n))) for n in range(ROWS))
    return await asyncio.gather(*(engine.answer(row) for row in rows))


@pytest.mark.parametrize("how", ["another file", pytest.param("the same file", marks=pytest.mark.chaos)])
async def test_a_key_is_rotated_under_way_and_the_old_one_withdrawn(site, how):
    server = site.server
    server.admit(OLD, NEW)
    await site.applied()
    deploy, loaded = site.files()
    async with ray_engine(loaded, site.folder, secrets={}, system=system_spec(deploy.deploy)) as engine:
        asked = asyncio.create_task(_answered(engine))
        await site.until(lambda counts: counts.get(OLD, 0) >= 16)
        if how == "another file":
            site.write_key("openai-2", NEW)
            plan = await site.applied(key="openai-2")
        else:
            site.write_key("openai", NEW)
            plan = await site.applied(generation=1)
        assert not plan.restarts
        assert plan.steps
        assert all("one by one" in step.note for step in plan.steps)
        await site.until_only_the_new_key()
        server.admit(NEW)
        outcomes = await asked
    assert all(isinstance(outcome.reply, Answer) for outcome in outcomes)
    assert server.stats(summary=True)["total"] == ROWS
    assert site.came_with()[OLD] + site.came_with()[NEW] == ROWS
