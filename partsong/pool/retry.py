"""Retry: whether a failed attempt is worth another, and when (exponential backoff with full jitter, Brooker 2015)."""

from collections.abc import Callable
from dataclasses import dataclass

from partsong.contracts import Failure

__all__ = ["RetryPolicy"]

_DOUBLINGS = 60
"""Beyond any cap; a patient caller's thousandth attempt would be more than a float holds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart attempts follow each other."""

    retries: int
    """Attempts after the first."""
    base_s: float = 0.5
    """The first wait is drawn from [0, base); each further one from twice as wide."""
    cap_s: float = 30.0
    """No wait of our own choosing is longer; what a provider asks for may be."""
    longest_s: float = 300.0
    """A provider that asks for a longer wait is given up: a fallback, or a failed row, tells more than a run that stands still."""

    def wait_s(self, failure: Failure, attempt: int, left_s: float, dice: Callable[[], float]) -> float | None:
        """Return how long to wait before the next attempt; None when there is to be none. `attempt` counts from 1; see `pause_s`."""
        return None if attempt > self.retries else self.pause_s(failure, attempt, left_s, dice)

    def pause_s(self, failure: Failure, attempt: int, left_s: float, dice: Callable[[], float]) -> float | None:
        """Return how long to wait after the attempt, however many there were; None when another is no use.

        `left_s` is what the row's deadline leaves (infinity without one): a wait that would not end before it is no use. A provider's
        `retry-after` is the least that is waited, with jitter on top, so that callers do not return in step.
        """
        if not failure.retryable:
            return None
        jitter_s = dice() * min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, _DOUBLINGS))
        asked_s = failure.retry_after_s or 0.0
        wait_s = asked_s + jitter_s
        return wait_s if wait_s < left_s and asked_s <= self.longest_s else None
