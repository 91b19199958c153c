"""Scaling: workers follow how long calls wait: soon up, late down, without flapping; a day is simulated with a clock of its own."""

import math
import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Scale, WorkerRange
from partsong.pool.permits import Grant
from partsong.pool.pool import DrainWorker, Hand, Pool, StartWorker
from partsong.pool.scaling import Scaling, Staffed
from partsong.pool.waits import NO_WAIT, Waited, bucket

FOUR = Staffed(ready=1, starting=0, concurrency=4, permits=4)


def scaling(least: int = 1, most: int = 10, **scale) -> Scaling:
    return Scaling(WorkerRange(min=least, max=most), Scale(**scale))


def test_calls_that_wait_no_longer_than_the_target_need_no_worker():
    one = scaling()
    one.heard("a", Waited(4, 8, 0.4, {bucket(0.3): 100}), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 1


def test_a_call_that_has_waited_for_longer_than_the_target_is_enough():
    one = scaling()
    one.heard("a", Waited(4, 1, 0.6), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 2


def test_long_waits_that_are_over_start_nothing():
    one = scaling()
    one.heard("a", Waited(4, 0, 0.0, {bucket(9.0): 100}), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 1
    assert one.p95_s >= 9.0


def test_several_are_started_at_once_when_many_wait_up_to_the_pace():
    one = scaling(pace=3)
    one.heard("a", Waited(4, 100, 1.0), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 4
    assert one.wanted(4, Staffed(1, 3, 4, 4), 1.0) == 4


def test_those_that_are_starting_count_for_what_waits():
    one = scaling()
    one.heard("a", Waited(4, 7, 1.0), 0.0)
    assert one.wanted(2, Staffed(1, 1, 4, 4), 0.0) == 3


def test_five_of_a_hundred_that_wait_long_do_not_count():
    one = scaling()
    one.heard("a", Waited(4, 1, 0.1, {NO_WAIT: 95, bucket(3.0): 5}), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 1


def test_callers_add_up_and_one_that_is_silent_is_forgotten():
    one = scaling()
    one.heard("a", Waited(4, 4, 1.0), 0.0)
    one.heard("b", Waited(4, 8, 1.0), 0.0)
    assert one.wanted(1, FOUR, 0.0) == 4
    one.heard("b", Waited(4, 4, 1.0), 6.0)
    assert one.wanted(1, FOUR, 6.0) == 2


def test_waits_from_before_a_worker_came_are_forgotten():
    one = scaling()
    one.heard("a", Waited(4, 1, 0.1, {bucket(3.0): 50}), 0.0)
    one.grown()
    assert one.wanted(2, FOUR, 0.0) == 2


def test_a_worker_is_let_go_when_the_others_were_enough_for_the_idle_time():
    one = scaling(idle=60.0)
    three = Staffed(3, 0, 4, 4)
    for second in range(60):
        one.heard("a", Waited(5), float(second))
        assert one.wanted(3, three, float(second)) == 3
    one.heard("a", Waited(5), 60.0)
    assert one.wanted(3, three, 60.0) == 2


def test_one_busy_moment_keeps_a_worker_for_another_idle_time():
    one = scaling(idle=60.0)
    three = Staffed(3, 0, 4, 4)
    wanted = []
    for second in range(150):
        one.heard("a", Waited(9 if second == 50 else 5), float(second))
        wanted.append(one.wanted(3, three, float(second)))
    assert wanted.index(2) in (110, 111, 115, 116)


def test_without_an_idle_time_none_is_let_go():
    one = scaling(least=0, idle=None)
    assert [one.wanted(3, Staffed(3, 0, 4, 4), 1e6 * n) for n in range(3)] == [3, 3, 3]


@given(st.integers(0, 3), st.integers(1, 6), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0.0, 9.0)), max_size=60))
def test_it_never_wants_more_or_fewer_than_may_be(least, more, told):
    one, wanted = scaling(least, least + more, idle=3.0), max(1, least)
    for second, (busy, waiting, oldest_s) in enumerate(told):
        one.heard("a", Waited(busy, waiting, oldest_s), float(second))
        wanted = one.wanted(wanted, Staffed(wanted, 0, 4, 4), float(second))
        assert least <= wanted <= least + more


class Day:
    """A model whose calls take two seconds and whose workers take twenty to start, in steps of a fifth of a second."""

    STEP_S, CALL_S, START_S = 0.2, 2.0, 20.0

    def __init__(self, workers: WorkerRange, scale: Scale) -> None:
        self.pool = Pool(workers, 8, scale=scale)
        self.now_s = 0.0
        self.dice = random.Random(7)
        self.queue: deque[float] = deque()
        self.waits: dict[int, int] = {}
        self.late = self.calls = self.changes = self.number = 0
        self.idle = self.busy = self.most_busy = 0
        self.pool_at_most = 0
        self.ends: deque[float] = deque()
        self.starts: deque[float] = deque()
        self.follow(self.pool.join("a", 0, 0, 0.0))

    def follow(self, orders) -> None:
        for order in orders:
            match order:
                case StartWorker():
                    self.changes += 1
                    self.starts.append(self.now_s + self.START_S)
                case DrainWorker(key):
                    self.changes += 1
                    self.follow(self.pool.worker_gone(key, self.now_s))
                case Grant(_, count):
                    self.idle += count

    def step(self, per_s: float) -> None:
        self.now_s += self.STEP_S
        while self.ends and self.ends[0] <= self.now_s:
            self.ends.popleft()
            self.busy -= 1
            self.follow(self.pool.give_back("a", 1))
        while self.starts and self.starts[0] <= self.now_s:
            self.starts.popleft()
            self.number += 1
            self.follow(self.pool.worker_ready(Hand(str(self.number), 8), self.now_s))
        arriving = self.arrivals(per_s * self.STEP_S)
        self.queue.extend([self.now_s] * arriving)
        if arriving:
            self.follow(self.pool.want("a", arriving, self.now_s))
        while self.idle and self.queue:
            wait_s = self.now_s - self.queue.popleft()
            self.idle -= 1
            self.busy += 1
            self.calls += 1
            self.late += wait_s > 0.5
            self.waits[bucket(wait_s)] = self.waits.get(bucket(wait_s), 0) + 1
            self.ends.append(self.now_s + self.CALL_S)
        self.most_busy = max(self.most_busy, self.busy)
        self.pool_at_most = max(self.pool_at_most, self.pool.ready)
        if round(self.now_s / self.STEP_S) % 5 == 0:
            oldest_s = self.now_s - self.queue[0] if self.queue else 0.0
            self.pool.heard("a", Waited(self.most_busy, len(self.queue), oldest_s, self.waits), self.now_s)
            self.waits, self.most_busy = {}, self.busy
            self.follow(self.pool.tick(self.now_s))

    def arrivals(self, mean: float) -> int:
        """Draw from Poisson's distribution."""
        floor, count, product = math.exp(-mean), 0, self.dice.random()
        while product > floor:
            count += 1
            product *= self.dice.random()
        return count


@pytest.mark.timeout(120)
def test_a_day_of_rising_and_falling_load_is_followed_without_flapping():
    """From nothing at night to 60 calls a second at noon: 15 workers, then none again."""
    day = Day(WorkerRange(min=0, max=30), Scale(queue=0.5, idle=600))
    for step in range(int(86_400 / Day.STEP_S)):
        hour = step * Day.STEP_S / 3600
        day.step(60.0 * max(0.0, math.sin((hour - 6) / 12 * math.pi)) if 6 <= hour < 18 else 0.0)
    assert day.calls > 1_500_000
    assert day.late / day.calls < 0.002
    assert day.pool_at_most <= 20  # what noon needs is 15
    assert day.pool.ready == 0
    assert day.changes <= 2 * day.pool_at_most + 4  # each worker comes once and goes once, with a little to spare


@pytest.mark.timeout(60)
def test_a_steady_load_changes_nothing_once_it_is_served():
    day = Day(WorkerRange(min=1, max=30), Scale(queue=0.5, idle=300))
    for _ in range(6000):
        day.step(20.0)
    served = day.changes
    for _ in range(18_000):
        day.step(20.0)
    assert day.changes - served <= 2  # in an hour
