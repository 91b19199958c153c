"""Which worker gets the next call."""

from collections import Counter

from partsong.contracts import BreakerSpec, Failure, FailureCode
from partsong.work.seats import Seats

RAISED = Failure(code=FailureCode.WORKER_ERROR, message="raised", sent="maybe")
SPEC = BreakerSpec(least_calls=4, open_for=5.0, probes=1)


def seats(*workers, breaker=SPEC):
    dice = iter(n * 0.37 % 1.0 for n in range(1, 100_000))
    made = Seats(breaker, lambda: next(dice))
    made.use(workers)
    return made


def broken(made, worker, now_s=0.0):
    """Let calls of this worker fail until it is given a rest; the others answer."""
    for _ in range(100):
        seat, admission = made.take(now_s)
        made.settle(seat, admission, RAISED if seat.worker == worker else None, 0.1, now_s)


def taken(made, now_s, calls=100):
    return Counter(made.take(now_s)[0].worker for _ in range(calls))


def test_without_workers_there_is_no_seat():
    assert seats().take(0.0) is None


def test_the_less_loaded_of_two_gets_the_call():
    made = seats("a", "b")
    made.take(0.0)[0].in_flight = 5
    busy = made.take(0.0)[0]
    assert busy.in_flight == 0


def test_a_worker_that_fails_gets_no_calls_for_a_while_then_one_to_see():
    made = seats("a", "b")
    broken(made, "a")
    assert taken(made, 1.0) == {"b": 100}
    assert taken(made, 6.0) == {"a": 1, "b": 99}


def test_a_worker_whose_probe_is_answered_takes_calls_again():
    made = seats("a", "b")
    broken(made, "a")
    seat, admission = made.take(6.0)
    assert seat.worker == "a"
    made.settle(seat, admission, None, 0.1, 6.0)
    assert taken(made, 6.0)["a"] > 20


def test_when_all_workers_fail_calls_go_on():
    made = seats("a", "b")
    broken(made, "a")
    broken(made, "b")
    assert taken(made, 1.0).total() == 100


def test_the_only_worker_is_asked_however_it_fails_and_nothing_is_counted():
    made = seats("a")
    assert {made.take(1.0)[1] for _ in range(100)} == {None}


def test_a_worker_that_was_given_a_rest_is_asked_as_the_only_one_and_has_to_prove_itself_when_others_come():
    made = seats("a", "b")
    broken(made, "a")
    made.use(["a"])
    assert taken(made, 1.0) == {"a": 100}
    made.use(["a", "c"])
    assert taken(made, 1.0) == {"c": 100}
    assert made.take(6.0)[1].verdict == "probe"


def test_without_a_breaker_nothing_is_counted():
    made = seats("a", "b", breaker=None)
    assert made.take(0.0)[1] is None


def test_a_worker_that_stays_keeps_its_calls_in_flight():
    made = seats("a")
    made.take(0.0)[0].in_flight = 3
    made.use(["a"])
    assert made.take(0.0)[0].in_flight == 3


def test_a_worker_on_this_node_gets_calls_first_as_long_as_it_has_room():
    made = seats("far", "near", "farther", breaker=None)
    made.use(["far", "near", "farther"], near=["near"], room=2)
    seat, _ = made.take(0.0)
    assert seat.worker == "near"
    seat.in_flight = 2
    assert set(taken(made, 0.0)) == {"far", "farther"}


def test_other_rules_for_a_rest_begin_with_workers_that_nothing_is_known_of():
    made = seats("a", "b")
    broken(made, "a")
    assert set(taken(made, 1.0)) == {"b"}
    made.change(None)
    assert set(taken(made, 1.0)) == {"a", "b"}
