"""Processes killed, stopped and out of memory in a run of nested plans: it costs time, no row and no paid call; `make chaos`: at length."""

from collections.abc import Sequence

import pytest
from chaos.faults import Fault
from chaos.scene import undisturbed
from chaos.table import HEAD, line
from chaos.trial import Trial
from chaos.victims import ACTORS
from providers.process import running_server

ROWS = 800
STOPPED_S = 4.0
GOES_ON_WITHIN_S = 20.0
"""A machine with two busy cores; it is two or three seconds on an idle one."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with running_server("chaos.upstream", "--key", "k") as server:
        return undisturbed(tmp_path_factory.mktemp("undisturbed"), ROWS, server.url)


def comes_through(tmp_path, answers, faults: Sequence[Fault]) -> None:
    outcome = Trial(tmp_path, ROWS, faults, 0, answers).outcome()
    print(f"\n{HEAD}\n{line(faults, 0, outcome)}")
    assert outcome.reckoning.clean
    assert outcome.stood_still_s < GOES_ON_WITHIN_S


@pytest.mark.timeout(180)
@pytest.mark.parametrize("process", ["worker", "coordinator"])
def test_a_killed_process_that_has_calls_costs_no_row_and_no_journalled_call(tmp_path, answers, process):
    comes_through(tmp_path, answers, [Fault("killed", process)])


@pytest.mark.timeout(180)
def test_killed_processes_that_have_no_calls_cost_no_call_at_all(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault("killed", process) for process in ("pool", "synthesizer", "journal")])


@pytest.mark.timeout(180)
def test_a_killed_driver_costs_the_same_command_once_more(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault("killed", "driver")])


@pytest.mark.timeout(180)
def test_processes_that_stand_still_for_a_while_cost_no_call_at_all(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault("stopped", process, STOPPED_S) for process in ("worker", "coordinator", "driver")])


@pytest.mark.timeout(180)
def test_actors_that_get_no_memory_any_more_cost_no_row_and_no_journalled_call(tmp_path, answers):
    comes_through(tmp_path, answers, [Fault("out of memory", process) for process in ACTORS if process != "pool"])
