"""Workers follow the work, on real nodes: they grow, drain, are replaced, leave nodes; the provider counts each call once."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import ray
from partsong_actors.engine import RayEngine
from partsong_actors.setup import Health, SystemSpec
from partsong_actors.system import end_system, names_of
from partsong_cluster.engines import ray_engine
from partsong_cluster.ray_runtime import ray_runtime
from providers.process import running_server
from ray.cluster_utils import Cluster

from partsong.contracts import Answer, Notice, Row, Task
from partsong.errors import EngineError
from partsong.mesh import load_text

pytestmark = pytest.mark.timeout(240)

MESH = """\
version: 1
models:
  mini:
    adapter: openai
    model: mini
    base_url: {url}
    api_key: {{file: key}}
    {more}
plans:
  once: {{ensemble: {{members: [mini], merge: majority}}}}
routes: [{{use: once}}]
store: {{url: "sqlite:///scaling.db"}}
"""
FAST = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 4,
}
HEALTH = Health(tenure_s=4, confirm_every_s=0.5, placed_within_s=4, closes_within_s=10)


@pytest.fixture(scope="module")
def cluster():
    """A head, and two nodes that have room for four workers each."""
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, "num_cpus": 4, "_system_config": FAST})
    for zone in ("a", "b"):
        started.add_node(num_cpus=1, resources={"work": 5}, labels={"zone": zone})
    started.wait_for_nodes()
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def server():
    with running_server("providers.openai", "--latency", "0.5", "--key", "k") as running:
        yield running


class Running:
    """An engine at work, what it told, and its workers as Ray's head knows them."""

    def __init__(self, engine: RayEngine, load: Callable[[str], bytes], told: list[Notice]) -> None:
        self.engine = engine
        self.told = told
        self.asked = 0
        self._load = load

    @property
    def system(self) -> SystemSpec:
        return self.engine.setup.system

    async def answers(self, rows: range) -> int:
        asked = [self.engine.answer(Row(run="run", row=n, task=Task.of(f"question {n}", id=str(n)))) for n in rows]
        return sum(isinstance(outcome.reply, Answer) for outcome in await asyncio.gather(*asked))

    @asynccontextmanager
    async def busy(self):
        """Have rows asked without a pause, for as long as the block takes; all of them are answered."""
        over, numbers = asyncio.Event(), itertools.count(self.asked)

        async def one_after_the_other() -> int:
            answered = 0
            while not over.is_set():
                answered += await self.answers(range(number := next(numbers), number + 1))
            return answered

        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(one_after_the_other()) for _ in range(16)]
            yield
            over.set()
        self.asked = next(numbers)
        assert sum(task.result() for task in asking) == self.asked

    async def workers(self) -> frozenset[str]:
        names = await asyncio.to_thread(names_of, self.system.name)
        return frozenset(name for name in names if "/worker/" in name)

    async def nodes(self) -> set[str]:
        return {node for name in await self.workers() if (node := await _node_of(name)) is not None}

    async def change(self, more: str) -> None:
        setup = self.engine.setup.model_copy(update={"mesh": self._load(more)})
        await ray.get_actor(self.system.around.pools, namespace="partsong").change.remote(setup)


@pytest.fixture
def running(cluster, server, tmp_path):
    server.reset()
    (tmp_path / "key").write_text("k\n")

    @asynccontextmanager
    async def running(more: str, *, lasting: bool = False, health: Health = HEALTH):
        def loaded(text: str):
            return load_text(MESH.format(url=server.url, more=text.replace("; ", "\n    ")), tmp_path, env={})

        told: list[Notice] = []
        spec = SystemSpec(name=f"s-{os.urandom(4).hex()}", lasting=lasting, coordinators=2, health=health)
        async with ray_runtime(cluster.address):
            try:
                async with ray_engine(loaded(more), tmp_path, secrets={"mini": "k"}, system=spec, tell=told.append) as engine:
                    yield Running(engine, lambda text: loaded(text).mesh.pack(), told)
            finally:
                if lasting:
                    await end_system(spec.name)

    return running


async def _node_of(worker: str) -> str | None:
    try:
        return (await ray.get_actor(worker, namespace="partsong").open.remote()).node
    except (ValueError, ray.exceptions.RayActorError):  # it has just ended
        return None


async def _answers(run: Running, row: int) -> bool:
    try:
        return await run.answers(range(row, row + 1)) == 1
    except EngineError:
        return False


async def until(so: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
    """Return when it is so."""
    async with asyncio.timeout(within_s):
        while not await so():  # noqa: ASYNC110  the processes that make it so are others
            await asyncio.sleep(0.2)


def drain(cluster: Cluster, node: str) -> None:
    """Tell Ray that the node is going away, as an operator or a cloud does."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address, "--node-id", node]
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test", "--deadline-remaining-seconds", "600"]
    subprocess.run([*command, *reason], check=True, capture_output=True, timeout=60)


async def test_workers_come_while_calls_wait_and_go_to_none_when_they_do_not(running, server):
    more = "workers: {min: 0, max: 3}; concurrency: 4; scale: {queue: 300ms, idle: 4s}; resources: {custom: {work: 1}}"
    async with running(more) as run:
        assert await run.workers() == frozenset()
        asking = asyncio.create_task(run.answers(range(150)))
        await until(lambda: _has(run, 3))
        assert await asking == 150
        await until(lambda: _has(run, 0))
        assert await run.answers(range(150, 152)) == 2
        assert len(server.arrivals()) == 152


async def test_a_change_replaces_grows_and_drains_workers_while_calls_run_and_each_is_made_once(running, server):
    more = "workers: {min: 2, max: 2}; concurrency: 4; resources: {custom: {work: 1}}"
    async with running(more) as run:
        async with run.busy():
            await until(lambda: _has(run, 2))
            before = await run.workers()
            await run.change("workers: {min: 3, max: 3}; concurrency: 5; resources: {custom: {work: 1}}")
            await until(lambda: _replaced(run, before, 3))
            await run.change("workers: {min: 1, max: 1}; concurrency: 5; resources: {custom: {work: 1}}")
            await until(lambda: _has(run, 1))
        assert len(server.arrivals()) == run.asked


async def test_a_node_that_is_going_away_is_left_and_each_call_is_made_once(running, server, cluster):
    going = cluster.add_node(num_cpus=1, resources={"work": 5}, labels={"zone": "c"})
    cluster.wait_for_nodes()
    more = 'workers: {min: 2, max: 2}; concurrency: 4; resources: {custom: {work: 2}, labels: {zone: "in(c, d)"}}'
    async with running(more) as run:
        async with run.busy():
            await until(lambda: _all_on(run, going.node_id))
            coming = cluster.add_node(num_cpus=1, resources={"work": 5}, labels={"zone": "d"})
            await asyncio.to_thread(drain, cluster, going.node_id)
            await until(lambda: _all_on(run, coming.node_id))
        assert len(server.arrivals()) == run.asked
        assert any(notice.code == "node-leaves" for notice in run.told)
    for node in (going, coming):
        cluster.remove_node(node)


async def test_what_no_node_has_is_told(running):
    async with running("resources: {gpu: 2}") as run:
        asking = asyncio.create_task(run.answers(range(1)))
        await until(lambda: _told(run, "no-node", "mini"))
        [notice] = [notice for notice in run.told if notice.code == "no-node" and notice.where == "mini"]
        assert "none has it" in notice.what
        assert "gpu 2" in notice.what
        await run.change("resources: {gpu: 0}")
        assert await asking == 1


async def test_a_model_that_no_node_could_ever_take_fails_its_calls_after_a_while_until_it_asks_for_less(running):
    async with running("resources: {gpu: 2}", health=HEALTH.model_copy(update={"node_comes_within_s": 8.0})) as run:
        with pytest.raises(
            EngineError, match="no worker of mini can start: it needs a node with gpu 2: none has it; nodes have cpu 1, gpu 0"
        ):
            await run.answers(range(1))
        assert ("no-node", "mini") in [(notice.code, notice.where) for notice in run.told]  # it was told before
        await run.change("resources: {gpu: 0}")
        await until(lambda: _answers(run, 1))  # its calls fail until there is a worker


async def test_a_lasting_system_finds_its_workers_again_when_staff_and_pools_die(running, server):
    more = "workers: {min: 2, max: 2}; concurrency: 4; resources: {custom: {work: 1}}"
    async with running(more, lasting=True) as run:
        async with run.busy():
            await until(lambda: _has(run, 2))
            before = await run.workers()
            for name in (run.system.around.staff, run.system.around.pools, run.system.around.staff):
                await asyncio.sleep(2.0)
                await killed(name)
            await asyncio.sleep(2.0)
        assert len(server.arrivals()) == run.asked
        assert await run.workers() == before
        await run.change("workers: {min: 0, max: 1}; concurrency: 4; scale: {idle: 2s}; resources: {custom: {work: 1}}")
        await killed(run.system.around.pools)
        await until(lambda: _has(run, 0))  # the change outlives the pools that were told of it
        assert await run.answers(range(run.asked, run.asked + 2)) == 2


@pytest.mark.parametrize(
    ("rows", "deaths_after_s", "within_s", "most"),
    [(20, (5.0, 5.0), 10.0, 15), pytest.param(100, (8.0, 25.0, 25.0), 60.0, 60, marks=pytest.mark.chaos)],
)
async def test_a_rate_is_held_over_the_deaths_of_the_pools(running, server, rows, deaths_after_s, within_s, most):
    """Sixty requests in any minute by the server's count, and in less of it few more, whatever the pools' successors have to guess."""
    more = "workers: {min: 1, max: 1}; concurrency: 8; limits: {requests_per_minute: 60}; resources: {custom: {work: 1}}"
    async with running(more, lasting=True) as run:
        asking = asyncio.create_task(run.answers(range(rows)))
        for pause_s in deaths_after_s:
            await asyncio.sleep(pause_s)
            await killed(run.system.around.pools)
        assert await asking == rows
        at_s = [arrival.at_s for arrival in server.arrivals()]
        assert len(at_s) == rows
        assert max(sum(begin_s <= one < begin_s + within_s for one in at_s) for begin_s in at_s) <= most


async def test_pools_that_have_successors_end(running):
    async with running("resources: {custom: {work: 1}}", lasting=True) as run:
        assert await run.answers(range(1)) == 1
        name = run.system.around.pools
        pid = await pid_of(name)
        await run.engine.journal.claim(name)  # as a successor would that Ray started behind a partition
        await until(lambda: _is_another(name, pid))
        assert await run.answers(range(1, 3)) == 2


async def killed(name: str) -> None:
    """Kill the actor's process, as soon as it has one."""
    async with asyncio.timeout(60):
        while True:
            try:
                os.kill(await pid_of(name), signal.SIGKILL)
            except ray.exceptions.ActorUnavailableError:  # it is being restarted still
                await asyncio.sleep(0.2)
            else:
                return


async def pid_of(name: str) -> int:
    return await ray.get_actor(name, namespace="partsong").__ray_call__.remote(lambda _: os.getpid())


async def _is_another(name: str, pid: int) -> bool:
    try:
        return await pid_of(name) != pid
    except ray.exceptions.RayActorError:  # between two processes
        return False


async def _has(run: Running, count: int) -> bool:
    return len(await run.workers()) == count


async def _replaced(run: Running, before: frozenset[str], count: int) -> bool:
    now = await run.workers()
    return len(now) == count and not now & before


async def _all_on(run: Running, node: str) -> bool:
    return await run.nodes() == {node}


async def _told(run: Running, code: str, where: str) -> bool:
    return any((notice.code, notice.where) == (code, where) for notice in run.told)
