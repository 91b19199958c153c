import numpy as np
import pytest

from partsong.learning.guarantee import keep_promise, p_value, rows_needed

BOUND = 0.01


def losses(rows: int, means: tuple[float, ...], seed: int) -> np.ndarray:
    """Paired losses in -1, 0, 1 that disagree on one row in ten."""
    dice = np.random.default_rng(seed)
    worse = np.array([0.05 + m / 2 for m in means])
    draw = dice.random((rows, 1))
    return np.where(draw < worse, 1.0, np.where(draw > 0.9 + worse, -1.0, 0.0))


def test_a_promise_that_does_not_hold_is_kept_by_chance_in_no_more_than_one_case_of_twenty():
    broken = sum(keep_promise(losses(1000, (BOUND, BOUND, BOUND), seed), BOUND).kept for seed in range(400))
    assert broken / 400 <= 0.05 + 0.02


def test_the_cheapest_safe_threshold_is_found_when_rows_are_many():
    promise = keep_promise(losses(8000, (-0.02, -0.01, -0.005, 0.05), 0), BOUND)
    assert (promise.kept, promise.index) == (True, 2)
    assert promise.words(BOUND, 0.95) == "not below the best single model by more than 1.0 points, with 95 % confidence"


def test_few_rows_support_no_promise_and_say_how_many_would():
    promise = keep_promise(losses(60, (0.0,), 3), BOUND)
    assert not promise.kept
    assert promise.more_rows > 100
    assert "more labelled rows" in promise.words(BOUND, 0.95)


def test_a_few_rows_without_a_loss_need_as_many_more_as_would_show_it():
    assert rows_needed(np.zeros(45), 0.01) == 299 - 45


def test_a_threshold_as_bad_as_the_bound_is_not_mended_by_more_rows():
    assert rows_needed(np.full(100, 0.02), BOUND) == 0


def test_the_p_value_is_small_only_when_losses_are_under_the_bound():
    dice = np.random.default_rng(0)
    assert p_value((dice.random(500) < 0.02).astype(float), 0.1) < 0.01
    assert p_value((dice.random(500) < 0.2).astype(float), 0.1) > 0.2


def test_rows_without_a_difference_prove_no_more_than_their_number():
    """Had one row in a hundred been worse, 250 rows would all be alike with chance 0.99 ** 250."""
    assert p_value(np.zeros(250), BOUND) == pytest.approx(0.99**250, abs=0.002)


@pytest.mark.parametrize(("rows", "apart"), [(120, 0.05), (400, 0.04), (400, 0.2), (2000, 0.1)])
def test_at_the_bound_a_p_value_is_under_a_level_no_more_often_than_the_level(rows: int, apart: float):
    dice = np.random.default_rng(rows)
    worse, better = (apart + BOUND) / 2, (apart - BOUND) / 2
    draws = dice.multinomial(rows, [worse, better, 1 - apart], size=3000)
    p = [p_value(np.repeat([1.0, -1.0, 0.0], draw), BOUND) for draw in draws]
    for level in (0.01, 0.05):
        assert np.mean(np.array(p) <= level) <= level + 3 * (level / 3000) ** 0.5


def test_it_is_nearly_as_telling_as_the_normal_approximation_that_guarantees_nothing():
    found = [keep_promise(losses(3600, (-0.01,), seed), BOUND, level=0.95).kept for seed in range(60)]
    assert np.mean(found) > 0.85


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_rows_needed_are_a_number_at_the_ends_of_the_range(bound: float):
    assert rows_needed(np.full(50, -0.1), bound) > 0
