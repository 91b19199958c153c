"""A deploy file applied to a cluster that runs: started, found as it is, changed while rows are under way, ended."""

import asyncio
import json

import pytest
from partsong_cluster.cli.deploy import app
from partsong_cluster.deploy import load_deploy, system_spec
from partsong_cluster.deploy.applied import running
from partsong_cluster.deploy.apply import apply, end, plan_for
from partsong_cluster.engines import ray_engine
from partsong_cluster.ray_runtime import ray_runtime
from providers.process import running_server
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from partsong.contracts import Answer, Row, Task
from partsong.errors import EngineError, MeshError, RunError
from partsong.mesh import load_mesh

pytestmark = pytest.mark.timeout(180)

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{file: key}}, concurrency: 4}}
routes: [{{use: mini}}]
"""
DEPLOY = """\
version: 1
name: support
pools: {mini: {workers: {min: 1, max: 1}, resources: {cpu: 0.5}}}
coordinators: {count: 1, resources: {cpu: 0.5}}
store: {url: "sqlite:///journal.db"}
"""
ROWS = 60


@pytest.fixture(scope="module")
def cluster():
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, "num_cpus": 4})
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def server():
    with running_server("providers.openai", "--latency", "0.3", "--key", "k") as running_one:
        yield running_one


@pytest.fixture
def files(tmp_path, server):
    (tmp_path / "mesh.yaml").write_text(MESH.format(url=server.url))
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    (tmp_path / "key").write_text("k\n")

    def files(change=lambda text: text, mesh=lambda text: text):
        (tmp_path / "deploy.yaml").write_text(change(DEPLOY))
        (tmp_path / "mesh.yaml").write_text(mesh(MESH.format(url=server.url)))
        return load_deploy(tmp_path / "deploy.yaml"), load_mesh(tmp_path / "mesh.yaml", env={})

    return files


@pytest.fixture
async def joined(cluster):
    async with ray_runtime(cluster.address):
        yield
        for one in await running():
            await end(one.name, one.namespace)


async def carried_out(files):
    plan = await plan_for(*files)
    await apply(plan, *files)
    return plan


async def test_a_deploy_file_is_applied_once_and_then_there_is_nothing_to_do(joined, files):
    assert not (await carried_out(files())).exists
    assert (await plan_for(*files())).nothing
    (there,) = await running("support")
    assert {name for name in there.actors if not name.startswith("worker/")} == {
        "coordinator-0", "journal-0", "pools", "staff", "synthesizer-0"
    }  # fmt: skip


async def test_pools_grow_while_rows_are_under_way_and_none_is_lost(joined, files, server, tmp_path):
    await carried_out(files())
    deploy, loaded = files()
    before = len(server.arrivals())
    async with ray_engine(loaded, tmp_path, secrets={}, system=system_spec(deploy.deploy)) as engine:
        rows = [asyncio.create_task(engine.answer(Row(run="r", row=n, task=Task.of(f"q{n}", id=str(n))))) for n in range(ROWS)]
        await asyncio.sleep(1)
        plan = await carried_out(files(lambda text: text.replace("min: 1, max: 1", "min: 3, max: 3")))
        assert [(step.field, step.after) for step in plan.steps] == [("workers.min", 3), ("workers.max", 3)]
        assert not plan.restarts
        outcomes = await asyncio.gather(*rows)
        assert all(isinstance(outcome.reply, Answer) for outcome in outcomes)
        for _ in range(100):
            (there,) = await running("support")
            if there.workers == {"mini": 3}:
                break
            await asyncio.sleep(0.2)
        assert there.workers == {"mini": 3}
    assert len(server.arrivals()) - before == ROWS


async def test_workers_are_replaced_one_by_one_and_no_call_is_paid_again(joined, files, server, tmp_path):
    await carried_out(files())
    deploy, loaded = files()
    before = len(server.arrivals())
    async with ray_engine(loaded, tmp_path, secrets={}, system=system_spec(deploy.deploy)) as engine:
        rows = [asyncio.create_task(engine.answer(Row(run="r2", row=n, task=Task.of(f"p{n}", id=str(n))))) for n in range(ROWS)]
        await asyncio.sleep(1)
        plan = await carried_out(files(lambda text: text.replace("cpu: 0.5}}}", "cpu: 0.25}, concurrency: 8}}")))
        assert all("one by one" in step.note for step in plan.steps)
        assert all(isinstance(outcome.reply, Answer) for outcome in await asyncio.gather(*rows))
    assert len(server.arrivals()) - before == ROWS


async def test_another_mesh_is_another_system_begun_anew_when_no_job_is_at_work(joined, files):
    await carried_out(files())
    other = files(mesh=lambda text: text.replace("model: mini,", "model: maxi,"))
    plan = await carried_out(other)
    assert plan.restarts
    assert (await plan_for(*other)).nothing


async def test_it_is_refused_while_a_job_is_at_work(joined, files):
    import ray

    await carried_out(files())

    class Job:
        def close(self):
            pass

    job = ray.remote(Job).options(name="support/job/run-1", namespace="partsong", num_cpus=0, lifetime="detached").remote()
    await job.close.remote()
    with pytest.raises(RunError, match=r"jobs-at-work.*1 of its jobs"):
        await carried_out(files(lambda text: text.replace("count: 1", "count: 2").replace("journal.db", "other.db")))


async def test_a_system_that_no_machine_takes_is_told_in_time(joined, files):
    waiting = files(lambda text: text.replace("coordinators: {count: 1,", "coordinators: {count: 8,").replace("cpu: 0.5}\n", "cpu: 4}\n"))
    with pytest.raises(MeshError, match="too-few-nodes"):
        await plan_for(*waiting)
    plan = await plan_for(*files())
    with pytest.raises(EngineError, match="not-up"):
        await apply(plan, *waiting, within_s=0.5)


async def test_what_is_ended_is_gone(joined, files):
    await carried_out(files())
    assert await end("support", "partsong") >= 5
    assert await running("support") == []
    assert not (await plan_for(*files())).exists
    with pytest.raises(RunError, match="no-such-system"):
        await end("support", "partsong")


def test_the_commands_start_show_and_end_a_system(cluster, files, tmp_path, monkeypatch):
    files()
    monkeypatch.chdir(tmp_path)
    there = ["--address", cluster.address]
    both = ["deploy.yaml", "--mesh", "mesh.yaml", *there]
    asked = CliRunner().invoke(app, ["apply", *both], input="n\n")
    assert (asked.exit_code, "does not run yet" in asked.output) == (1, True)
    done = CliRunner().invoke(app, ["apply", *both, "--yes"])
    assert done.exit_code == 0, done.output
    assert done.output.endswith("support: applied\n")
    assert "nothing to do" in CliRunner().invoke(app, ["plan", *both]).output
    (shown,) = json.loads(CliRunner().invoke(app, ["show", "--json", *there]).output)
    assert (shown["name"], shown["coordinator"], shown["jobs"]) == ("support", 1, [])
    assert CliRunner().invoke(app, ["show", *there]).output.startswith("support: applied by ")
    assert "actors ended" in CliRunner().invoke(app, ["end", "support", *there, "--yes"]).output
    assert CliRunner().invoke(app, ["show", *there]).output == "none\n"
