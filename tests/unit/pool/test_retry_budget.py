"""Retry budget: answers pay for retries, a floor serves who has few answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.pool.retry_budget import RetryBudget


def taken(budget: RetryBudget, now_s: float) -> int:
    count = 0
    while budget.withdraw(now_s):
        count += 1
    return count


def test_a_fifth_of_the_answers_is_a_retry_for_every_five():
    budget = RetryBudget(0.2, least_per_s=0.0)
    for _ in range(100):
        budget.deposit(0.0)
    assert taken(budget, 0.0) == 20


def test_without_answers_the_floor_serves_a_burst_and_then_one_a_second():
    budget = RetryBudget(0.2)
    assert taken(budget, 0.0) == 10
    assert [taken(budget, float(second)) for second in range(1, 5)] == [1, 1, 1, 1]


def test_a_deposit_expires():
    budget = RetryBudget(1.0, least_per_s=0.0, ttl_s=10.0)
    budget.deposit(0.0)
    budget.deposit(5.0)
    assert taken(budget, 10.5) == 1


def test_deposits_are_spent_before_the_floor():
    budget = RetryBudget(1.0, least_per_s=1.0, ttl_s=10.0)
    for _ in range(5):
        budget.deposit(0.0)
    for _ in range(5):
        assert budget.withdraw(0.0)
    assert taken(budget, 20.0) == 10


def test_a_refused_withdrawal_takes_nothing():
    budget = RetryBudget(0.5, least_per_s=0.0)
    budget.deposit(0.0)
    assert not budget.withdraw(0.0)
    budget.deposit(0.0)
    assert budget.withdraw(0.0)


def test_it_says_when_the_floor_pays_for_the_next():
    budget = RetryBudget(0.2, least_per_s=0.5)
    taken(budget, 0.0)
    ready_at_s = budget.ready_at_s(0.5)
    assert ready_at_s == pytest.approx(2.0)
    assert not budget.withdraw(ready_at_s - 0.1)
    assert budget.withdraw(ready_at_s)


def test_it_is_ready_now_while_there_is_a_balance():
    assert RetryBudget(0.2).ready_at_s(3.0) == 3.0


def test_without_a_floor_there_is_no_telling_when():
    assert RetryBudget(0.2, least_per_s=0.0).ready_at_s(3.0) == math.inf


def test_a_slow_floor_still_grants_one():
    assert taken(RetryBudget(0.0, least_per_s=0.01), 0.0) == 1


@given(
    st.sampled_from([0.0, 0.1, 0.2, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 3.0)), max_size=300),
)
def test_retries_are_never_more_than_answers_and_floor_pay_for(share, least_per_s, events):
    budget, deposits, withdrawals, now_s = RetryBudget(share, least_per_s, ttl_s=10.0), 0, 0, 0.0
    for answered, passes_s in events:
        now_s += passes_s
        if answered:
            budget.deposit(now_s)
            deposits += 1
        else:
            withdrawals += budget.withdraw(now_s)
        assert withdrawals <= share * deposits + least_per_s * (now_s + 10.0) + 1e-6


@given(st.lists(st.tuples(st.sampled_from(["deposit", "withdraw", "wait"]), st.floats(0.0, 3.0)), max_size=100))
def test_when_it_says_ready_a_retry_can_be_taken(events):
    budget, now_s = RetryBudget(0.2), 0.0
    for event, passes_s in events:
        now_s += passes_s
        if event == "deposit":
            budget.deposit(now_s)
        elif event == "withdraw":
            budget.withdraw(now_s)
        else:
            now_s = budget.ready_at_s(now_s)
            assert budget.withdraw(now_s)
