"""A mesh beside what the same dollars buy without it: it is chosen on other rows, and says when combining does not pay."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.evaluation.lane import Lane, best_elsewhere, mixed, spliced
from partsong.evaluation.proof import BEST, MIX, SAMPLES, Proof, Rivals, prove

ROWS = 400
FOLD = [row % 5 for row in range(ROWS)]


def lane(accuracy: float, cost: float, seed: int = 0, rows: int = ROWS) -> Lane:
    dice = Random(seed)
    return Lane([float(dice.random() < accuracy) for _ in range(rows)], [cost] * rows)


def proved(mesh: Lane, **options: object) -> Proof:
    singles = {"mini": lane(0.6, 1.0, 1), "large": lane(0.9, 10.0, 2)}
    return prove("mesh", mesh, Rivals(singles, **options), FOLD, Random(3).random)  # type: ignore[arg-type]


def contender(proof: Proof, name: str):
    return next(one for one in proof.contenders if one.name == name)


def test_the_best_model_of_a_row_is_chosen_on_other_rows():
    lucky = Lane([1.0, 1.0, 0.0, 0.0], [1.0] * 4)
    steady = Lane([0.0, 1.0, 1.0, 1.0], [1.0] * 4)
    assert best_elsewhere({"lucky": lucky, "steady": steady}, [0, 0, 1, 1]) == ["steady", "steady", "lucky", "lucky"]


def test_of_equally_accurate_models_the_cheaper_is_chosen():
    assert set(best_elsewhere({"dear": lane(0.5, 2.0), "cheap": lane(0.5, 1.0)}, FOLD)) == {"cheap"}


def test_a_spliced_lane_goes_along_the_chosen_one():
    assert spliced({"a": Lane([1.0, 1.0], [1.0, 1.0]), "b": Lane([0.0, 0.0], [2.0, 2.0])}, ["a", "b"]) == Lane([1.0, 0.0], [1.0, 2.0])


@given(st.floats(0.5, 12.0))
def test_a_mix_costs_the_budget_where_one_can_be_mixed_and_is_between_its_two_models(budget: float):
    singles = {"mini": lane(0.6, 1.0, 1), "large": lane(0.9, 10.0, 2)}
    accuracy, cost = mixed(singles, FOLD, budget).on(range(ROWS))
    assert cost == pytest.approx(min(max(budget, 1.0), 10.0))
    low, high = (singles[name].on(range(ROWS))[0] for name in ("mini", "large"))
    assert low - 1e-9 <= accuracy <= high + 1e-9


def test_a_mix_leaves_out_what_another_mix_beats():
    singles = {"mini": lane(0.6, 1.0, 1), "useless": lane(0.61, 5.0, 4), "large": lane(0.9, 10.0, 2)}
    without = mixed({"mini": singles["mini"], "large": singles["large"]}, FOLD, 5.0)
    assert mixed(singles, FOLD, 5.0).on(range(ROWS)) == pytest.approx(without.on(range(ROWS)))


def test_a_mesh_above_the_mix_at_its_cost_pays():
    found = proved(lane(0.9, 3.0, 7))
    assert found.pays == "yes"
    mix = contender(found, MIX)
    assert mix.cost_per_1000.value == pytest.approx(3000.0)
    assert mix.gain.low > 0.1
    assert mix.p_value is None
    best = contender(found, BEST)
    assert (best.about.split(",")[0], best.saved.value) == ("large", pytest.approx(0.7))
    assert best.p_value > 0.05


def test_a_mesh_below_the_mix_at_its_cost_does_not_pay():
    assert proved(lane(0.6, 5.0, 7)).pays == "no"


def test_a_mesh_that_costs_more_than_the_best_model_and_is_no_better_does_not_pay():
    assert proved(Lane(lane(0.9, 10.0, 2).right, [30.0] * ROWS)).pays == "no"


def test_a_mesh_that_seems_no_better_and_costs_more_is_unclear_where_the_interval_leaves_a_gain_open():
    single, mesh = (Lane([float(row % 5 != wrong) for row in range(40)], [cost] * 40) for wrong, cost in ((0, 1.0), (1, 3.0)))
    found = prove("mesh", mesh, Rivals({"mini": single}), [row // 8 for row in range(40)], Random(3).random)
    best = contender(found, BEST)
    assert best.gain.value <= 0 < 0.01 < best.gain.high
    assert best.saved.high < 0
    assert found.pays == "unclear"


def test_a_small_gain_at_more_cost_is_unclear_and_the_rows_that_would_tell_are_named():
    best = lane(0.9, 10.0, 2).right
    found = proved(Lane([1.0 if row < 40 else best[row] for row in range(ROWS)], [30.0] * ROWS))
    assert found.pays == "unclear"
    assert found.rows_needed > 0


def test_more_samples_are_compared_at_the_same_cost():
    samples = {"large": {2: lane(0.9, 20.0, 2), 3: lane(0.97, 30.0, 8)}}
    found = proved(lane(0.97, 30.0, 9), samples=samples)
    assert contender(found, SAMPLES).cost_per_1000.value == pytest.approx(30_000)
    assert abs(contender(found, SAMPLES).gain.value) < 0.05
    assert found.pays != "yes"
    assert [curve.name for curve in found.curves][-2] == SAMPLES


def test_samples_that_are_too_dear_for_the_meshs_cost_are_no_contender():
    found = proved(lane(0.9, 3.0, 7), samples={"large": {2: lane(0.9, 20.0, 2)}})
    assert [one.name for one in found.contenders] == [BEST, MIX]


def test_three_lucky_rows_prove_nothing():
    few = {"mini": Lane([0.0] * 3 + [1.0] * 27, [1.0] * 30)}
    found = prove("mesh", Lane([1.0] * 30, [1.0] * 30), Rivals(few), [row % 5 for row in range(30)], Random(1).random)
    assert found.pays == "unclear"
    assert found.accuracy.low < 0.95


def test_curves_rise_with_the_money_spent_and_carry_bands():
    found = proved(lane(0.9, 3.0, 7), levels=[lane(0.8, 2.0, 7)])
    mix = next(curve for curve in found.curves if curve.kind == "mix")
    costs = [point.cost_per_1000 for point in mix.points]
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(10_000)
    assert all(point.low <= point.accuracy <= point.high for curve in found.curves for point in curve.points)
    assert [point.cost_per_1000 for curve in found.curves if curve.kind == "mesh" for point in curve.points] == [2000.0, 3000.0]


def test_less_money_for_surely_less_accuracy_is_a_trade_and_without_saving_it_is_a_loss():
    assert proved(lane(0.8, 2.0, 7)).pays == "trade"
    assert proved(lane(0.8, 10.0, 7)).pays == "no"
