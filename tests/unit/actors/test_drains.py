"""A worker that is drained is ended once: when every caller has left it, or nothing can be in flight there any more."""

from types import SimpleNamespace

import pytest
from partsong_actors.drains import Drain, Drains
from partsong_actors.news import Recruit

LATE_S = 100.0


def recruit(key: str) -> Recruit:
    return Recruit(SimpleNamespace(_actor_id=bytes(key, "ascii")), 4, "built", "node")


WORKER = recruit("w")


@pytest.fixture
def drains():
    made = Drains()
    made.begin(Drain("mini", WORKER, LATE_S, {"a", "b"}))
    return made


def ended(drains: Drains, now_s: float = 0.0) -> list[str]:
    return [drain.recruit.key for drain in drains.over(now_s)]


def test_it_is_ended_when_all_callers_have_left_it_and_only_once(drains):
    drains.left("a", WORKER.key)
    assert ended(drains) == []
    drains.left("b", WORKER.key)
    assert ended(drains) == [WORKER.key]
    assert ended(drains) == []


def test_a_caller_that_is_gone_has_left_it(drains):
    drains.left("a", WORKER.key)
    drains.gone("b")
    assert ended(drains) == [WORKER.key]


def test_a_caller_that_comes_is_told_and_waited_for(drains):
    drains.gone("a")
    drains.gone("b")
    assert [drain.recruit for drain in drains.joined("c")] == [WORKER]
    assert ended(drains) == []
    drains.left("c", WORKER.key)
    assert ended(drains) == [WORKER.key]


def test_who_says_nothing_is_waited_for_as_long_as_a_call_can_take(drains):
    assert ended(drains, LATE_S - 1) == []
    assert ended(drains, LATE_S) == [WORKER.key]


def test_a_staff_that_is_another_is_told_again(drains):
    drains.gone("a")
    drains.gone("b")
    assert ended(drains) == [WORKER.key]
    drains.begin(Drain("mini", WORKER, LATE_S, set()))
    assert ended(drains) == [WORKER.key]


def test_what_has_ended_or_is_not_there_any_more_is_forgotten(drains):
    other = recruit("o")
    drains.begin(Drain("mini", other, LATE_S, {"a"}))
    drains.keep({other.key})
    assert (WORKER.key in drains, other.key in drains) == (False, True)
    drains.forget(other.key)
    assert ended(drains, LATE_S) == []
