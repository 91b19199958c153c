"""A system that lasts: found again by its name, with rows that outlive whoever asked for them and whoever worked them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import ray
from knowledge_builders import saved
from partsong_actors.engine import RayEngine
from partsong_actors.setup import Health, Placement, SystemSpec
from partsong_actors.system import end_system, names_of
from partsong_cluster.engines import ray_engine
from partsong_cluster.ray_runtime import ray_runtime
from providers.process import running_server
from ray.cluster_utils import Cluster

from partsong.contracts import Answer, Row, Task
from partsong.errors import EngineError, FencedError, MeshError, StoreError
from partsong.mesh import load_text
from partsong.work.notices import Tell

pytestmark = pytest.mark.timeout(180)

MESH = """\
version: 1
models:
  mini: {adapter: openai, model: mini, base_url: URL, api_key: {file: key}, concurrency: 16, resources: {custom: {control: 0.01}}}
plans:
  chain: {pipeline: [{ask: mini}, {ask: mini, name: again, prompt: "Once more: {{ previous }}"}]}
routes: [{use: chain}]
store: {url: "sqlite:///lasting.db"}
"""
SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 8,
}
"""A node that is gone is known to be within some ten seconds; one on a machine that is busy with other things too is not taken for gone."""
CONTROL = Placement(custom={"control": 0.01})
ROWS = Placement(custom={"rows": 1})
HEALTH = Health(tenure_s=4, confirm_every_s=0.5, placed_within_s=8, closes_within_s=10)


@pytest.fixture(scope="module")
def cluster():
    """A head with what must not be lost, and two nodes that have room for a coordinator each."""
    started = Cluster(
        initialize_head=True,
        head_node_args={"include_dashboard": False, "num_cpus": 4, "resources": {"control": 1}, "_system_config": SOON},
    )
    started.rooms = [started.add_node(num_cpus=1, resources={"rows": 1}) for _ in range(2)]
    started.wait_for_nodes()
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def server():
    with running_server("providers.openai", "--latency", "0.3", "--key", "k") as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the mesh and the store are, on a disk that all nodes share."""
    made = tmp_path_factory.mktemp("lasting")
    (made / "key").write_text("k\n")
    (made / "workers.py").write_text("async def shout(task): return task.text.upper()\n")
    return made


@pytest.fixture(scope="module")
def system(cluster):
    """The system of most tests here; each of them finds what those before have left of it."""
    placed = dict.fromkeys(("synthesizer", "journal", "pools", "staff"), CONTROL)
    return SystemSpec(name="shared", lasting=True, coordinators=2, placed={**placed, "coordinator": ROWS}, health=HEALTH)


@pytest.fixture
def opened(cluster, server, system, folder):
    """A driver that connects, attaches an engine to the system, and goes away at the end."""

    @asynccontextmanager
    async def opened(spec: SystemSpec = system, text: str = MESH, tell: Tell | None = None):
        loaded = load_text(text.replace("URL", server.url), folder, env={})
        async with ray_runtime(cluster.address), ray_engine(loaded, folder, secrets={}, system=spec, tell=tell) as engine:
            yield engine

    return opened


@pytest.fixture
def run():
    """A run that no other test has rows of."""
    return f"run-{os.urandom(4).hex()}"


def row(number: int, run: str) -> Row:
    return Row(run=run, row=number, task=Task.of(f"question {number}", id=str(number)))


async def answers(engine: RayEngine, rows: range, run: str) -> int:
    outcomes = await asyncio.gather(*[engine.answer(row(number, run)) for number in rows])
    return sum(isinstance(outcome.reply, Answer) for outcome in outcomes)


def another(engine: RayEngine, system: SystemSpec, **options) -> RayEngine:
    """Return another engine on the same mesh and store."""
    made = engine.setup
    return RayEngine(engine._mesh, made.store_url, Path(made.run_folder), system=system, mesh_hash=made.mesh_hash, **options)


async def pid_of(name: str) -> int:
    return await ray.get_actor(name, namespace="partsong").__ray_call__.remote(lambda _: os.getpid())


async def until(so: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
    """Return when it is so."""
    async with asyncio.timeout(within_s):
        while not await so():  # noqa: ASYNC110  what is waited for is in other processes
            await asyncio.sleep(0.2)


async def is_another(name: str, pid: int) -> bool:
    try:
        return await pid_of(name) != pid
    except ray.exceptions.RayActorError:  # between two processes
        return False


async def test_a_driver_goes_away_and_another_finds_the_system(opened, system, run):
    async with opened() as engine:
        assert await answers(engine, range(4), run) == 4
        before = sorted(names_of(system.name))
    async with opened() as engine:
        assert await answers(engine, range(4, 8), run) == 4
        assert sorted(names_of(system.name)) == before
        assert await engine.journal.done(run, 0, 9) == frozenset(range(8))


async def test_rows_go_on_without_the_driver_that_asked_for_them_and_the_next_one_takes_their_outcomes(opened, server, run):
    async with opened() as engine:
        await answers(engine, range(1), "warm")
        server.reset()
        asked = [asyncio.ensure_future(engine.answer(row(number, run))) for number in range(6)]
        await asyncio.sleep(0.25)
        ray.shutdown()  # without a word to anybody
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    async with opened() as engine:
        assert await answers(engine, range(6), run) == 6  # some at work still, some finished
    assert len(server.arrivals()) == 12


async def test_rows_of_a_coordinator_whose_node_is_lost_go_to_the_other_one(opened, cluster, server, run):
    async with opened() as engine:
        await answers(engine, range(2), run)
        server.reset()
        asked = asyncio.create_task(answers(engine, range(100, 112), run))
        await asyncio.sleep(0.4)
        cluster.remove_node(cluster.rooms.pop(), allow_graceful=False)
        try:
            assert await asyncio.wait_for(asked, 60) == 12
            assert await engine.journal.done(run, 100, 111) == frozenset(range(100, 112))
        finally:
            cluster.rooms.append(cluster.add_node(num_cpus=1, resources={"rows": 1}))
            cluster.wait_for_nodes()
    assert len(server.arrivals()) <= 24 + 6  # the call in flight of each of its rows is made again


async def test_rows_of_a_coordinator_that_stands_still_go_to_the_other_one_and_it_ends_when_it_wakes(opened, system, run):
    told = []
    async with opened(tell=told.append) as engine:
        await answers(engine, range(2), run)
        name = system.around.coordinator(0)
        await until(lambda: is_another(name, 0))
        pid = await pid_of(name)
        asked = asyncio.create_task(answers(engine, range(100, 106), run))
        await asyncio.sleep(0.4)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await asyncio.wait_for(asked, 60) == 6
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: is_another(name, pid))
        assert await answers(engine, range(200, 206), run) == 6
    assert "coordinator-deaf" in [notice.code for notice in told]


async def test_a_coordinator_with_a_later_holder_ends_itself_and_its_rows_go_on(opened, system, run):
    async with opened() as engine:
        await answers(engine, range(2), run)
        name = system.around.coordinator(0)
        await until(lambda: is_another(name, 0))
        pid = await pid_of(name)
        asked = asyncio.create_task(answers(engine, range(100, 106), run))
        await engine.journal.claim(name)
        assert await asyncio.wait_for(asked, 60) == 6
        await until(lambda: is_another(name, pid))


AT_LENGTH = [pytest.param(kind, marks=pytest.mark.chaos) for kind in ("coordinator-0", "staff", "synthesizer-0")]


@pytest.mark.parametrize("kind", ["journal-0", "pools", *AT_LENGTH])
async def test_a_killed_process_costs_time_and_no_call_that_the_journal_holds(opened, system, server, run, kind):
    name = f"{system.name}/{kind}"
    async with opened() as engine:
        await answers(engine, range(2), run)
        await until(lambda: is_another(name, 0))
        workers = sorted(one for one in names_of(system.name) if "/worker/" in one)
        server.reset()
        asked = asyncio.create_task(answers(engine, range(100, 112), run))
        await asyncio.sleep(0.4)
        os.kill(await pid_of(name), signal.SIGKILL)
        assert await asyncio.wait_for(asked, 90) == 12
        assert await answers(engine, range(200, 204), run) == 4
        assert sorted(one for one in names_of(system.name) if "/worker/" in one) == workers
    assert len(server.arrivals()) <= 24 + 8 + (6 if kind == "coordinator-0" else 0)


async def test_rows_of_a_leader_that_has_a_successor_are_refused(opened, system, run):
    async with opened() as first:
        first.lead(run, await first.journal.claim(system.around.job(run)))
        assert await answers(first, range(2), run) == 2
        async with another(first, system) as second:
            second.lead(run, await second.journal.claim(system.around.job(run)))
            assert await answers(second, range(2, 4), run) == 2
            with pytest.raises(FencedError, match="another leader"):
                await first.answer(row(4, run))
            assert await answers(first, range(2), f"{run}-b") == 2


async def test_two_engines_at_a_time_work_on_one_system(opened, system, run):
    async with opened() as first, another(first, system) as second:
        assert await asyncio.gather(answers(first, range(4), run), answers(second, range(4), f"{run}-b")) == [4, 4]


async def test_an_engine_of_another_version_is_refused(opened, monkeypatch):
    async with opened():
        pass
    monkeypatch.setattr("partsong_actors.setup.version", lambda package: "9.9.9")
    with pytest.raises(EngineError, match=r"is of Partsong .*, and was asked by 9\.9\.9") as refused:
        async with opened():
            pass
    assert refused.value.code == "version-skew"


async def test_an_engine_with_another_mesh_is_refused(opened):
    async with opened():
        pass
    with pytest.raises(EngineError) as refused:
        async with opened(text=MESH.replace("Once more", "And again")):
            pass
    assert refused.value.code == "other-mesh"


async def test_a_coordinator_that_no_node_has_room_for_is_told_of(opened, cluster, system):
    told, heard = [], asyncio.Event()

    def tell(notice):
        told.append(notice)
        heard.set()

    placed = {**system.placed, "coordinator": Placement(custom={"nowhere": 1})}
    nowhere = system.model_copy(update={"name": "nowhere", "coordinators": 1, "placed": placed})

    async def enters():
        async with opened(nowhere, MESH.replace("lasting.db", "nowhere.db"), tell=tell):
            await asyncio.Event().wait()

    entering = asyncio.create_task(enters())
    await asyncio.wait_for(heard.wait(), 60)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    async with ray_runtime(cluster.address):
        await end_system("nowhere")
    assert (told[0].code, "1 nowhere" in told[0].doing) == ("no-node", True)


PYTHON = """\
version: 1
models:
  mini: {adapter: python, target: "workers:shout"}
routes: [{use: mini}]
store: {url: "sqlite:///python.db"}
"""


async def test_python_code_is_refused_where_it_is_off(opened, system):
    off = system.model_copy(update={"name": "off", "python_adapter": False})
    with pytest.raises(MeshError) as refused:
        async with opened(off, PYTHON):
            pass
    assert refused.value.code == "python-off"


def beside(system: SystemSpec, name: str) -> SystemSpec:
    """Return a system that has room beside the one of most tests."""
    return system.model_copy(update={"name": name, "coordinators": 1, "placed": {**system.placed, "coordinator": CONTROL}})


LEARNED = """\
version: 1
models: {m0: &shout {adapter: python, target: "workers:shout"}, m1: *shout, m2: *shout, m3: *shout}
learned: learned/
gate: {among: [m0, m3], value_of_correct_usd: 0.01}
store: {url: "sqlite:///learned.db"}
"""


async def test_what_was_learned_outlives_whoever_made_the_system(opened, system, folder, run):
    saved(folder)
    spec = beside(system, "learned")
    async with opened(spec, LEARNED) as maker:
        assert len(maker.setup.mesh) > 2 * len(maker.setup.lean.mesh)
    async with opened(spec, LEARNED) as engine:
        ray.kill(spec.around.actor(spec.around.coordinator(0)), no_restart=False)
        outcome = await engine.answer(row(0, run))
        await engine.end()
    assert outcome.reply.route.reason == "gate"


async def test_a_store_that_can_never_be_opened_is_told_of_at_once(opened, system, folder, cluster):
    (folder / "foreign.db").write_bytes(b"no database, whatever it is. " * 40)
    try:
        with pytest.raises(StoreError) as refused:
            async with asyncio.timeout(100), opened(beside(system, "foreign"), MESH.replace("lasting.db", "foreign.db")):
                pass
        assert refused.value.code == "store-not-a-database"
    finally:
        async with ray_runtime(cluster.address):
            await end_system("foreign")


async def test_rows_under_way_are_finished_before_the_system_ends_and_no_others_are_begun(opened, system, run):
    async with opened(beside(system, "ending"), MESH.replace("lasting.db", "ending.db")) as engine:
        assert await answers(engine, range(2), run) == 2
        under_way = asyncio.create_task(answers(engine, range(2, 6), run))
        await asyncio.sleep(0.2)
        ending = asyncio.create_task(engine.end())
        assert await under_way == 4
        await ending
        assert names_of("ending") == []


async def test_end_leaves_no_actor(opened, system, run):
    async with opened() as engine:
        await answers(engine, range(2), run)
        assert any("/worker/" in name for name in names_of(system.name))
        await engine.end()
        assert names_of(system.name) == []
