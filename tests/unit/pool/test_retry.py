"""Retry: only what may pass, not past the deadline, never sooner than asked."""

import math

from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Failure, FailureCode
from partsong.pool.retry import RetryPolicy


def failure(*, retryable=True, retry_after_s=None):
    return Failure(code=FailureCode.RATE_LIMITED, message="slow down", retryable=retryable, retry_after_s=retry_after_s)


def test_a_failure_that_cannot_pass_is_not_tried_again():
    assert RetryPolicy(3).wait_s(failure(retryable=False), 1, math.inf, lambda: 0.5) is None


def test_there_are_no_more_attempts_than_allowed():
    policy = RetryPolicy(2)
    assert policy.wait_s(failure(), 2, math.inf, lambda: 0.5) is not None
    assert policy.wait_s(failure(), 3, math.inf, lambda: 0.5) is None


def test_a_patient_caller_pauses_after_any_number_of_attempts():
    assert RetryPolicy(2).pause_s(failure(), 1000, math.inf, lambda: 0.5) == 15.0
    assert RetryPolicy(2).pause_s(failure(retryable=False), 1, math.inf, lambda: 0.5) is None


def test_a_wait_that_would_outlast_the_deadline_is_no_use():
    assert RetryPolicy(3).wait_s(failure(retry_after_s=10), 1, 9.0, lambda: 0.5) is None


def test_a_provider_that_asks_for_hours_is_given_up():
    assert RetryPolicy(3).wait_s(failure(retry_after_s=3600), 1, math.inf, lambda: 0.5) is None


@given(attempt=st.integers(1, 20), dice=st.floats(0, 0.999), asked=st.none() | st.floats(0, 100))
def test_waits_grow_up_to_a_cap_and_honour_what_is_asked(attempt, dice, asked):
    wait_s = RetryPolicy(20).wait_s(failure(retry_after_s=asked), attempt, math.inf, lambda: dice)
    least = asked or 0.0
    assert least <= wait_s <= least + min(30.0, 0.5 * 2 ** (attempt - 1))
