"""Proof in words: the headline says how a mesh stands beside the model that would be bought instead."""

from random import Random

import pytest
from partsong_cluster.report.proof_words import proof_words

from partsong.evaluation.lane import Lane
from partsong.evaluation.proof import Rivals, prove

ROWS = 400


def headline(wrong: int, cost: float) -> str:
    """Return the first sentence for a mesh that is wrong on so many rows; the best model is wrong on 40 others, at 10 dollars a row."""
    large = Lane([float(row >= 40) for row in range(ROWS)], [10.0] * ROWS)
    mini = Lane([float(row % 2) for row in range(ROWS)], [1.0] * ROWS)
    mesh = Lane([float(row < ROWS - wrong) for row in range(ROWS)], [cost] * ROWS)
    return proof_words(prove("mesh", mesh, Rivals({"large": large, "mini": mini}), [row % 5 for row in range(ROWS)], Random(3).random))[0]


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
    assert says in headline(wrong, cost)
