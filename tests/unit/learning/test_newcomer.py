import numpy as np
import pytest
from unit.learning.made import made

from partsong.learning.calibration import logit
from partsong.learning.gate import fit_gate
from partsong.learning.newcomer import Newcomer, welcome

TABLE = made(600, strengths=(3.0, 1.5, 1.0, 0.5, 2.2))
"""The last model is the newcomer."""
OTHERS = fit_gate(TABLE)[1][:, :4]


def known_after(probes: int, expected: float) -> Newcomer:
    return welcome("m4", expected, logit(OTHERS).mean(axis=0), OTHERS[:probes], TABLE.right[:probes, 4] == 1.0)


def test_without_probes_the_card_speaks():
    found = known_after(0, expected=0.8)
    assert found.p_right(OTHERS).mean() == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("expected", [0.97, 0.3])
def test_probes_mend_a_card_that_says_too_much_or_too_little(expected: float):
    truth = TABLE.right[:, 4].mean()
    card, dozen, many = (abs(known_after(probes, expected).p_right(OTHERS).mean() - truth) for probes in (0, 12, 200))
    assert dozen < card
    assert many < 0.05


def test_what_is_hard_for_the_others_is_hard_for_it():
    hard = np.array([kind == "hard" for kind in TABLE.kinds])
    chances = known_after(12, expected=0.7).p_right(OTHERS)
    assert chances[~hard].mean() > chances[hard].mean() + 0.1


def test_doubt_shrinks_with_each_probe_and_a_perfect_dozen_is_no_certainty():
    spreads = [known_after(probes, expected=0.7).spread for probes in (0, 12, 100, 600)]
    assert spreads == sorted(spreads, reverse=True)
    perfect = welcome("m4", 0.7, logit(OTHERS).mean(axis=0), OTHERS[:12], [True] * 12)
    assert perfect.p_right(OTHERS).max() < 0.995
