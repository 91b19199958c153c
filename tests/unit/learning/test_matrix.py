from dataclasses import replace

import numpy as np
import pytest
from unit.learning.made import made

from partsong.learning.crowd import agree
from partsong.learning.curves import apgr, calls_for
from partsong.learning.matrix import capability_matrix, gaps
from partsong.learning.posterior import ballots
from partsong.learning.usage import usage_of


def test_three_lucky_rows_are_no_talent():
    table = made(300)
    kinds = ("rare",) * 3 + ("common",) * 297
    right = table.right.copy()
    right[:3, 3] = 1.0
    cell = next(c for c in capability_matrix(replace(table, kinds=kinds, right=right)) if (c.model, c.kind) == ("m3", "rare"))
    assert cell.n == 3
    assert cell.accuracy < 0.9
    assert cell.high - cell.low > 0.1


@pytest.mark.parametrize(("rows", "least"), [(1, 0.5), (3, 0.3), (100, 0.02)])
def test_rows_that_are_all_alike_make_nothing_certain(rows, least):
    table = made(rows)
    for outcome in (0.0, 1.0):
        cells = capability_matrix(replace(table, right=np.full(table.right.shape, outcome), kinds=("all",) * rows))
        assert all(cell.high - cell.low > least and 0.0 < cell.accuracy < 1.0 for cell in cells)


def test_copies_of_a_question_count_once():
    table = made(40)
    copied = table.rows([i for i in range(40) for _ in range(8)])
    assert [(cell.n, cell.low) for cell in capability_matrix(copied)] == [(cell.n, cell.low) for cell in capability_matrix(table)]


def test_a_cell_with_many_rows_keeps_its_own_share():
    table = made(4000)
    for cell in capability_matrix(table):
        which = np.array([k == cell.kind for k in table.kinds])
        assert abs(cell.accuracy - table.right[which, table.models.index(cell.model)].mean()) < 0.02
        assert cell.low < cell.accuracy < cell.high


def test_cost_and_latency_of_a_cell_are_of_its_own_calls_with_their_intervals():
    table = made(300)
    cost, right = table.cost_usd.copy(), table.right.copy()
    cost[:, 0] = np.where(np.arange(300) % 2, 0.001, 0.003)
    right[:10, 0], cost[:10, 0] = np.nan, 1.0  # not called: what stands there is no cost of a call
    latency = np.ones_like(cost)
    cell = next(c for c in capability_matrix(replace(table, right=right, cost_usd=cost, latency_s=latency, kinds=("all",) * 300)))
    assert (cell.n, cell.cost_usd) == (290, pytest.approx(0.002, rel=0.01))
    assert 0.0018 < cell.cost_usd_low < cell.cost_usd < cell.cost_usd_high < 0.0022
    assert (cell.latency_s, cell.latency_s_low, cell.latency_s_high) == pytest.approx((1.0, 1.0, 1.0), rel=0.01)


def test_usage_of_few_calls_has_no_interval():
    one = usage_of(made(300).rows(range(5)))[0]
    assert one.calls == 5
    assert one.cost_usd_low <= one.cost_usd <= one.cost_usd_high
    assert np.isnan((one.latency_p95_s_low, one.latency_p95_s_high)).all()


def test_gaps_are_named_for_a_person():
    found = {g.kind: g for g in gaps(capability_matrix(made(1000)), good=0.75)}
    assert found["hard"].reason == "only-one"
    assert "m0" in found["hard"].words
    assert next(g for g in gaps(capability_matrix(made(1000)), good=0.99) if g.kind == "hard").reason == "nobody-good"
    assert gaps(capability_matrix(made(30)))[0].reason == "hardly-tried"
    assert gaps(capability_matrix(made(1)))[0].words.endswith(": at most 1 row a model; too few to say")


def test_without_labels_agreement_ranks_the_models():
    table = made(2000, strengths=(3.0, 1.0, 0.5, 0.0))
    cast = ballots(table)
    crowd = agree(cast.choice, cast.right.shape[1])
    assert np.argsort(-crowd.accuracy).tolist() == np.argsort(-table.accuracy).tolist()
    assert abs(crowd.candidate.sum(axis=1) - 1).max() < 1e-9


def test_the_area_is_a_half_without_knowledge_and_more_with_it():
    table = made(4000)
    weak, strong = table.right[:, 3], table.right[:, 0]
    assert abs(apgr(np.zeros(4000), weak, strong) - 0.5) < 1e-9
    assert apgr(strong - weak, weak, strong) > 0.8
    assert calls_for(0.5, strong - weak, weak, strong) < 0.3
    assert np.isnan(apgr(np.zeros(10), np.ones(10), np.ones(10)))
