"""The same mesh and input over one process, one node and three: the same answers; a node that is lost in the middle costs time only."""

import time
from collections.abc import Iterator

import pytest
from chaos.pulse import Pulse
from chaos.reckoning import moment, reckoned
from chaos.scene import Scene, answers_in
from providers.process import running_server
from ray.cluster_utils import Cluster

ROWS = 400
NODES = 3


@pytest.fixture(scope="module")
def server():
    with running_server("chaos.upstream", "--latency", "0.02", "--key", "k") as started:
        yield started


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes that notice soon when one is lost; the head has no room for what wants a processor."""
    noticed = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    made = Cluster()
    made.add_node(num_cpus=0, include_dashboard=False, _system_config=noticed)
    for _ in range(NODES - 1):
        made.add_node(num_cpus=2)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def finished(scene: Scene) -> None:
    run = scene.started("ray")
    assert run.wait(90) == 0, (scene.folder / "said.log").read_text()


@pytest.fixture(scope="module")
def answers(tmp_path_factory, server):
    scene = Scene(tmp_path_factory.mktemp("inline"), ROWS, server.url).written()
    assert scene.started("inline").wait(90) == 0
    return answers_in(scene.out)


@pytest.mark.chaos
@pytest.mark.timeout(150)
def test_one_node_gives_the_answers_of_one_process(tmp_path, server, answers):
    scene = Scene(tmp_path, ROWS, server.url).written()
    finished(scene)
    assert answers_in(scene.out) == answers


@pytest.mark.chaos
@pytest.mark.timeout(150)
def test_three_nodes_give_the_answers_of_one_process(tmp_path, server, answers, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    scene = Scene(tmp_path, ROWS, server.url).written()
    finished(scene)
    assert answers_in(scene.out) == answers


@pytest.mark.timeout(180)
def test_nodes_that_are_lost_in_the_middle_cost_no_row_and_no_journalled_call(tmp_path, server, answers, cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    server.reset()
    scene = Scene(tmp_path, ROWS, server.url).written()
    run = scene.started("ray")
    moments = []
    try:
        with Pulse(scene.journal) as pulse:
            for share, node in enumerate(list(cluster.worker_nodes), start=1):
                while pulse.rows < share * ROWS // NODES:
                    assert run.poll() is None, (scene.folder / "said.log").read_text()
                    time.sleep(0.02)
                moments.append(moment(scene, server))
                cluster.add_node(num_cpus=2)
                cluster.remove_node(node, allow_graceful=False)
            assert run.wait(120) == 0, (scene.folder / "said.log").read_text()
    finally:
        run.kill()
        run.wait()
    reckoning = reckoned(scene, moments, server.stats()["calls"], answers, spares_calls=False)
    assert reckoning.clean, reckoning
