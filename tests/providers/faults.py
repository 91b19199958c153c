"""Faults: what a provider does wrong on demand, to which of its calls; one table for every protocol."""

import random
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, get_args

FaultKind = Literal[
    "status",  # an error of this `status`, with the `headers` given (`retry-after` in seconds, as a date, absurd)
    "slow",  # nothing for `delay_s` (for ever, by default), then the answer
    "close",  # the connection is closed before the first byte
    "reset",  # the connection is reset before the first byte
    "reset-in-headers",  # the connection is reset after half a header
    "reset-after-headers",  # the connection is reset when the headers, and nothing of the body, are sent
    "cut",  # the connection closes in the middle of the reply: after `after` events of a stream
    "cut-mid-event",  # the same, in the middle of an event
    "cut-mid-character",  # the same, in the middle of a character's UTF-8
    "cut-before-usage",  # the same, when all is said but the usage
    "stall",  # nothing more comes from the middle of the reply on, and the connection stays open
    "malformed",  # 200, and JSON that ends too early
    "nested",  # 200, and JSON of `size` arrays, each in the one before
    "html",  # `status` (200 by default) and a web page
    "wrong-type",  # a good reply that is called text/plain
    "empty",  # 200 and no body
    "bare",  # 200 and an object with no choices in it
    "no-choices",  # 200 and an empty list of choices
    "no-usage",  # a good reply that names no usage
    "error-body",  # 200, whose body (or whose stream, after `after` events) is an error
    "huge",  # a good reply, but its text is `size` bytes long
    "filtered",  # a good reply that the content filter stopped
    "withheld",  # the content filter stopped it before the first word
    "length",  # a good reply that met its longest length
    "redirect",  # to another host, by this `status` (307 by default)
]
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault and the rule that says which calls it hits."""

    kind: FaultKind
    times: float = 1
    """How many calls it hits; `inf` for all."""
    match: str = ""
    """Only calls whose prompt holds this."""
    skip: int = 0
    """How many calls that match are spared first: `skip=2` hits the third."""
    of_each_prompt: bool = False
    """Whether `times` and `skip` count the calls of each prompt apart."""
    share: float = 1.0
    """The share of calls it hits, drawn with `seed`."""
    seed: int = 0
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = inf
    after: int = 1
    size: int = 0
    """Bytes of a huge reply (10 MB if not said), arrays of a nested one (100,000)."""
    location: str = ""
    """Where a redirect leads."""

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(FAULTS)}")
        if self.kind == "status" and not 400 <= self.status <= 599:
            raise ValueError("a status fault needs a `status` from 400 to 599")

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Fault":
        """Return the fault that JSON names; raises ValueError or TypeError."""
        return cls(**fields | {"headers": tuple((name, value) for name, value in fields.get("headers", ()))})


@dataclass(slots=True)
class _Rule:
    fault: Fault
    dice: random.Random
    seen: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    def hit(self, prompt: str) -> bool:
        fault = self.fault
        if fault.match not in prompt:
            return False
        whose = prompt if fault.of_each_prompt else ""
        self.seen[whose] += 1
        if self.seen[whose] <= fault.skip or self.hits[whose] >= fault.times:
            return False
        if fault.share < 1 and self.dice.random() >= fault.share:
            return False
        self.hits[whose] += 1
        return True


class Faults:
    """The rules in force; the first one that hits a call decides."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def add(self, fault: Fault) -> None:
        self._rules.append(_Rule(fault, random.Random(fault.seed)))

    def clear(self) -> None:
        self._rules.clear()

    def next(self, prompt: str) -> Fault | None:
        """Return the fault that this call of the prompt meets."""
        return next((rule.fault for rule in self._rules if rule.hit(prompt)), None)
