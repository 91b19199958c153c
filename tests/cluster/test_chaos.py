"""Processes killed, stopped and out of memory in a run of nested plans: it costs time, no row and no paid call; `make chaos`: at length."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from chaos.faults import Fault, FaultKind
from chaos.scene import undisturbed
from chaos.table import HEAD, line
from chaos.trial import Trial
from providers.process import running_server

ROWS = 800
ENDS: tuple[FaultKind, ...] = ("killed", "out of memory")
STOPPED_S = 4.0
GOES_ON_WITHIN_S = 60.0
"""A machine that is busy with other things too; on two idle cores it is two or three seconds, ten for a driver that starts Ray."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with running_server("chaos.upstream", "--key", "k") as server:
        return undisturbed(tmp_path_factory.mktemp("undisturbed"), ROWS, server.url)


def comes_through(tmp_path, answers, faults: Sequence[Fault]) -> None:
    outcome = Trial(tmp_path, ROWS, faults, 0, answers).outcome()
    print(f"\n{HEAD}\n{line(faults, 0, outcome)}")
    assert outcome.reckoning.clean
    assert outcome.stood_still_s < GOES_ON_WITHIN_S


@pytest.mark.timeout(300)
def test_processes_that_have_calls_cost_no_row_and_no_journalled_call(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault(kind, process) for kind in ENDS for process in ("worker", "coordinator")])


@pytest.mark.timeout(300)
def test_processes_that_have_no_calls_or_stand_still_for_a_while_cost_no_call_at_all(tmp_path, answers):
    ended = [Fault(kind, process) for kind in ENDS for process in ("pool", "synthesizer", "journal")]
    stopped = [Fault("stopped", process, STOPPED_S) for process in ("worker", "coordinator", "driver")]
    comes_through(tmp_path, answers, [*ended, *stopped])


@pytest.mark.timeout(300)
def test_a_killed_driver_costs_the_same_command_once_more(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault("killed", "driver")])


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A Ray that outlives every driver; the next `partsong run` joins it."""
    log = tmp_path / "ray.log"
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--port=6398", "--include-dashboard=false", "--block"]
    with log.open("wb") as out:
        head = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        until_s = time.monotonic() + 90
        while b"Ray runtime started" not in log.read_bytes():
            assert head.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.2)
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6398")
        yield
    finally:
        head.terminate()
        head.wait(30)


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_the_actors_of_a_killed_driver_on_a_cluster_do_not_stand_in_the_way_of_the_same_command(tmp_path, answers, cluster):
    comes_through(tmp_path, answers, [Fault("killed", "driver")] * 3)
