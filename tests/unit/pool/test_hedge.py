"""Hedge: when a second call is sent, and how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.hedge import Hedge


def observed(*latencies_s: float) -> Hedge:
    hedge = Hedge("p95", 0.05)
    for latency_s in latencies_s:
        hedge.observe(latency_s)
    return hedge


def test_too_few_calls_show_no_percentile():
    assert observed(*[1.0] * 49).delay_s() is None
    assert observed(*[1.0] * 50).delay_s() is not None


def test_a_set_delay_holds_from_the_first_call_on():
    hedge = Hedge(2.5, 0.05)
    assert hedge.delay_s() == 2.5
    hedge.observe(100.0)
    assert hedge.delay_s() == 2.5


def test_the_delay_is_the_95th_percentile():
    latencies_s = [number / 100 for number in range(1, 1001)]
    assert observed(*latencies_s).delay_s() == pytest.approx(9.5, rel=0.06)


def test_a_rare_straggler_does_not_move_it():
    assert observed(*([1.0] * 97 + [60.0] * 3) * 5).delay_s() == pytest.approx(1.0, rel=0.06)


def test_it_follows_a_provider_that_grows_slow():
    hedge = observed(*[1.0] * 5000)
    for _ in range(2000):
        hedge.observe(3.0)
    assert hedge.delay_s() == pytest.approx(3.0, rel=0.06)


def test_it_follows_a_provider_that_grows_fast_again():
    hedge = observed(*[3.0] * 5000)
    for _ in range(10_000):
        hedge.observe(1.0)
    assert hedge.delay_s() == pytest.approx(1.0, rel=0.06)


@pytest.mark.parametrize("latency_s", [0.0, 1e-9, 1e9])
def test_absurd_latencies_are_no_error(latency_s):
    assert observed(*[latency_s] * 100).delay_s() > 0.0


def test_one_call_in_twenty_is_hedged():
    hedge, hedges = Hedge("p95", 0.05), 0
    for _ in range(1000):
        hedge.called()
        hedges += hedge.spend()
    assert hedges == 50


def test_before_enough_calls_are_made_none_is_hedged():
    assert not Hedge(1.0, 0.05).spend()


def test_a_long_quiet_time_saves_up_no_flood():
    hedge = Hedge("p95", 0.05)
    for _ in range(100_000):
        hedge.called()
    assert sum(hedge.spend() for _ in range(1000)) == 10


@given(st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]), st.lists(st.booleans(), max_size=500))
def test_hedges_are_never_more_than_their_share_of_the_calls(share, events):
    hedge, called, hedges = Hedge("p95", share), 0, 0
    for is_call in events:
        if is_call:
            hedge.called()
            called += 1
        else:
            hedges += hedge.spend()
        assert hedges <= share * called + 1e-6


@given(st.lists(st.floats(0.002, 600.0), min_size=50, max_size=500))
def test_about_a_twentieth_of_the_calls_take_longer(latencies_s):
    hedge = observed(*latencies_s)
    delay_s = hedge.delay_s()
    seen = latencies_s[: 50 + (len(latencies_s) - 50) // 10 * 10]
    assert sum(latency_s > delay_s for latency_s in seen) <= 0.05 * len(seen)
    assert sum(latency_s >= delay_s / 1.06 for latency_s in seen) >= 0.05 * len(seen)
