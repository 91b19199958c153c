"""What is said of two or more ways on the same rows: paired intervals, many comparisons, power, splits, other routes; against scipy."""

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from partsong.evaluation.comparison import mcnemar
from partsong.evaluation.figure import share_of
from partsong.evaluation.multiple import holm
from partsong.evaluation.offpolicy import Logged, off_policy
from partsong.evaluation.paired import paired_bootstrap
from partsong.evaluation.power import power_of, rows_for
from partsong.evaluation.sample_ratio import sample_ratio_p


def difference(means):
    return means[1] - means[0]


def test_a_paired_interval_is_narrower_than_the_two_ways_own_spread():
    dice = Random(1)
    hard = [dice.gauss(0, 5) for _ in range(300)]
    a, b = hard, [x + 0.5 + dice.gauss(0, 0.1) for x in hard]
    [figure] = paired_bootstrap([a, b], [difference], dice.random)
    assert figure.n == 300
    assert 0.48 < figure.low < figure.value < figure.high < 0.52
    assert figure.beyond(0.0)


def test_paired_intervals_cover_the_truth_about_as_often_as_they_say():
    dice = Random(5)
    covered = 0
    for _ in range(100):
        a = [dice.expovariate(1.0) for _ in range(60)]
        b = [x * dice.uniform(0.2, 0.4) for x in a]
        [saved] = paired_bootstrap([a, b], [lambda m: 1 - m[1] / m[0]], dice.random, resamples=200)
        covered += saved.low <= 0.7 <= saved.high
    assert 86 <= covered <= 100


def test_a_paired_bootstrap_agrees_with_scipys():
    dice = Random(9)
    a = [dice.random() for _ in range(80)]
    b = [x + dice.random() for x in a]
    [ours] = paired_bootstrap([a, b], [difference], dice.random, resamples=4000)
    apart = [y - x for x, y in zip(a, b, strict=True)]
    theirs = stats.bootstrap((apart,), lambda x, axis: x.mean(axis=axis), method="percentile", rng=3)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.015)


def test_many_rows_are_drawn_in_groups_and_say_the_same():
    dice = Random(2)
    rows = [dice.random() for _ in range(20_000)]
    [figure] = paired_bootstrap([rows], [lambda m: m[0]], dice.random, resamples=400)
    half = 1.96 * (1 / 12) ** 0.5 / 20_000**0.5
    assert figure.high - figure.low == pytest.approx(2 * half, rel=0.2)
    assert figure.n == 20_000


def test_rows_whose_order_repeats_have_no_wider_interval_for_it():
    dice = Random(3)
    rows = [float(row % 5 == 0) for row in range(10_000)]
    [figure] = paired_bootstrap([rows], [lambda m: m[0]], dice.random, resamples=400)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * (0.2 * 0.8 / 10_000) ** 0.5, rel=0.25)


def test_what_divides_by_nothing_has_no_upper_end():
    [figure] = paired_bootstrap([[1.0, 1.0], [0.0, 0.0]], [lambda m: m[0] / m[1]], Random(1).random)
    assert figure.high == inf
    with pytest.raises(ValueError, match="no rows"):
        paired_bootstrap([[]], [difference], Random(1).random)


def test_a_share_of_no_rows_is_no_figure():
    assert share_of(0, 0) is None
    half = share_of(1, 2)
    assert (half.value, half.low, half.high, half.n) == (0.5, pytest.approx(0.0945, abs=1e-3), pytest.approx(0.9055, abs=1e-3), 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_binomial_test(a, b):
    theirs = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(theirs, rel=1e-9)


def by_hand(p_values):
    """Holm's definition, written as it stands in the paper."""
    return [
        max(min(1.0, (len(p_values) - sum(q < r for q in p_values)) * r) for r in p_values if r <= p) if p_values else 1.0 for p in p_values
    ]


@given(st.lists(st.floats(0.0, 1.0), max_size=12, unique=True))
def test_holm_is_its_definition(p_values):
    assert holm(p_values) == pytest.approx(by_hand(p_values))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_never_makes_anything_more_certain_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1.0 for p, a in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in ranked] == sorted(a for _, a in ranked)
    assert len(p_values) > 1 or adjusted == p_values


def test_holm_keeps_its_promise_where_nothing_differs():
    dice = Random(4)
    false_alarms = sum(min(holm([dice.random() for _ in range(8)])) < 0.05 for _ in range(1000))
    assert false_alarms / 1000 == pytest.approx(0.05, abs=0.025)


def test_rows_needed_are_the_published_ones():
    # Machin et al., Sample Size Tables for Clinical Studies: discordant 0.3 and 0.1, 90 % power
    assert rows_for(0.2, 0.4, power=0.9) == pytest.approx(102, abs=2)
    with pytest.raises(ValueError, match="difference"):
        rows_for(0.0, 0.1)


@settings(max_examples=40)
@given(st.floats(0.01, 0.2), st.floats(0.2, 0.6), st.floats(0.5, 0.95))
def test_the_rows_needed_are_the_fewest_with_the_power_that_was_asked_for(gap, apart, power):
    rows = rows_for(gap, apart, power=power)
    assert power_of(rows, gap, apart) >= power - 1e-9
    assert power_of(rows - 1, gap, apart) <= power + 0.01  # the formula leaves the far tail out


def test_the_rows_needed_show_the_difference_about_as_often_in_a_simulation():
    dice = Random(8)
    only_b, only_a = 0.12, 0.06
    rows = rows_for(only_b - only_a, only_a + only_b)
    shown = 0
    for _ in range(300):
        draws = [dice.random() for _ in range(rows)]
        shown += mcnemar(sum(d < only_a for d in draws), sum(only_a <= d < only_a + only_b for d in draws)) < 0.05
    assert shown / 300 == pytest.approx(0.8, abs=0.08)


def test_no_rows_have_no_power():
    assert power_of(0, 0.1, 0.2) == 0.0
    assert power_of(100, 0.0, 0.0) == 0.0


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=9), st.data())
def test_a_sample_ratio_is_scipys_chi_square(counts, data):
    shares = data.draw(st.lists(st.floats(0.05, 1.0), min_size=len(counts), max_size=len(counts)))
    rows = sum(counts)
    theirs = stats.chisquare(counts, [rows * s / sum(shares) for s in shares]).pvalue if rows else 1.0
    assert sample_ratio_p(counts, shares) == pytest.approx(theirs, rel=1e-6, abs=1e-12)


def test_a_split_that_lost_rows_is_noticed():
    assert sample_ratio_p([5000, 5000], [0.5, 0.5]) == 1.0
    assert sample_ratio_p([821_588, 815_482], [0.5, 0.5]) < 0.001  # Kohavi, Tang and Xu 2020, ch. 21
    with pytest.raises(ValueError, match="share"):
        sample_ratio_p([1, 2], [0.5, 0.0])


def logged(dice, rows=3000):
    """Easy rows go to `mini` seven times in ten, hard ones three; the other policy sends easy ones to `mini`, hard ones to `large`."""
    right = {("mini", True): 0.9, ("mini", False): 0.3, ("large", True): 0.95, ("large", False): 0.8}
    for _ in range(rows):
        easy = dice.random() < 0.5
        p_mini = 0.7 if easy else 0.3
        chosen = "mini" if dice.random() < p_mini else "large"
        value = float(dice.random() < right[chosen, easy])
        yield Logged(chosen, p_mini if chosen == "mini" else 1 - p_mini, "mini" if easy else "large", value)


def test_another_routing_is_estimated_from_rows_routed_at_random():
    estimate = off_policy(list(logged(Random(3))), Random(4).random)
    truth = 0.5 * 0.9 + 0.5 * 0.8
    assert estimate.weighted.low < truth < estimate.weighted.high
    assert estimate.doubly_robust.low < truth < estimate.doubly_robust.high
    assert estimate.weighted.n == pytest.approx(2100, abs=100)
    assert 0 < estimate.effective_rows <= estimate.weighted.n + 1e-6


def test_both_estimates_cover_the_truth_about_as_often_as_they_say():
    dice = Random(6)
    covered = [0, 0]
    for _ in range(30):
        estimate = off_policy(list(logged(dice, 100)), dice.random)
        for place, figure in enumerate((estimate.weighted, estimate.doubly_robust)):
            covered[place] += figure.low <= 0.85 <= figure.high
    assert all(25 <= count <= 30 for count in covered)


def test_rows_that_were_never_routed_so_say_nothing():
    assert off_policy([Logged("mini", 0.5, "large", 1.0)] * 10, Random(1).random) is None
    assert off_policy([], Random(1).random) is None


def test_rows_that_weigh_too_little_have_no_estimate():
    assert off_policy([Logged("mini", 0.5, "mini", 1.0)] * 29, Random(1).random) is None
    assert off_policy([Logged("mini", 0.5, "mini", 1.0)] * 30, Random(1).random) is not None
    assert off_policy([*[Logged("mini", 0.5, "mini", 1.0)] * 40, Logged("mini", 0.001, "mini", 1.0)], Random(1).random) is None


def test_rows_whose_wanted_way_had_no_chance_are_left_out_and_counted():
    seen = [Logged("mini" if row % 2 else "large", 0.5, "mini", float(row % 2), "trial") for row in range(100)]
    never = [Logged("mini", 0.5, "huge", 0.0, "trial")] * 7
    elsewhere = [Logged("other", 0.5, "mini", 0.0, "another trial")] * 5
    estimate = off_policy([*seen, *never, *elsewhere], Random(1).random)
    assert estimate.without_chance == 12
    assert estimate.weighted.value == 1.0
    assert estimate.doubly_robust is None
    assert off_policy(seen, Random(1).random).without_chance == 0
