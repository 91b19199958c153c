"""Adaptive limit: how many calls of a model are made at once, between one and the ceiling of its mesh file.

Overload (a throttle, a busy server, a timeout) cuts the limit by a share, at most once for the calls that were out together: additive
increase, multiplicative decrease, as in TCP and Netflix's concurrency-limits (AIMDLimit). Latency tells of a queue before anything fails:
the median of a window of calls is compared with the level it had without a queue (Gradient2Limit; Vegas estimates the queue from the same
ratio). Little's law gives the number that would keep the queue small: calls in flight divided by that ratio.

Whether a longer latency is our own queue or just a slower provider is found out, not assumed: the limit is lowered step by step while
latency falls with it. Where it does not fall, the queue was not ours: the new level is accepted, and the limit grows again. An answer of
a thousand tokens is not compared with one of ten: latencies are taken relative to the usual one for an answer of that length.

A provider that was overloaded before the first call, and gives all its callers equal parts, shows no queue; there only overload cuts.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["AdaptiveLimit", "Outcome"]

Outcome = Literal["ok", "overloaded", "ignored"]
"""What a call says about the load: it was answered; it met a throttle, a busy server or a timeout; nothing."""

_JITTER_S = 0.1
"""What our own busy machine adds to a call now and then: beside a latency of some milliseconds it would look like a provider's queue."""
_CUT = 0.7
"""What an overload, or a step of a descent, leaves of the limit."""
_HALF = 0.5
"""The most that one slow window takes."""
_CUT_EVERY_S = 1.0
_SLOW = math.log(2.0)
"""Levels are logarithms: from twice the usual latency on, a window is slow."""
_EASY = math.log(1.25)
"""Below, the limit grows; between the two it holds."""
_FELL = 0.5
"""The share of the expected fall in latency that shows the queue was ours."""
_SLOW_WINDOWS = 2
"""So many slow windows in a row are no chance."""
_HELD_WINDOWS = 20
"""After so many windows between easy and slow, a descent finds out anew where the queue begins."""
_BOUND = 0.8
"""From this share of the limit in flight on, the limit is what holds calls back."""
_LEAST_CALLS = 8
_LOOK_EVERY = 32
"""Calls until a window that is not over is looked at, whether it is slow already."""
_EXACT, _ENOUGH_CALLS = 0.08, 256
"""A window has as many calls as it takes for its median's standard error to be below this, up to so many: mixed latencies take longer."""
_DRIFT = 0.05
"""How far a window without a queue of ours moves the usual level up; down it moves faster."""
_LEARN = 0.2
"""How far a window moves the usual latency for an answer's length at most."""


class AdaptiveLimit:
    """The limit of one model at one caller."""

    def __init__(self, ceiling: int) -> None:
        """It starts at the ceiling: a healthy provider pays nothing for it."""
        self._ceiling = max(1, ceiling)
        self._limit = float(self._ceiling)
        self._changed_at_s = -math.inf
        self._window = _Window()
        self._usual: float | None = None
        self._slow_windows = 0
        self._held_windows = 0
        self._descent: _Descent | None = None
        self._knee_known = False

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    def settle(self, latency_s: float, completion_tokens: int, outcome: Outcome, in_flight: int, now_s: float) -> None:
        """A call ended; `in_flight` counts it and those still out."""
        if outcome == "ignored" or now_s - latency_s < self._changed_at_s:
            return  # it went out under another limit, and tells of that one
        if outcome == "overloaded":
            self._cut(in_flight, now_s)
            return
        self._window.count(latency_s, completion_tokens, max(1, in_flight))
        if self._window.full() or (self._window.early() and self._telling()):
            self._judge(now_s)

    def _cut(self, in_flight: int, now_s: float) -> None:
        if now_s - self._changed_at_s < _CUT_EVERY_S:
            return
        self._descent = None
        self._move(_CUT * min(self._limit, max(self._window.in_flight, in_flight)), now_s)

    def _judge(self, now_s: float) -> None:
        level, in_flight = self._window.close()
        usual = level if self._usual is None else self._usual
        self._slow_windows = self._slow_windows + 1 if level - usual >= _SLOW else 0
        if self._descent is not None:
            self._descend(self._descent, level, usual, in_flight, now_s)
        elif self._slow_windows >= _SLOW_WINDOWS:
            self._lower(level, usual, in_flight, now_s)
        else:
            self._rest(level, usual, in_flight, now_s)

    def _telling(self) -> bool:
        """Whether a part of a window is enough: it looks slow, or is the very first, before a queue can have built up."""
        return self._descent is None and (self._usual is None or self._window.level() - self._usual >= _SLOW)

    def _rest(self, level: float, usual: float, in_flight: int, now_s: float) -> None:
        """No descent is on: grow, or hold, and let the usual level follow."""
        bound = in_flight >= _BOUND * self.limit
        queueing = bound and self._limit < self._ceiling
        self._usual = usual + (level - usual) * (0.3 if level < usual else 0.0 if queueing else _DRIFT)
        if not queueing:
            self._held_windows = 0
        elif level - usual < _EASY:
            self._held_windows = 0
            self._move(self._limit + max(1.0, math.sqrt(self._limit)), now_s)
        else:
            self._held_windows += 1
            if self._held_windows >= _HELD_WINDOWS:
                self._knee_known = False
                self._lower(level, usual, in_flight, now_s)

    def _lower(self, level: float, usual: float, in_flight: int, now_s: float) -> None:
        """Begin a descent, or take its next step."""
        self._slow_windows = self._held_windows = 0
        little = in_flight / math.exp(level - usual)
        target = max(little, _HALF * in_flight) if level - usual >= _SLOW else _CUT * in_flight
        self._descent = _Descent(level, in_flight, 0 if self._descent is None else self._descent.strikes)
        self._move(min(self._limit, target), now_s)

    def _descend(self, descent: "_Descent", level: float, usual: float, in_flight: int, now_s: float) -> None:
        """Take the next step while the last one shortened the queue, or may yet have; else settle for the level it led to."""
        expected = math.log(descent.in_flight / max(1, in_flight))
        fell = expected > 0.0 and descent.level - level >= _FELL * expected
        descent.strikes = 0 if fell else descent.strikes + 1
        self._usual = min(usual, level)
        if fell and self._knee_known and level - usual < _EASY:
            self._descent = None  # the queue is gone, and where it begins was found out before
        elif self._limit > 1.0 and (fell or (descent.strikes < _SLOW_WINDOWS and level - usual >= _SLOW)):
            self._lower(level, self._usual, in_flight, now_s)
        else:
            self._usual = level
            self._descent = None
            self._knee_known = True

    def _move(self, limit: float, now_s: float) -> None:
        self._limit = min(max(1.0, limit), float(self._ceiling))
        self._changed_at_s = now_s
        self._window.restart()


@dataclass(slots=True)
class _Descent:
    level: float
    in_flight: int
    strikes: int
    """Steps that latency did not follow, in a row."""


class _Window:
    """The latest calls: their level, and how many were in flight."""

    def __init__(self) -> None:
        self._lengths = _Lengths()
        self._calls: list[tuple[float, int]] = []  # level, and the answer's length
        self._steps = 0.0
        self._in_flight = 0
        self._latest = 0.0
        self.in_flight = 0
        """See `close`, of the window before."""

    def count(self, latency_s: float, completion_tokens: int, in_flight: int) -> None:
        length = max(0, completion_tokens).bit_length()
        level = self._lengths.relative(latency_s, length, self._latest)
        if self._calls:
            self._steps += abs(level - self._calls[-1][0])
        self._calls.append((level, length))
        self._in_flight = max(self._in_flight, in_flight)

    def full(self) -> bool:
        """Whether a round trip has gone by and the calls are enough for their median to be exact.

        Short answers come first, so that less than a round trip looks faster than it is. The noise is that from one call to the next: a
        queue that builds up spreads the latencies of a window too, and is no noise.
        """
        calls = len(self._calls)
        if calls < max(_LEAST_CALLS, self._in_flight):
            return False
        return calls >= _ENOUGH_CALLS or self._steps / calls <= _EXACT * math.sqrt(calls)

    def early(self) -> bool:
        """Whether it is time to look if the calls are slow already: what looks slow although short answers come first, is."""
        return len(self._calls) % _LOOK_EVERY == 0

    def level(self) -> float:
        """Return the median of the calls."""
        return sorted(self._calls)[len(self._calls) // 2][0]

    def restart(self) -> None:
        self._calls.clear()
        self._steps = 0.0
        self._in_flight = 0

    def close(self) -> tuple[float, int]:
        """Return the level, and the most calls in flight (where calls end in batches, the mean is of half-empty ones); begin the next."""
        self._latest = self.level()
        self.in_flight = self._in_flight
        self._lengths.learn(self._calls, self._latest)
        self.restart()
        return self._latest, self.in_flight


class _Lengths:
    """The usual latency (its logarithm) for an answer's length."""

    def __init__(self) -> None:
        self._usual: dict[int, float] = {}  # by the power of two that the tokens are below: a score of them at most

    def relative(self, latency_s: float, length: int, latest: float) -> float:
        """Return the level of a call: its latency relative to the usual one. The first of a length is taken to be at the `latest` level."""
        taken = math.log(latency_s + _JITTER_S)
        return taken - self._usual.setdefault(length, taken - latest)

    def learn(self, calls: Sequence[tuple[float, int]], median: float) -> None:
        """Move each length's usual latency towards where its calls of a window were, above or below the window's median.

        Only apart from each other: what all lengths have in common, a queue, moves none of them.
        """
        above = Counter[int]()
        counts = Counter(length for _, length in calls)
        for level, length in calls:
            above[length] += (level > median) - (level < median)
        common = above.total() / len(calls)
        for length, count in counts.items():
            self._usual[length] += _LEARN * (above[length] - common * count) / (count + _LEAST_CALLS)
