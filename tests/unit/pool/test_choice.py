"""Choice: the less loaded of two."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.choice import choose


def test_the_less_loaded_of_two_workers_gets_the_call():
    assert {choose(2, [5, 1].__getitem__, random.Random(seed).random) for seed in range(20)} == {1}


@given(in_flight=st.lists(st.integers(0, 9), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_the_choice_is_always_a_worker_and_never_the_single_busiest(in_flight, seed):
    chosen = choose(len(in_flight), in_flight.__getitem__, random.Random(seed).random)
    assert 0 <= chosen < len(in_flight)
    busiest = max(in_flight)
    assert len(in_flight) == 1 or in_flight.count(busiest) > 1 or in_flight[chosen] < busiest


def test_idle_workers_share_the_calls_evenly():
    dice = random.Random(7).random
    counts = Counter(choose(4, [0, 0, 0, 0].__getitem__, dice) for _ in range(4000))
    assert min(counts.values()) > 900
