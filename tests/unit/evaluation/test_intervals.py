"""Intervals, comparison and the Pareto front, against known values."""

from itertools import count
from math import comb, fsum
from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.evaluation.comparison import Comparison, mcnemar
from partsong.evaluation.intervals import quantile_ranks, wilson
from partsong.evaluation.mean import Mean
from partsong.evaluation.pareto import Point, front


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(right, n, low, high):
    interval = wilson(right, n)
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_no_rows_say_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000), st.data())
def test_a_wilson_interval_holds_the_share(n, data):
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0.0 <= low <= right / n <= high <= 1.0


def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says():
    dice = Random(7)
    covered = 0
    for _ in range(300):
        mean = Mean()
        for _ in range(100):
            mean.add(dice.expovariate(1.0))
        low, high = mean.interval()
        covered += low <= 1.0 <= high
    assert 270 <= covered <= 297


@pytest.mark.parametrize("values", [2, 3, 4, 10])
def test_the_interval_of_a_mean_of_few_values_covers_it_as_often_too(values):
    dice = Random(7)
    covered = 0
    for _ in range(1000):
        mean = Mean()
        for _ in range(values):
            mean.add(dice.gauss(100.0, 1.0))
        low, high = mean.interval()
        covered += low <= 100.0 <= high
    assert 930 <= covered <= 970


@pytest.mark.parametrize(("values", "t"), [((9, 14), 12.706), ((9, 10, 14), 4.303), ((9, 10, 12, 14, 14), 2.776), (range(100, 131), 2.042)])
def test_a_mean_and_its_interval_are_those_of_the_textbook(values, t):
    mean = Mean()
    for value in values:
        mean.add(value)
    half = t * stdev(values) / len(values) ** 0.5
    assert mean.value == pytest.approx(fmean(values))
    assert mean.interval(1000) == pytest.approx((1000 * max(0.0, fmean(values) - half), 1000 * (fmean(values) + half)), rel=3e-3)


def test_one_value_has_no_interval():
    mean = Mean()
    mean.add(3.0)
    assert mean.interval() is None


@given(st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99]), st.integers(0, 1000))
def test_the_ranks_about_a_quantile_hold_it_at_least_95_times_in_100_and_none_nearer_do_on_either_side(share, n):
    low, high = quantile_ranks(share, n)
    chances = [comb(n, below) * share**below * (1 - share) ** (n - below) for below in range(n + 1)]
    assert fsum(chances[low:high]) >= 0.95
    assert fsum(chances[:low]) <= 0.025 < fsum(chances[: low + 1])
    assert fsum(chances[high:]) <= 0.025 < fsum(chances[high - 1 :])


def test_the_ranks_of_a_million_values_are_those_of_the_normal_limits():
    assert quantile_ranks(0.95, 1_000_000) == pytest.approx((950_000 - 427, 950_000 + 428), abs=2)


def test_few_values_bound_no_quantile():
    assert quantile_ranks(0.95, 71)[1] == 72
    assert quantile_ranks(0.95, 72)[1] == 72
    assert quantile_ranks(0.5, 5)[0] == 0


def exact(a: int, b: int) -> float:
    n = a + b
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(a, b) + 1)) / 2**n)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_coin_test(a, b):
    assert mcnemar(a, b) == pytest.approx(exact(a, b), rel=1e-9)


def test_mcnemar_takes_a_million_rows():
    assert mcnemar(500_000, 500_000) == 1.0
    assert mcnemar(499_000, 501_000) == pytest.approx(0.04566, abs=1e-4)
    assert mcnemar(100_000, 900_000) == 0.0


def test_a_comparison_counts_rows_and_knows_its_difference():
    seen = Comparison()
    for a, b in [(True, True)] * 50 + [(True, False)] * 5 + [(False, True)] * 20 + [(False, False)] * 25:
        seen = seen.plus(a, b)
    assert (seen.rows, seen.difference) == (100, 0.15)
    assert seen.p_value == pytest.approx(exact(5, 20))
    low, high = seen.difference_interval()
    assert 0.04 < low < 0.15 < high < 0.26


def test_nothing_compared_says_nothing():
    assert Comparison().p_value == 1.0
    assert Comparison().difference == 0.0
    assert Comparison().difference_interval()[0] <= -0.9


def test_the_front_is_what_nothing_beats():
    points = [Point("dear", 9, 0.9), Point("cheap", 1, 0.6), Point("worse", 2, 0.5), Point("mid", 3, 0.8), Point("waste", 9, 0.85)]
    assert [p.name for p in front(points)] == ["cheap", "mid", "dear"]


def test_equal_points_both_stand_on_the_front():
    assert len(front([Point("a", 1, 0.5), Point("b", 1, 0.5)])) == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_every_point_that_no_other_dominates(pairs):
    names = count()
    points = [Point(str(next(names)), cost, accuracy) for cost, accuracy in pairs]
    kept = {p for p in points if not any(q.cost <= p.cost and q.accuracy >= p.accuracy and q[1:] != p[1:] for q in points)}
    assert set(front(points)) == kept
