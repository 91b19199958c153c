"""Breaker: when a model, or one of its workers, is given a rest, and how it comes back (circuit breaker).

A machine of three states. Closed: calls go out, and their outcomes are counted over a sliding window. Open: none goes out until a time.
Half-open: a few probes go out; by the same rates they close it, or open it again for twice as long. A window of ten buckets, separate
rates for errors and slow calls, and a least number of calls as in resilience4j (CircuitBreaker, time-based window); a run of failures
opens at once, however many calls were answered before it, and each further rest is longer up to a limit, as in Envoy (outlier detection).
What a failure counts for is its class: see `fault_of`.

Every admission that is not refused is settled or abandoned, else its probe stays out for ever (resilience4j, issue 903). An outcome that
was admitted before the latest change of state says nothing about the state since, and is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from partsong.contracts import Failure, FailureCode
from partsong.contracts.model import BreakerSpec

__all__ = [
    "LONGEST_PAUSE_S",
    "Admission",
    "Breaker",
    "Closed",
    "Fault",
    "HalfOpened",
    "Opened",
    "Paused",
    "Reason",
    "Scope",
    "State",
    "Transition",
    "fault_of",
]

LONGEST_PAUSE_S = 300.0
"""A provider that asks for a longer pause is asked again after this: the breaker does not make an outage of it."""

_LOCKED_OUT_AFTER = 5
"""So many refusals of the key, or of the model's name, in a row, and no answer between them."""

_LOOK_AGAIN_S = 1.0
"""When all probes are out, a call that waits looks again after this at the latest."""

_BUCKETS = 10

State = Literal["closed", "open", "half-open"]
Scope = Literal["model", "worker"]
Reason = Literal["errors", "slow", "locked-out"]


class Fault(Enum):
    """What a failure says about whom."""

    NOBODY = "nobody"
    """The caller's own fault, a limit of ours, or an answer that did not please: counts for neither side, and a probe goes out again."""
    KEY = "key"
    """The key, or the model's name, is refused: asking on cannot help. Opens after five in a row, whatever the rate."""
    THROTTLE = "throttle"
    """The provider asks to slow down: it works. Never opens; `retry_after_s` is a pause of the model."""
    OUTAGE = "outage"
    """The provider, or the way to it, is broken or too busy: counts to the error rate."""
    WORKER = "worker"
    """The worker is broken: counts to the error rate of the worker's breaker, and for neither side at the model's."""


_FAULTS = {
    FailureCode.AUTH: Fault.KEY,
    FailureCode.FORBIDDEN: Fault.KEY,
    FailureCode.NOT_FOUND: Fault.KEY,
    FailureCode.RATE_LIMITED: Fault.THROTTLE,
    FailureCode.OVERLOADED: Fault.OUTAGE,
    FailureCode.SERVER_ERROR: Fault.OUTAGE,
    FailureCode.TIMEOUT: Fault.OUTAGE,
    FailureCode.CONNECT: Fault.OUTAGE,
    FailureCode.CONNECTION_LOST: Fault.OUTAGE,
    FailureCode.STREAM_BROKEN: Fault.OUTAGE,
    FailureCode.MALFORMED_REPLY: Fault.OUTAGE,
    FailureCode.WORKER_ERROR: Fault.WORKER,
    FailureCode.WORKER_LOST: Fault.WORKER,
}


def fault_of(code: FailureCode) -> Fault:
    """Return the class of a failure; a code without an entry is nobody's fault."""
    return _FAULTS.get(code, Fault.NOBODY)


@dataclass(frozen=True, slots=True)
class Opened:
    """It opened: nothing goes out before `until_s`."""

    reason: Reason
    until_s: float
    code: FailureCode | None
    """The latest failure that counted; None where slow calls opened it without any."""
    bad: int
    """Calls that failed or were slow, of those counted."""
    counted: int


@dataclass(frozen=True, slots=True)
class HalfOpened:
    """Probes go out."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The model is back."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The provider asked for a pause: nothing goes out before `until_s`. Said once a pause, not for each that lengthens it."""

    until_s: float


Transition = Opened | HalfOpened | Closed | Paused


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may go out; goes back to `settle` or `abandon` if it may."""

    verdict: Literal["allowed", "probe", "refused"]
    era: int
    """Changes of state before it."""
    retry_at_s: float | None = None
    """When to ask again, of a refused one; a transition may come sooner."""
    changes: Sequence[Transition] = ()

    @property
    def refused(self) -> bool:
        """Whether the call has to wait or go elsewhere."""
        return self.verdict == "refused"


class Breaker:
    """The breaker of one model, or of one of its workers."""

    def __init__(self, spec: BreakerSpec, scope: Scope = "model") -> None:
        self._spec = spec
        self._counting = {Fault.OUTAGE, Fault.KEY if scope == "model" else Fault.WORKER}
        self._state: State = "closed"
        self._era = 0
        self._allowed = Admission("allowed", 0)
        self._window = _Window(spec.window)
        self._round = _Tally()
        self._probing = 0
        self._open_s = spec.open_for
        self._until_s = 0.0
        self._paused_until_s = 0.0
        self._locked_out = 0
        self._in_a_row = 0
        self._last: FailureCode | None = None

    @property
    def state(self) -> State:
        """The state; an open one becomes half-open by the first call that asks after its time."""
        return self._state

    def noticed(self, failure: Failure) -> bool:
        """Whether the failure is part of an outage that the breaker deals with: who waits for the model need not give up for it."""
        return self._state != "closed" and fault_of(failure.code) is Fault.OUTAGE

    def admit(self, now_s: float) -> Admission:
        """Say whether a call may go out now."""
        rest_s = max(self._paused_until_s, self._until_s)
        if now_s < rest_s:
            return Admission("refused", self._era, rest_s)
        if self._state == "closed":
            return self._allowed
        if self._state == "open":
            return self._probe([self._half_open()])
        if self._probing + self._round.calls >= self._spec.probes:
            return Admission("refused", self._era, now_s + _LOOK_AGAIN_S)
        return self._probe(())

    def settle(self, admission: Admission, failure: Failure | None, latency_s: float, now_s: float) -> Sequence[Transition]:
        """Count what an admitted call came to: an answer (`failure` is None) after `latency_s`, or a failure."""
        self.abandon(admission)
        fault = None if failure is None else fault_of(failure.code)
        if failure is not None and fault is Fault.THROTTLE:
            return self._pause(failure.retry_after_s or 0.0, now_s)
        if admission.era != self._era:
            return ()
        if fault is not None and fault not in self._counting:
            return ()
        if failure is None:
            self._locked_out = self._in_a_row = 0
        else:
            self._last = failure.code
        if fault is Fault.KEY:
            return self._refuse_key(now_s)
        slow = self._spec.slow is not None and latency_s >= self._spec.slow
        if self._state == "closed":
            self._window.count(failure is not None, slow, now_s)
            self._in_a_row += failure is not None
            return self._judge_window(now_s)
        self._round.count(failure is not None, slow)
        return self._judge_round(now_s)

    def abandon(self, admission: Admission) -> None:
        """The call ended without an outcome (cancelled, or never sent): its probe may go out again."""
        if admission.verdict == "probe" and admission.era == self._era:
            self._probing -= 1

    def _probe(self, changes: Sequence[Transition]) -> Admission:
        self._probing += 1
        return Admission("probe", self._era, changes=changes)

    def _pause(self, pause_s: float, now_s: float) -> Sequence[Transition]:
        until_s = now_s + min(pause_s, LONGEST_PAUSE_S)
        begins = now_s >= self._paused_until_s
        self._paused_until_s = max(until_s, self._paused_until_s)
        return [Paused(until_s)] if begins and until_s > now_s else ()

    def _refuse_key(self, now_s: float) -> Sequence[Transition]:
        self._locked_out += 1
        if self._locked_out < _LOCKED_OUT_AFTER:
            return ()
        return [self._open("locked-out", self._locked_out, self._locked_out, now_s)]

    def _judge_window(self, now_s: float) -> Sequence[Transition]:
        if self._in_a_row >= self._spec.least_calls:
            return [self._open("errors", self._in_a_row, self._in_a_row, now_s)]
        counted = self._window.sum
        if counted.calls < self._spec.least_calls:
            return ()
        reason = self._too_many(counted, counted.calls)
        return [self._open(reason, counted.bad(reason), counted.calls, now_s)] if reason else ()

    def _judge_round(self, now_s: float) -> Sequence[Transition]:
        """Decide as soon as the probes still out cannot change it."""
        probes = self._spec.probes
        if reason := self._too_many(self._round, probes):
            return [self._open(reason, self._round.bad(reason), self._round.calls, now_s)]
        out = probes - self._round.calls
        if self._too_many(_Tally(probes, self._round.failed + out, self._round.slow + out), probes):
            return ()
        return [self._close()]

    def _too_many(self, tally: "_Tally", calls: int) -> Reason | None:
        if tally.failed and tally.failed >= self._spec.error_rate * calls:
            return "errors"
        return "slow" if tally.slow and tally.slow >= self._spec.slow_rate * calls else None

    def _open(self, reason: Reason, bad: int, counted: int, now_s: float) -> Opened:
        self._enter("open")
        self._until_s = now_s + min(self._open_s, self._spec.open_at_most)
        self._open_s = min(2.0 * self._open_s, self._spec.open_at_most)
        return Opened(reason, self._until_s, self._last, bad, counted)

    def _half_open(self) -> HalfOpened:
        self._enter("half-open")
        self._probing = 0
        self._round = _Tally()
        return HalfOpened()

    def _close(self) -> Closed:
        self._enter("closed")
        self._allowed = Admission("allowed", self._era)
        self._window = _Window(self._spec.window)
        self._in_a_row = 0
        self._open_s = self._spec.open_for
        self._last = None
        return Closed()

    def _enter(self, state: State) -> None:
        self._state = state
        self._era += 1


@dataclass(slots=True)
class _Tally:
    calls: int = 0
    failed: int = 0
    slow: int = 0

    def count(self, failed: bool, slow: bool) -> None:
        self.calls += 1
        self.failed += failed
        self.slow += slow

    def bad(self, reason: Reason) -> int:
        return self.slow if reason == "slow" else self.failed


class _Window:
    """Calls of the last `window_s`, to a tenth of it, in constant memory."""

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / _BUCKETS
        self._buckets = [_Tally() for _ in range(_BUCKETS)]
        self._newest = 0
        self.sum = _Tally()

    def count(self, failed: bool, slow: bool, now_s: float) -> None:
        self._forget(int(now_s / self._bucket_s))
        self._buckets[self._newest % _BUCKETS].count(failed, slow)
        self.sum.count(failed, slow)

    def _forget(self, newest: int) -> None:
        for bucket in range(max(self._newest, newest - _BUCKETS) + 1, newest + 1):
            old = self._buckets[bucket % _BUCKETS]
            self.sum.calls -= old.calls
            self.sum.failed -= old.failed
            self.sum.slow -= old.slow
            self._buckets[bucket % _BUCKETS] = _Tally()
        self._newest = max(self._newest, newest)
