"""What a way comes to, and what it is beside the best single model, on the same rows."""

from random import Random

import pytest

from partsong.evaluation.baseline import Against, against, figures, holm_adjusted
from partsong.evaluation.worked import Worked


def worked(answers: str, cost: float = 1.0, latency_s: float = 1.0) -> Worked:
    """A way that is right at `+`, wrong at `-`, failed at `x`, ungraded at `?`; a row that is not there is a space."""
    way = Worked()
    right = {"+": True, "-": False, "x": False, "?": None}
    for row, letter in enumerate(answers):
        if letter != " ":
            way.put(row, right[letter], cost, None if letter == "x" else latency_s)
    return way


def beside(best: Worked, way: Worked) -> Against:
    found = against(best, way, Random(1).random)
    assert found is not None
    return found


def test_a_right_answer_costs_what_the_wrong_ones_did_too():
    found = figures(worked("+-x+" * 25, cost=0.002), [], Random(1).random)
    assert found.cost_per_1000_right.value == pytest.approx(4.0)
    assert found.cost_per_1000_right.low < 4.0 < found.cost_per_1000_right.high
    assert (found.success.value, found.success.n) == (0.5, 100)


def test_nothing_right_has_no_price():
    assert figures(worked("---"), [], Random(1).random).cost_per_1000_right is None
    assert figures(worked(""), [], Random(1).random) is None


def test_an_answer_that_nobody_graded_is_done_and_a_failure_is_not():
    assert figures(worked("??x+"), [], Random(1).random).success.value == 0.75


def test_routing_is_judged_where_the_choice_of_model_matters():
    weak, strong = worked("++--"), worked("+-+-")
    found = figures(worked("++-+"), [weak, strong], Random(1).random)
    assert (found.routing.value, found.routing.n) == (0.5, 2)
    assert figures(worked("++"), [weak], Random(1).random).routing is None


def test_what_is_saved_is_told_of_the_rows_that_both_worked():
    found = beside(worked("+" * 50, cost=4.0, latency_s=2.0), worked("+" * 30 + " " * 10 + "-" * 10 + "++", cost=1.0, latency_s=3.0))
    assert (found.saved.value, found.saved.n) == (0.75, 40)
    assert (found.faster.value, found.faster.n) == (-0.5, 40)
    assert (found.rows, found.only_a, found.only_b) == (40, 10, 0)
    assert found.gain.value == pytest.approx(-0.25)
    assert found.gain.beyond(0.0)
    assert found.rows_needed < 40


def test_rows_that_are_not_graded_in_both_say_nothing_of_accuracy():
    found = beside(worked("+?+?"), worked("++??"))
    assert (found.rows, found.gain.n) == (1, 1)
    assert beside(worked("??"), worked("++")).gain is None


def test_ways_without_a_row_in_common_are_not_compared():
    assert against(worked("++  "), worked("  ++"), Random(1).random) is None


def test_nothing_is_saved_on_what_is_free():
    assert beside(worked("++", cost=0.0, latency_s=0.0), worked("++")).saved is None
    assert beside(worked("++", cost=0.0, latency_s=0.0), worked("++")).faster is None


def test_a_difference_is_adjusted_for_all_that_were_compared():
    clear, none = Against(only_b=10), Against(only_a=1, only_b=1)
    adjusted = holm_adjusted([clear, None, none, Against()])
    assert adjusted[0].p_holm == pytest.approx(2 * clear.p_value)
    assert adjusted[1] is None
    assert adjusted[2].p_holm == 1.0
    assert none.rows_needed is None


def test_what_it_takes_to_show_a_wanted_difference_is_told_by_how_often_the_two_disagree():
    few = Against(both_right=80, only_a=10, only_b=10).wanted(0.05)
    many = Against(both_right=8000, only_a=1000, only_b=1000).wanted(0.05)
    assert few.power < 0.3 < 0.99 < many.power
    assert few.rows_needed == pytest.approx(many.rows_needed, rel=0.1)
    assert Against(both_right=50).wanted(0.02).rows_needed > 100
