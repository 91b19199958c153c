"""Waits: what several callers saw adds up, and percentiles err by a quarter at most, never to the low side."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.waits import NO_WAIT, bucket, percentile_s

waits_s = st.lists(st.floats(0.0, 3600.0), min_size=1, max_size=200)


def test_no_call_waited_for_nothing():
    assert percentile_s({}, 0.95) == 0.0


def test_calls_that_found_a_permit_waited_for_nothing():
    assert percentile_s({NO_WAIT: 95, 40: 5}, 0.95) == 0.0


@given(waits_s)
def test_a_percentile_is_at_most_a_quarter_too_high(seen_s):
    exact_s = sorted(seen_s)[-(len(seen_s) // 20) - 1]
    told_s = percentile_s(Counter(map(bucket, seen_s)), 0.95)
    assert exact_s <= told_s + 0.0011
    assert told_s <= 1.26 * exact_s + 0.0011


@given(waits_s, waits_s)
def test_what_two_callers_saw_is_what_one_would_have_seen(first_s, second_s):
    together = Counter(map(bucket, first_s)) + Counter(map(bucket, second_s))
    assert together == Counter(map(bucket, first_s + second_s))
