"""Adaptive limit: against a simulated provider, how many calls are let through at once."""

import heapq
import itertools
from collections import deque
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.adaptive import AdaptiveLimit

CEILING = 256


class Provider:
    """Serves `capacity` calls at once, the rest in the order they came; a call of `tokens` takes `s_per_100_tokens` for each hundred."""

    def __init__(self, capacity: int, s_per_100_tokens: float = 1.0, refuses_above: int | None = None) -> None:
        self.capacity = capacity
        self.s_per_100_tokens = s_per_100_tokens
        self.refuses_above = refuses_above
        self.queue: deque[tuple[float, int]] = deque()
        self.serving = 0


class Run:
    """Calls without end, as many at once as the limit allows, on a clock that jumps from event to event."""

    def __init__(self, limit: AdaptiveLimit, provider: Provider, lengths=(100,), at_most: int = CEILING) -> None:
        self.limit = limit
        self.provider = provider
        self.at_most = at_most
        self.now_s = 0.0
        self.in_flight = 0
        self.limits: list[tuple[float, int]] = []
        self._lengths = itertools.cycle(lengths)
        self._events: list[tuple[float, int, float, int, str]] = []
        self._order = itertools.count()
        self._fill()

    def until(self, now_s: float) -> "Run":
        """Go on to this time."""
        while self._events and self._events[0][0] <= now_s:
            self.now_s, _, began_s, tokens, outcome = heapq.heappop(self._events)
            if outcome == "ok":
                self.provider.serving -= 1
                self._serve()
            self.limit.settle(self.now_s - began_s, tokens, outcome, self.in_flight, self.now_s)
            self.in_flight -= 1
            self.limits.append((self.now_s, self.limit.limit))
            self._fill()
        self.now_s = now_s
        return self

    def over(self, span_s: float) -> list[int]:
        """Return the limits of the last `span_s`."""
        return [limit for at_s, limit in self.limits if at_s >= self.now_s - span_s]

    def _fill(self) -> None:
        while self.in_flight < min(self.limit.limit, self.at_most):
            self.in_flight += 1
            tokens = next(self._lengths)
            above = self.provider.refuses_above
            if above is not None and self.in_flight > above:
                heapq.heappush(self._events, (self.now_s + 0.05, next(self._order), self.now_s, 0, "overloaded"))
            else:
                self.provider.queue.append((self.now_s, tokens))
        self._serve()

    def _serve(self) -> None:
        provider = self.provider
        while provider.queue and provider.serving < provider.capacity:
            began_s, tokens = provider.queue.popleft()
            provider.serving += 1
            ends_s = self.now_s + provider.s_per_100_tokens * tokens / 100
            heapq.heappush(self._events, (ends_s, next(self._order), began_s, tokens, "ok"))


def run(provider: Provider, **how) -> Run:
    return Run(AdaptiveLimit(CEILING), provider, **how)


def mixed(count: int = 2000) -> list[int]:
    """Return lengths from 50 to 500 tokens in no order: steps of the golden ratio."""
    return [50 + int(450 * (number * 0.618034 % 1.0)) for number in range(count)]


def test_it_starts_at_the_ceiling():
    assert AdaptiveLimit(CEILING).limit == CEILING


@pytest.mark.parametrize("capacity", [4, 8, 16, 32, 64])
def test_a_provider_that_is_too_small_from_the_start_gets_about_what_it_can_serve(capacity):
    late = run(Provider(capacity)).until(2500.0).over(1500.0)
    assert capacity / 2 <= median(late) <= 2 * capacity
    assert min(late) >= capacity / 3
    assert max(late) <= 3 * capacity


@pytest.mark.parametrize("capacity", [4, 16, 64])
def test_a_provider_that_shrinks_is_not_buried_and_gets_all_again_when_it_is_back(capacity):
    provider = Provider(CEILING)
    going = run(provider).until(100.0)
    assert set(going.over(100.0)) == {CEILING}
    provider.capacity = capacity
    late = going.until(1500.0).over(500.0)
    assert capacity / 2 <= median(late) <= 2 * capacity
    assert min(late) > 1
    provider.capacity = CEILING
    assert set(going.until(1700.0).over(50.0)) == {CEILING}


def test_a_constant_latency_keeps_the_ceiling_for_ever():
    assert set(run(Provider(CEILING)).until(500.0).over(500.0)) == {CEILING}


def test_mixed_lengths_are_not_slowness():
    assert min(run(Provider(CEILING), lengths=mixed()).until(500.0).over(500.0)) >= 0.9 * CEILING


def test_answers_that_grow_ten_times_longer_are_not_slowness():
    lengths = [*[50] * 5000, *[500] * 5000]
    assert min(run(Provider(CEILING), lengths=lengths).until(300.0).over(300.0)) >= 0.9 * CEILING


def test_mixed_lengths_that_nobody_tells_end_at_the_ceiling():
    class Untold(AdaptiveLimit):
        def settle(self, latency_s, completion_tokens, outcome, in_flight, now_s):
            super().settle(latency_s, 0, outcome, in_flight, now_s)

    assert set(Run(Untold(CEILING), Provider(CEILING), lengths=mixed()).until(600.0).over(300.0)) == {CEILING}


def test_a_queue_shows_through_mixed_lengths():
    late = run(Provider(16), lengths=mixed()).until(4000.0).over(2000.0)
    assert 8 <= median(late) <= 32


def test_a_provider_that_is_just_slower_gets_all_its_calls_again():
    provider = Provider(CEILING)
    going = run(provider).until(50.0)
    provider.s_per_100_tokens = 3.0
    assert set(going.until(400.0).over(100.0)) == {CEILING}


def test_a_provider_that_refuses_above_a_number_is_asked_for_about_that_many():
    late = run(Provider(CEILING, refuses_above=40)).until(500.0).over(300.0)
    assert 28 <= median(late) <= 48
    assert min(late) >= 20


def test_calls_that_were_out_together_cut_it_once():
    limit = AdaptiveLimit(100)
    for number in range(100):
        limit.settle(10.0, 0, "overloaded", 100 - number, 10.0 + number / 10)
    assert limit.limit == 70


def test_a_later_overload_cuts_again():
    limit = AdaptiveLimit(100)
    limit.settle(0.1, 0, "overloaded", 100, 10.0)
    limit.settle(0.1, 0, "overloaded", 70, 12.0)
    assert limit.limit == 49


def test_an_overload_cuts_from_what_was_in_flight():
    limit = AdaptiveLimit(100)
    limit.settle(0.1, 0, "overloaded", 10, 10.0)
    assert limit.limit == 7


def test_ignored_outcomes_change_nothing():
    limit = AdaptiveLimit(100)
    for number in range(1000):
        limit.settle(100.0, 0, "ignored", 100, float(number))
    assert limit.limit == 100


def test_while_few_calls_are_made_the_limit_does_not_grow():
    limit = AdaptiveLimit(CEILING)
    going = Run(limit, Provider(CEILING), at_most=5)
    limit.settle(0.1, 0, "overloaded", 100, 0.5)
    cut = limit.limit
    going.until(200.0)
    assert limit.limit == cut


def test_a_caller_that_has_given_its_permit_back_already_is_no_error():
    limit = AdaptiveLimit(2)
    for number in range(1000):
        limit.settle(10.0 ** (number // 200 % 2), 0, "ok", 0, 10.0 * number)
    assert 1 <= limit.limit <= 2


@given(
    st.integers(0, 64),
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "ok", "ok", "overloaded", "ignored"]),
            st.floats(0.0, 1e4),
            st.integers(0, 10**6),
            st.integers(0, 300),
            st.floats(0.0, 5.0),
        ),
        max_size=300,
    ),
)
def test_whatever_happens_it_stays_between_one_and_the_ceiling(ceiling, events):
    limit, now_s = AdaptiveLimit(ceiling), 0.0
    for outcome, latency_s, tokens, in_flight, passes_s in events:
        now_s += passes_s
        limit.settle(latency_s, tokens, outcome, in_flight, now_s)
        assert 1 <= limit.limit <= max(1, ceiling)
