"""Allowance: a row's own limits of calls, tokens, dollars and seconds, checked before each call so that no nesting can pass them."""

from collections.abc import Iterator
from contextlib import contextmanager

from partsong.contracts import BillLine, Constraints, Failure, FailureCode

__all__ = ["Allowance"]

_UNPAID = frozenset({"cache"})
"""What an earlier run paid is free now; what this run's journal holds counts, so that a resumed row goes the way it went before."""

_SLACK_USD = 1e-12
"""Sums of floats are a hair off; a limit of 0.3 takes three calls of 0.1."""


class Allowance:
    """What one row may still spend: what is spent, plus the worst case of every call in flight, never passes the limits.

    It is a plain machine on one event loop: `refusal`, then `reserved` without an await between the two.
    """

    def __init__(self, constraints: Constraints, began_s: float = 0.0) -> None:
        """Start at `began_s` on the clock that `refusal` is told the time of."""
        self._limits = constraints
        self._began_s = began_s
        self._calls = 0
        self._tokens = 0
        self._usd = 0.0
        self._calls_in_flight = 0
        self._tokens_in_flight = 0
        self._usd_in_flight = 0.0

    def refusal(self, worst_usd: float, worst_tokens: int, now_s: float) -> Failure | None:
        """Return why a call of at most these dollars and tokens must not be made; None when it may."""
        limits = self._limits
        if limits.deadline_s is not None and now_s - self._began_s >= limits.deadline_s:
            return Failure(code=FailureCode.DEADLINE, message=f"the row's deadline of {limits.deadline_s:g} s passed")
        if limits.max_calls is not None and self._calls + self._calls_in_flight + 1 > limits.max_calls:
            return _over(f"max_calls {limits.max_calls}: {self._calls} made, {self._calls_in_flight} in flight")
        held_tokens = self._tokens + self._tokens_in_flight
        if limits.max_tokens is not None and held_tokens + worst_tokens > limits.max_tokens:
            return _over(f"max_tokens {limits.max_tokens}: {held_tokens} spent or in flight, the next call may take {worst_tokens}")
        held_usd = self._usd + self._usd_in_flight
        if limits.max_cost_usd is not None and held_usd + worst_usd > limits.max_cost_usd + _SLACK_USD:
            return _over(f"max_cost_usd {limits.max_cost_usd:g}: {held_usd:.6g} spent or in flight, the next call may cost {worst_usd:.6g}")
        return None

    @contextmanager
    def reserved(self, worst_usd: float, worst_tokens: int) -> Iterator[None]:
        """Hold the worst case of a call while it is in flight."""
        self._hold(1, worst_tokens, worst_usd)
        try:
            yield
        finally:
            self._hold(-1, -worst_tokens, -worst_usd)

    def spend(self, line: BillLine, *, replayed: bool = False) -> None:
        """Count a call's line of the bill; where the row is `replayed`, what the cache answers as if it were paid now."""
        if line.outcome in _UNPAID and not replayed:
            return
        self._calls += 1
        self._tokens += line.usage.total_tokens
        self._usd += line.cost_usd + line.possible_usd

    def _hold(self, calls: int, tokens: int, usd: float) -> None:
        self._calls_in_flight += calls
        self._tokens_in_flight += tokens
        self._usd_in_flight += usd


def _over(what: str) -> Failure:
    return Failure(code=FailureCode.ROW_BUDGET, message=f"the row may spend no more ({what}); raise the limit or use a smaller plan")
