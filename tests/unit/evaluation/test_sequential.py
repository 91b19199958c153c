"""The sequential test: its promise to whoever looks after every row, and that it finds what is there."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partsong.evaluation.sequential import SURE, Effect, Wealth

RUNS, ROWS = 300, 300


def looks(dice: Random, rows: int, champion: float, challenger: float, share: float, harder: float = 0.0) -> Iterator[Effect]:
    """The effect after every row; every other stratum is harder by so much."""
    effect = Effect()
    for _ in range(rows):
        hard, new = dice.random() < 0.5, dice.random() < share
        chance = (challenger if new else champion) - harder * hard
        effect.saw("challenger" if new else "champion", share, dice.random() < chance, "hard" if hard else "easy")
        yield effect


def share_that_stops(**what: float) -> float:
    stopped = 0
    for seed in range(RUNS):
        stopped += any(effect.e_value >= SURE for effect in looks(Random(seed), ROWS, **what))
    return stopped / RUNS


@pytest.mark.parametrize(
    ("rate", "share", "harder"), [(0.8, 0.5, 0.0), (0.95, 0.1, 0.0), (0.9, 0.3, 0.4)], ids=["half", "a tenth", "two strata"]
)
def test_looking_after_every_row_calls_no_difference_one_in_at_most_one_run_of_twenty(rate, share, harder):
    assert share_that_stops(champion=rate, challenger=rate, share=share, harder=harder) <= 0.05


def test_rows_that_grow_harder_while_the_share_grows_are_no_difference():
    """The mistake of comparing totals: early easy rows went to the champion, late hard ones to both."""
    stopped = 0
    for seed in range(RUNS):
        dice, effect = Random(seed), Effect()
        for row in range(ROWS):
            share, chance = (0.05, 0.95) if row < ROWS // 2 else (0.5, 0.4)
            effect.saw("challenger" if dice.random() < share else "champion", share, dice.random() < chance)
        stopped += effect.e_value >= SURE
    assert stopped / RUNS <= 0.05


def test_a_large_difference_is_found_soon():
    assert share_that_stops(champion=0.9, challenger=0.6, share=0.5) >= 0.9


def test_paired_rows_tell_more_than_split_ones():
    dice = Random(3)
    paired, split = Effect(), Effect()
    for _ in range(400):
        champion = dice.random() < 0.8
        challenger = champion or dice.random() < 0.4
        paired.saw_both(champion, challenger)
        new = dice.random() < 0.5
        split.saw("challenger" if new else "champion", 0.5, challenger if new else champion)
    assert paired.e_value > SURE
    assert paired.e_value > split.e_value


def test_the_interval_holds_the_truth_at_every_look():
    """Looked at after every 75th row; each run that misses it once counts."""
    missed, runs = 0, 40
    for seed in range(runs):
        for row, effect in enumerate(looks(Random(seed), ROWS, 0.7, 0.8, 0.5)):
            if row % 75 == 0 and not effect.interval().low <= 0.1 <= effect.interval().high:
                missed += 1
                break
    assert missed / runs <= 0.05


def test_the_interval_leaves_zero_out_when_the_test_is_first_sure():
    effect = next(effect for effect in looks(Random(1), 5000, 0.9, 0.6, 0.5) if effect.e_value >= SURE)
    assert effect.interval().high < 0.0
    assert effect.difference < 0.0


def test_nothing_seen_says_nothing():
    effect = Effect()
    assert (effect.rows, effect.difference, effect.e_value) == (0, 0.0, 0.5)
    assert effect.interval() == (-1.0, 1.0)


def test_what_was_sure_once_stays_sure():
    wealth = Wealth()
    for _ in range(50):
        wealth.add(0.5, 1.0)
    best = wealth.best
    for _ in range(500):
        wealth.add(-0.5, 1.0)
    assert wealth.best == best > SURE


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.01, 0.3, 0.99])), max_size=60))
def test_whatever_comes_the_figures_stay_within_bounds(rows):
    effect = Effect()
    for new, right, share in rows:
        effect.saw("challenger" if new else "champion", share, right)
    low, high = effect.interval()
    assert -1.0 <= low <= 1.0
    assert -1.0 <= high <= 1.0
    assert -1.0 <= effect.difference <= 1.0
    assert effect.e_value >= 0.5
