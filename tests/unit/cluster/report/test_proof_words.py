"""Proof in words: the headline says how a mesh stands beside the model that would be bought instead."""

from collections.abc import Sequence
from random import Random

import pytest
from partsong_cluster.report.contents import PlanLine
from partsong_cluster.report.proof_words import proof_words
from report_builders import section, way

from partsong.evaluation.lane import Lane
from partsong.evaluation.proof import Rivals, prove

ROWS = 400


def told(wrong: int, cost: float, beside: Sequence[PlanLine] = ()) -> Sequence[str]:
    """Return what is said of a mesh that is wrong on so many rows; the best model is wrong on 40 others, at 10 dollars a row."""
    large = Lane([float(row >= 40) for row in range(ROWS)], [10.0] * ROWS)
    mini = Lane([float(row % 2) for row in range(ROWS)], [1.0] * ROWS)
    mesh = Lane([float(row < ROWS - wrong) for row in range(ROWS)], [cost] * ROWS)
    fold = [row % 5 for row in range(ROWS)]
    return proof_words(prove("mesh", mesh, Rivals({"large": large, "mini": mini}), fold, Random(3).random), beside)


@pytest.mark.parametrize(
    ("wrong", "cost", "says"),
    [
        (
            42,
            6.0,
            "it is as often right as far as these rows tell (89.5 % against 90.0 %), and it costs 40 % less (95 % interval 40 to 40).",
        ),
        (100, 6.5, "it is less often right by 15.0 points (75.0 % against 90.0 %, p = "),
        (4, 20.0, "it is more often right by 9.0 points (99.0 % against 90.0 %, p = "),
        (4, 20.0, "and it costs 2.0 times as much (95 % interval 2.0 to 2.0)."),
        (4, 10.4, "and it costs 4 % more (95 % interval 4 to 4)."),
        (100, 6.5, "and it costs 35 % less (95 % interval 35 to 35)."),
    ],
)
def test_the_headline_compares_with_the_best_single_model_in_accuracy_and_cost(wrong: int, cost: float, says: str):
    assert says in told(wrong, cost)[0]


def test_a_win_names_what_was_compared_and_no_more():
    assert told(42, 6.0)[0].startswith(
        "Combining pays: mesh is right more often than a single model or a random mix of models at the same cost."
    )


def test_money_saved_for_accuracy_that_is_surely_lost_is_called_a_trade():
    said = told(80, 2.0)[0]
    assert said.startswith("It saves 80 % and loses 10.0 points: a trade, no win, though mesh is right more often than a single model or")
    assert "Combining pays" not in said


def test_other_plans_that_did_better_for_no_more_money_are_named():
    lines = section(
        *(
            way(name, "+" * right + "-" * (20 - right), cost_usd=cost)
            for name, right, cost in (("vote", 19, 9.0), ("climb", 19, 2.1), ("trio", 15, 1.0))
        )
    ).lines
    [said] = [one for one in told(80, 2.0, lines) if "other plans" in one]
    assert "climb (95.0 % for $2,100.00 per 1,000)" in said
    assert "vote" not in said
    assert "trio" not in said
    assert not any("other plans" in one for one in told(4, 2.0, lines))


def test_a_best_model_chosen_beforehand_is_set_apart_from_the_one_chosen_with_hindsight():
    fold = [row % 5 for row in range(ROWS)]
    a = Lane([float(row % 5 != 0 or row % 2 == 0) for row in range(ROWS)], [10.0] * ROWS)
    b = Lane([float(row % 5 != 1 or row % 2 == 0) for row in range(ROWS)], [10.0] * ROWS)
    mesh = Lane([1.0] * ROWS, [6.0] * ROWS)
    said = " ".join(proof_words(prove("mesh", mesh, Rivals({"a": a, "b": b}), fold, Random(3).random)))
    assert "Chosen with hindsight, on these very rows, it would be a with 90.0 %, but a buyer has to choose beforehand." in said
    assert "hindsight" not in " ".join(told(42, 6.0))
