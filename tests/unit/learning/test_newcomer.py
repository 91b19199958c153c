from dataclasses import replace

import numpy as np
import pytest
from unit.learning.made import PRICES, made

from partsong.learning.calibration import logit
from partsong.learning.gate import fit_gate
from partsong.learning.newcomer import Newcomer, doubts_of, known_models, newcomers, welcome
from partsong.learning.outcomes import Outcomes

TABLE = made(600, strengths=(3.0, 1.5, 1.0, 0.5, 2.2), prices=(*PRICES, 3e-4))
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


def with_probes(count: int) -> Outcomes:
    """Return the table in which the newcomer has so many outcomes."""
    right = TABLE.right.copy()
    right[count:, 4] = np.nan
    return replace(TABLE, right=right)


def said(probes: int, cards: dict[str, float]) -> tuple[list[str], str]:
    """Return what the new models are known by, and what is told of them."""
    table = with_probes(probes)
    known = known_models(table, cards)
    new = newcomers(table, known, OTHERS, cards)
    return [f"{one.model} {one.words}" for one in new], " ".join(doubts_of(table, known, new, cards))


def test_without_a_card_a_new_model_starts_from_the_others_or_is_left_out():
    names, told = said(1, {})
    assert names == ["m4 new: 1 probe"]
    assert "from the others' mean (no --card m4=SHARE was given); the gate alone asks it" in told
    assert said(1, {"m4": 0.9})[1].count("from its card's 90 %") == 1
    names, told = said(0, {})
    assert names == []
    assert told.startswith("m4: no reply of it")
    assert "--card m4=0.8" in told


def test_a_card_speaks_for_a_model_that_is_missing_from_most_rows_and_for_no_other():
    assert [said(probes, {})[0] for probes in (29, 30)] == [["m4 new: 29 probes"], []]
    assert [said(probes, {"m4": 0.9})[0] for probes in (299, 300)] == [["m4 new: 299 probes"], []]


def test_of_a_new_model_without_a_price_it_is_said_that_nothing_asks_it():
    table = with_probes(3)
    cost_usd = np.where(np.arange(5) == 4, np.nan, table.cost_usd)
    new = newcomers(table, range(4), OTHERS, {})
    assert "nothing asks it: its price is not known" in next(doubts_of(replace(table, cost_usd=cost_usd), range(4), new, {}))
