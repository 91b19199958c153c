"""A job on three hosts, one of which loses its power and the journal with it, loses no row and pays nothing again."""

import pytest
from chaos.scene import undisturbed
from chaos_cluster.faults import FAULTS
from chaos_cluster.table import HEAD, line
from chaos_cluster.trial import Trial
from hosts.namespaces import why_not
from providers.process import running_server

ROWS = 300
FAULT = "the node of the journal is killed"

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.mark.timeout(300)
def test_a_lost_node_costs_no_row_and_no_journalled_call(tmp_path):
    with running_server("chaos.upstream", "--key", "k") as server:
        answers = undisturbed(tmp_path / "undisturbed", ROWS, server.url)
    [fault] = [fault for fault in FAULTS if fault.name == FAULT]
    outcome = Trial(tmp_path / "trial", ROWS, fault, 0, answers, nodes=2).outcome()
    print(f"\n{HEAD}\n{line(fault.name, 0, outcome)}")
    assert outcome.clean, outcome
