"""A job's traces: gathered from processes on several nodes, and read by its user as one tree a row."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from partsong_actors.setup import Placement, SystemSpec
from partsong_actors.system import end_system
from partsong_cluster.cli.jobs import _downloaded
from partsong_cluster.cli.trace import drawn
from partsong_cluster.jobs.actor import JobActor
from partsong_cluster.jobs.events import Event
from partsong_cluster.jobs.order import JobOrder
from partsong_cluster.ray_runtime import ray_runtime
from providers.process import running_server
from ray.cluster_utils import Cluster
from rich.console import Console

from partsong.contracts.allowed import Allowed
from partsong.mesh import load_text
from partsong.telemetry.tree import RowTrace, read_trace, trace_files

pytestmark = pytest.mark.timeout(240)

MESH = """\
version: 1
models:
  mini: {adapter: openai, model: mini, base_url: URL, api_key: {file: /KEY}, concurrency: 8, resources: {custom: {work: 0.1}}}
  nano: {adapter: openai, model: nano, base_url: URL, api_key: {file: /KEY}, concurrency: 8, resources: {custom: {work: 0.1}}}
plans:
  panel: {ensemble: {members: [mini, nano, mini], merge: majority}}
routes: [{use: panel}]
store: {url: "sqlite:////STORE"}
telemetry: {file: traces.jsonl}
"""
ROWS = 40
FIRST, SECOND = "aaaa00000001", "bbbb00000002"
ALLOWED = Allowed(outside_files=True)


def on(node: str) -> Placement:
    return Placement(custom={node: 0.1})


PLACED = {
    "journal": on("keep"),
    "pools": on("keep"),
    "staff": on("keep"),
    "job": on("keep"),
    "coordinator": on("rows"),
    "synthesizer": on("work"),
}


@pytest.fixture(scope="module")
def cluster():
    """Three nodes: one for the journal and jobs, one for coordinators, one for workers and the synthesizer."""
    started = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, "num_cpus": 2, "resources": {"keep": 1}})
    for kind in ("rows", "work"):
        started.add_node(num_cpus=1, resources={kind: 1})
    started.wait_for_nodes()
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def server():
    with running_server("providers.openai", "--latency", "0.05", "--key", "k") as running:
        yield running


@pytest.fixture
def system():
    return SystemSpec(name=f"traced-{os.getpid()}", lasting=True, placed=PLACED)


def order(folder: Path, url: str, system: SystemSpec, run: str) -> JobOrder:
    rows = folder / f"{run}.jsonl"
    rows.write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n} of {run}"}) + "\n" for n in range(ROWS)))
    text = MESH.replace("URL", url).replace("/STORE", str(folder / "journal.db"))
    (folder / "key").write_text("k\n")
    loaded = load_text(text.replace("/KEY", str(folder / "key")), folder, env={}, allowed=ALLOWED)
    return JobOrder(
        run=run,
        name=run,
        mesh=loaded.mesh.pack().decode(),
        mesh_file="mesh.yaml",
        mesh_hash=loaded.hash,
        input=str(rows),
        output=str(folder / f"results-{run}"),
        system=system,
        allowed=ALLOWED,
    )


async def worked(wanted: JobOrder) -> list[str]:
    """Work a job to its end; return what was said meanwhile."""
    options = wanted.system.options("job", wanted.system.around.job(wanted.run))
    actor = JobActor.options(**options).remote(wanted.pack())
    life, after, said = "", 0, []
    while True:
        life, after, lines = await actor.news.remote(life, after, 5.0)
        for event in map(Event.read, lines):
            assert event.kind != "error", event.error()
            if event.kind == "say":
                said.append(event.line)
            if event.is_last:
                return said


def names(found: RowTrace) -> set[str]:
    return {node.name for _, node in found.walk()}


async def test_a_row_worked_on_three_nodes_is_one_tree_beside_the_output(cluster, server, system, tmp_path):
    first, second = (order(tmp_path, server.url, system, run) for run in (FIRST, SECOND))
    async with ray_runtime(cluster.address):
        said, _ = await asyncio.gather(worked(first), worked(second))
        await end_system(system.name)
    assert [line for line in said if "spans" in line] == []
    for wanted in (first, second):
        got = tmp_path / f"got-{wanted.run}"
        written = _downloaded(wanted.output, got)
        assert any(path.parent.name == "traces" for path in written)
        for number in range(ROWS):
            found = read_trace(got, f"q{number}")
            assert found.trace_id.startswith(wanted.run), "a job has the spans of its own rows alone"
            assert not found.is_torn
            assert found.earlier_traces == 0
        by_name = {node.name: node for _, node in found.walk()}
        assert {"submit", "row", "plan panel", "call mini", "chat mini", "synthesize", "journal", "append"} <= set(by_name)
        assert len(found.nodes) == 3
        assert by_name["row"].node == by_name["journal"].node
        assert by_name["chat mini"].node == by_name["synthesize"].node != by_name["row"].node
        assert by_name["append"].node == by_name["submit"].node != by_name["row"].node
        text = "".join(path.read_text() for path in trace_files(got))
        assert text.count('"traceId"') == text.count(f'"traceId":"{wanted.run}')
    Console(width=150).print(drawn(found))
    assert not trace_files(tmp_path), "nothing stayed on the nodes"
