"""Meter: what is leased and what is used never pass the limit, and what is used is forgotten when its time is over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.meter import NOTHING, Amounts, Horizon, Meter

CALL = Amounts(requests=1.0)


def requests(amounts: Amounts) -> float:
    return amounts.requests


def meter(limit: float, horizon: Horizon = Horizon.MINUTE) -> Meter:
    return Meter("a limit", limit, horizon, requests)


def test_calls_in_flight_come_back_when_they_end():
    one = meter(1, Horizon.AT_ONCE)
    one.lease(CALL, 0.0)
    assert not one.fits(CALL, 100.0)
    one.settle(CALL, CALL, 0.0, 100.0)
    assert one.fits(CALL, 100.0)


def test_a_minutes_requests_are_spread_evenly():
    paced = meter(60)
    at_s = []
    now_s = 0.0
    for _ in range(10):
        now_s = max(now_s, paced.fits_at_s(CALL, now_s))
        paced.lease(CALL, now_s)
        at_s.append(now_s)
        paced.settle(CALL, CALL, 0.0, now_s)
    assert at_s[0] == 0.0
    assert at_s[-1] == pytest.approx(8.2, abs=0.5)


def test_the_pace_follows_what_calls_use_not_what_is_feared():
    tokens = Meter("tokens", 6000, Horizon.MINUTE, lambda amounts: amounts.completion_tokens)
    worst, took = Amounts(completion_tokens=100.0), Amounts(completion_tokens=10.0)
    now_s = 0.0
    for _ in range(300):
        now_s = max(now_s, tokens.fits_at_s(worst, now_s))
        tokens.lease(worst, now_s)
        tokens.settle(worst, took, 0.0, now_s)
    assert now_s == pytest.approx(300 * 10 / 100.0, rel=0.15)


def test_a_run_never_gets_back_what_it_used():
    budget = meter(2, Horizon.RUN)
    budget.lease(CALL, 0.0)
    budget.settle(CALL, CALL, 0.0, 0.0)
    assert budget.fits(CALL, 1e6)
    budget.add(1.0, 1e6, 1e6)
    assert not budget.fits(CALL, 1e9)
    assert budget.exhausted(CALL, 1e9)


def test_a_budget_is_not_exhausted_while_a_call_in_flight_may_give_something_back():
    budget = meter(1, Horizon.RUN)
    budget.lease(CALL, 0.0)
    assert not budget.exhausted(CALL, 0.0)
    budget.settle(CALL, NOTHING, 0.0, 0.0)
    assert budget.fits(CALL, 0.0)


def test_a_new_day_begins_at_nothing():
    day = meter(1, Horizon.DAY)
    day.add(1.0, 0.0, 0.0)
    assert not day.fits(CALL, 0.0)
    day.reset()
    assert day.fits(CALL, 0.0)


def test_a_call_that_is_alone_more_than_a_minutes_limit_holds_all_of_it_and_gives_all_of_it_back():
    one, large = meter(10), Amounts(requests=11.0)
    assert one.fits(large, 0.0)
    one.lease(large, 0.0)
    assert one.leased == 10.0
    assert not one.fits(CALL, 60.0)
    one.settle(large, NOTHING, 0.0, 60.0)
    assert (one.leased, one.used(60.0)) == (0.0, 0.0)


def test_a_call_that_is_alone_more_than_a_days_limit_never_fits():
    day = meter(10, Horizon.DAY)
    day.lease(CALL, 0.0)
    assert day.exhausted(Amounts(requests=11.0), 0.0)
    assert not day.exhausted(Amounts(requests=10.0), 0.0)


def test_three_tenths_are_three_times_a_tenth():
    budget = Meter("usd", 0.3, Horizon.RUN, lambda amounts: amounts.usd)
    for _ in range(3):
        assert budget.fits(Amounts(usd=0.1), 0.0)
        budget.lease(Amounts(usd=0.1), 0.0)


@given(
    limit=st.integers(1, 400),
    gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
    took=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=20),
)
def test_no_sixty_seconds_see_more_than_the_limit(limit, gaps, took):
    """Each request arrives as late as it may: when its reply is there."""
    one, now_s, flying, arrived = meter(limit), 0.0, [], []
    for number, gap in enumerate(gaps):
        now_s += gap
        for ends_s in sorted(end for end in flying if end <= now_s):
            one.settle(CALL, CALL, 0.0, now_s)
            arrived.append(now_s)
            flying.remove(ends_s)
        while one.fits(CALL, now_s):
            one.lease(CALL, now_s)
            flying.append(now_s + took[number % len(took)])
    for first, at_s in enumerate(arrived):
        assert sum(1 for other in arrived[first:] if other < at_s + 60.0) <= limit


@given(limit=st.integers(1, 1000), amount=st.integers(1, 30))
def test_a_call_fits_when_it_was_said_to(limit, amount):
    need, one, now_s = Amounts(requests=float(min(amount, limit))), meter(limit), 0.0
    for _ in range(30):
        at_s = one.fits_at_s(need, now_s)
        assert at_s < math.inf
        now_s = max(now_s, at_s) + 1e-6
        assert one.fits(need, now_s)
        one.lease(need, now_s)
        one.settle(need, need, 0.0, now_s)
