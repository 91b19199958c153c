"""Breaker: what opens it, what does not, and how a model comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Failure, FailureCode
from partsong.contracts.model import BreakerSpec
from partsong.pool.breaker import Breaker, Closed, Fault, HalfOpened, Opened, Paused, fault_of

SPEC = BreakerSpec(window=10.0, least_calls=4, open_for=5.0, open_at_most=20.0, probes=3)
BUSY = FailureCode.OVERLOADED


def failed(code: FailureCode | None, retry_after_s: float | None = None) -> Failure | None:
    return None if code is None else Failure(code=code, message="", retry_after_s=retry_after_s)


def calls(breaker: Breaker, *codes: FailureCode | None, now_s: float = 0.0, latency_s: float = 1.0, retry_after_s: float | None = None):
    """Make calls one after another; return every transition."""
    changes = []
    for code in codes:
        admission = breaker.admit(now_s)
        assert not admission.refused
        changes += [*admission.changes, *breaker.settle(admission, failed(code, retry_after_s), latency_s, now_s)]
    return changes


def opened(scope="model", now_s: float = 0.0) -> Breaker:
    breaker = Breaker(SPEC, scope)
    calls(breaker, *[BUSY] * 4, now_s=now_s)
    assert breaker.state == "open"
    return breaker


def test_half_of_the_calls_failing_opens_it_and_says_why():
    breaker = Breaker(SPEC)
    assert calls(breaker, None, None, BUSY, BUSY) == [Opened("errors", 5.0, BUSY, bad=2, counted=4)]


def test_fewer_calls_than_the_least_prove_nothing():
    breaker = Breaker(SPEC)
    assert calls(breaker, BUSY, BUSY, BUSY) == []
    assert breaker.state == "closed"


def test_errors_older_than_the_window_are_forgotten():
    breaker = Breaker(SPEC)
    calls(breaker, BUSY, BUSY, BUSY, now_s=0.0)
    assert calls(breaker, None, None, BUSY, None, now_s=11.0) == []


def test_errors_spread_over_the_window_count_together():
    breaker = Breaker(SPEC)
    for second in range(3):
        assert calls(breaker, BUSY, now_s=2.0 * second) == []
    assert calls(breaker, BUSY, now_s=8.0) != []


def test_a_window_long_gone_leaves_nothing_behind():
    breaker = Breaker(SPEC)
    calls(breaker, BUSY, BUSY, BUSY, now_s=1e6)
    assert calls(breaker, None, BUSY, None, None, now_s=2e6) == []


def test_failures_in_a_row_open_it_whatever_was_answered_before():
    breaker = Breaker(SPEC)
    calls(breaker, *[None] * 1000)
    assert calls(breaker, *[BUSY] * 3, None, *[BUSY] * 3) == []
    assert calls(breaker, BUSY) == [Opened("errors", 5.0, BUSY, bad=4, counted=4)]


@pytest.mark.parametrize(("code", "noticed"), [(BUSY, True), (FailureCode.BAD_REQUEST, False), (FailureCode.WORKER_LOST, False)])
def test_an_outage_is_noticed_until_the_model_is_back(code, noticed):
    breaker = opened()
    assert not Breaker(SPEC).noticed(failed(code))
    assert breaker.noticed(failed(code)) is noticed
    breaker.admit(5.0)
    assert breaker.noticed(failed(code)) is noticed  # half-open
    calls(breaker, None, None, now_s=5.0)
    assert not breaker.noticed(failed(code))


def test_an_open_breaker_refuses_and_says_when_to_ask_again():
    admission = opened().admit(1.0)
    assert admission.refused
    assert admission.retry_at_s == 5.0


def test_after_its_time_it_lets_a_few_probes_out():
    breaker = opened()
    verdicts = [breaker.admit(5.0) for _ in range(4)]
    assert [verdict.verdict for verdict in verdicts] == ["probe", "probe", "probe", "refused"]
    assert [*verdicts[0].changes] == [HalfOpened()]
    assert verdicts[3].retry_at_s > 5.0
    assert breaker.state == "half-open"


def test_probes_that_are_answered_close_it():
    breaker = opened()
    assert calls(breaker, None, None, now_s=5.0) == [HalfOpened(), Closed()]
    assert breaker.admit(5.0).verdict == "allowed"


def test_probes_that_fail_open_it_for_twice_as_long_up_to_a_limit():
    breaker = opened()
    now_s, rests = 5.0, []
    for _ in range(4):
        changes = calls(breaker, BUSY, BUSY, now_s=now_s)
        rests.append(changes[-1].until_s - now_s)
        now_s = changes[-1].until_s
    assert rests == [10.0, 20.0, 20.0, 20.0]


def test_closing_resets_how_long_it_opens():
    breaker = opened()
    calls(breaker, BUSY, BUSY, now_s=5.0)
    calls(breaker, None, None, now_s=15.0)
    assert calls(breaker, *[BUSY] * 4, now_s=16.0) == [Opened("errors", 21.0, BUSY, 4, 4)]


def test_one_failed_probe_of_three_is_below_the_rate():
    breaker = opened()
    assert calls(breaker, BUSY, None, None, now_s=5.0) == [HalfOpened(), Closed()]


def test_a_cancelled_probe_goes_out_again():
    breaker = opened()
    probes = [breaker.admit(5.0) for _ in range(3)]
    assert breaker.admit(5.0).refused
    breaker.abandon(probes[1])
    assert breaker.admit(5.0).verdict == "probe"
    assert breaker.admit(5.0).refused


def test_a_probe_that_met_a_bad_prompt_goes_out_again():
    breaker = opened()
    assert calls(breaker, *[FailureCode.BAD_REQUEST] * 10, now_s=5.0) == [HalfOpened()]
    assert breaker.state == "half-open"


def test_calls_from_before_it_opened_say_nothing_about_the_probes():
    breaker = Breaker(SPEC)
    early = [breaker.admit(0.0) for _ in range(10)]
    calls(breaker, *[BUSY] * 4)
    probe = breaker.admit(5.0)
    for admission in early:
        assert not breaker.settle(admission, failed(BUSY), 5.0, 5.0)
    assert breaker.state == "half-open"
    assert not breaker.settle(probe, None, 1.0, 5.0)


def test_slow_calls_open_it_by_their_own_rate():
    breaker = Breaker(SPEC.model_copy(update={"slow": 10.0}))
    assert calls(breaker, None, latency_s=1.0) == []
    assert calls(breaker, None, None, None, latency_s=12.0) == []  # three of four are below 0.8
    assert calls(breaker, None, latency_s=12.0) == [Opened("slow", 5.0, None, bad=4, counted=5)]


def test_slow_probes_open_it_again():
    breaker = Breaker(SPEC.model_copy(update={"slow": 10.0}))
    calls(breaker, *[None] * 4, latency_s=12.0)
    changes = calls(breaker, None, None, None, latency_s=12.0, now_s=5.0)
    assert [type(change) for change in changes] == [HalfOpened, Opened]


@pytest.mark.parametrize("code", [FailureCode.AUTH, FailureCode.FORBIDDEN, FailureCode.NOT_FOUND])
def test_a_key_refused_five_times_in_a_row_opens_it_at_once(code):
    breaker = Breaker(BreakerSpec())
    assert calls(breaker, *[code] * 5) == [Opened("locked-out", 5.0, code, 5, 5)]


def test_answers_between_refusals_of_the_key_keep_it_closed():
    breaker = Breaker(BreakerSpec())
    assert calls(breaker, *[*[FailureCode.FORBIDDEN] * 4, None] * 20) == []


def test_one_more_refusal_of_the_key_opens_it_again():
    breaker = Breaker(BreakerSpec())
    calls(breaker, *[FailureCode.AUTH] * 5)
    assert calls(breaker, FailureCode.AUTH, now_s=5.0)[-1] == Opened("locked-out", 15.0, FailureCode.AUTH, 6, 6)


def test_throttling_never_opens_it():
    breaker = Breaker(SPEC)
    assert calls(breaker, *[FailureCode.RATE_LIMITED] * 100) == []
    assert breaker.state == "closed"


def test_a_throttle_s_retry_after_pauses_the_model_and_is_said_once():
    breaker = Breaker(SPEC)
    early = [breaker.admit(0.0) for _ in range(3)]
    said = [change for one in early for change in breaker.settle(one, failed(FailureCode.RATE_LIMITED, 20.0), 0.1, 1.0)]
    assert said == [Paused(21.0)]
    assert breaker.admit(20.0).retry_at_s == 21.0
    assert breaker.admit(21.0).verdict == "allowed"


def test_a_later_and_shorter_retry_after_does_not_shorten_the_pause():
    breaker = Breaker(SPEC)
    first, second = breaker.admit(0.0), breaker.admit(0.0)
    breaker.settle(first, failed(FailureCode.RATE_LIMITED, 20.0), 0.1, 0.0)
    breaker.settle(second, failed(FailureCode.RATE_LIMITED, 1.0), 0.1, 0.0)
    assert breaker.admit(10.0).retry_at_s == 20.0


def test_an_absurd_retry_after_is_a_pause_of_five_minutes():
    breaker = Breaker(SPEC)
    assert calls(breaker, FailureCode.RATE_LIMITED, retry_after_s=1e9) == [Paused(300.0)]


def test_a_lost_worker_counts_at_the_worker_s_breaker_alone():
    lost = [FailureCode.WORKER_LOST, FailureCode.WORKER_ERROR] * 10
    assert calls(Breaker(SPEC, "model"), *lost) == []
    assert [type(change) for change in calls(Breaker(SPEC, "worker"), *lost[:4])] == [Opened]


def test_a_refused_key_says_nothing_about_a_worker():
    assert calls(Breaker(SPEC, "worker"), *[FailureCode.AUTH] * 20) == []


def test_every_code_that_is_the_provider_s_counts_and_no_other():
    counting = {code.value for code in FailureCode if fault_of(code) is Fault.OUTAGE}
    assert counting == {"overloaded", "server-error", "timeout", "connect", "connection-lost", "stream-broken", "malformed-reply"}


@given(st.lists(st.sampled_from([code for code in FailureCode if fault_of(code) is Fault.NOBODY]), max_size=200))
def test_the_callers_own_faults_never_open_it(codes):
    assert calls(Breaker(SPEC), *codes) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "settle", "abandon"]),
            st.sampled_from([None, None, *FailureCode]),
            st.floats(0.0, 4.0),
            st.integers(0, 9),
            st.sampled_from([None, 3.0, 1e6]),
        ),
        max_size=200,
    )
)
def test_whatever_happens_it_lets_calls_through_again_and_never_too_many_probes(events):
    breaker, out, now_s = Breaker(SPEC), [], 0.0
    for event, code, passes_s, which, retry_after_s in events:
        now_s += passes_s
        if event == "ask":
            admission = breaker.admit(now_s)
            assert not admission.refused or now_s < admission.retry_at_s <= now_s + 300.0
            out += [] if admission.refused else [admission]
        elif out:
            admission = out.pop(which % len(out))
            if event == "settle":
                breaker.settle(admission, failed(code, retry_after_s), 1.0, now_s)
            else:
                breaker.abandon(admission)
        latest = max((one.era for one in out if one.verdict == "probe"), default=0)
        assert sum(one.verdict == "probe" and one.era == latest for one in out) <= SPEC.probes
    for admission in out:
        breaker.abandon(admission)
    for _ in range(10):
        now_s += 301.0
        calls(breaker, None, now_s=now_s)
    assert breaker.state == "closed"
