"""A job on three hosts, whose node or store fails in the middle, loses no row and pays nothing again; `make chaos-cluster`: at length."""

import pytest
from chaos.scene import undisturbed
from chaos_cluster.faults import FAULTS
from chaos_cluster.table import HEAD, line
from chaos_cluster.trial import Trial
from hosts.namespaces import why_not
from providers.process import running_server

ROWS = 300
SHORT = ("the node of the journal is killed", "PostgreSQL crashes")

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with running_server("chaos.upstream", "--key", "k") as server:
        return undisturbed(tmp_path_factory.mktemp("undisturbed"), ROWS, server.url)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SHORT], ids=lambda fault: fault.name)
def test_a_fault_costs_no_row_and_no_journalled_call(tmp_path, answers, fault):
    outcome = Trial(tmp_path, ROWS, fault, 0, answers, nodes=2).outcome()
    print(f"\n{HEAD}\n{line(fault.name, 0, outcome)}")
    assert outcome.clean, outcome
