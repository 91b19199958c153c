"""A cascade's thresholds: the cheapest of which the promise holds, or why there are none."""

from dataclasses import replace

import numpy as np
import pytest

from partsong.learning.calibration import sigmoid
from partsong.learning.judged import kept_back
from partsong.learning.outcomes import Outcomes
from partsong.learning.thresholds import Climb, Thresholds, fit_thresholds
from partsong.learning.trusted import honest

PRICES = (0.1, 1.0)
BOUND = 0.03


def climbed(rows: int, seed: int) -> tuple[Climb, Outcomes]:
    """A cheap model that states how sure it is, three times as sure in log-odds as it may be, and a dear one that is right on 85 %."""
    dice = np.random.default_rng(seed)
    odds = dice.normal(1.0, 2.0, rows)
    right = np.stack([dice.random(rows) < sigmoid(odds), dice.random(rows) < 0.85], axis=1).astype(np.float64)
    stated = np.stack([sigmoid(3 * odds), np.full(rows, np.nan)], axis=1)
    prompts = tuple(f"question {seed} {i}" for i in range(rows))
    models = Outcomes(("cheap", "dear"), prompts, right, ((None, None),) * rows, np.tile(PRICES, (rows, 1)), stated=stated)
    tiers = replace(models, models=("cheap by confidence", "dear"))
    return Climb("climb", tiers.models, "", tiers, np.ones((rows, 2))), models


def fitted(climb: Climb, outcomes: Outcomes, bound: float = BOUND) -> Thresholds:
    return fit_thresholds(climb, outcomes, (0, 1), bound)[0]


def loss(found: Thresholds, climb: Climb) -> float:
    """Return how far below the dear model the cascade is."""
    trusted = honest(found.worth, climb.tiers)[:, 0] >= found.levels[0]
    cheap, dear = climb.tiers.right.T
    return float((dear - np.where(trusted, cheap, dear)).mean())


def test_a_promise_holds_in_at_least_95_of_100_samples_and_is_worth_something():
    everyone, _ = climbed(30_000, seed=0)
    found = [fitted(*climbed(300, seed)) for seed in range(1, 201)]
    kept = [one for one in found if one.levels]
    broken = sum(loss(one, everyone) > BOUND for one in kept)
    assert broken <= 0.05 * len(found)
    assert len(kept) > 0.3 * len(found)


def test_what_is_promised_costs_less_and_is_told_with_figures_of_rows_kept_back():
    climb, outcomes = climbed(3000, seed=1)
    found, figure = fit_thresholds(climb, outcomes, (0, 1), BOUND)
    assert figure is not None
    assert figure.policy == "cascade@climb"
    assert figure.n == found.rows
    assert 900 < found.rows < 1100
    assert 100 < figure.usd_per_1000 < 800
    assert found.words == "not below the best single model by more than 3.0 points, with 95 % confidence"
    assert found.told.startswith(f"climb: {found.words}. It trusts cheap by confidence from {found.levels[0]:.3f} (ECE 0.0")
    assert found.worth[0].ece < 0.05 < found.worth[0].stated_ece


def test_the_tighter_the_promise_the_later_a_cheap_answer_is_trusted():
    climb, outcomes = climbed(6000, seed=2)
    strict, loose = (fitted(climb, outcomes, bound) for bound in (0.02, 0.08))
    assert strict.levels > loose.levels > ()


def test_with_few_rows_nothing_is_promised_and_about_how_many_more_would_do_is_told():
    found = fitted(*climbed(180, seed=5))
    assert found.levels == ()
    assert found.promise is not None
    assert found.promise.more_rows > 500
    assert f"about {found.promise.more_rows:,} more labelled rows would do" in found.told


def test_a_question_that_stands_in_many_rows_tests_the_promise_once():
    climb, outcomes = climbed(300, seed=6)
    copies = [i for i in range(300) for _ in range(5)]
    copied = fitted(climb.rows(np.array(copies)), outcomes.rows(copies))
    assert copied.rows == fitted(climb, outcomes).rows


def test_rows_of_which_it_is_not_known_who_was_right_count_as_lost_so_that_a_cheap_answer_is_trusted_later():
    climb, outcomes = climbed(6000, seed=2)
    hidden = np.where((np.arange(6000)[:, None] % 25 > 0) | ~kept_back(outcomes.prompts)[:, None], climb.tiers.right, np.nan)
    found, whole = (fitted(replace(climb, tiers=replace(climb.tiers, right=right)), outcomes) for right in (hidden, climb.tiers.right))
    assert found.rows == whole.rows
    assert found.levels > whole.levels > ()


def test_only_some_of_further_rows_would_be_kept_back_so_that_it_takes_more_of_them():
    climb, outcomes = climbed(300, seed=4)
    right = np.ones((300, 2))
    found = fitted(replace(climb, tiers=replace(climb.tiers, right=right)), replace(outcomes, right=right - [0.1, 0.0]), bound=0.01)
    assert found.promise is not None
    assert found.promise.more_rows == 3 * (299 - found.rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"right": lambda t: np.where(np.arange(600)[:, None] % 5 > 0, t.right, np.nan)}, "of 600 labelled rows only 480 have an answer"),
        ({"stated": lambda t: np.full(t.right.shape, np.nan)}, "too few confidences of cheap by confidence to say what they are worth"),
        ({"cost_usd": lambda t: np.where(np.arange(2) == 0, np.nan, t.cost_usd)}, "the price of a model that it asks is not known"),
        ({"cost_usd": lambda t: t.cost_usd + 1.0}, "it costs as much as the best single model, or more"),
    ],
)
def test_where_nothing_can_be_tested_that_is_said_in_place_of_a_level(change, words):
    climb, outcomes = climbed(600, seed=5)
    tiers = replace(climb.tiers, **{name: of(climb.tiers) for name, of in change.items()})
    found, figure = fit_thresholds(replace(climb, tiers=tiers), outcomes, (0, 1), BOUND)
    assert (found.levels, figure) == ((), None)
    assert words in found.words


def test_too_few_rows_test_nothing():
    assert "rows kept back are too few to test anything on" in fitted(*climbed(75, seed=8)).words


def test_where_every_row_of_a_model_judges_nothing_is_tested():
    climb, outcomes = climbed(600, seed=9)
    right = np.where(kept_back(outcomes.prompts)[:, None] | (np.arange(2) == 1), outcomes.right, np.nan)
    assert fitted(climb, replace(outcomes, right=right)).words == "some model is known by rows kept back alone"


def test_rows_of_an_unheard_of_kind_go_by_what_confidences_are_worth_over_all():
    climb, outcomes = climbed(600, seed=7)
    worth = fitted(climb, outcomes).worth
    of_kind = replace(climb.tiers, kinds=("unheard of",) * 600)
    assert honest(worth, of_kind)[:, 0] == pytest.approx(honest(worth, climb.tiers)[:, 0])
