"""Gate: each row to the model that is worth most on it, by what was learned: the value of a right answer, less its price and the wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import isnan
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, ValidationInfo, model_validator

from partsong.contracts import Frozen, Name, Route, Task
from partsong.contracts.known import known
from partsong.learning.knowledge import Estimate, Knowledge

__all__ = ["Gate", "GateSpec"]

_READ = frozenset({"text", "code"})
_HURRY = {"low": 0.0, "normal": 1.0, "high": 10.0}
_SHOWN = 3


class GateSpec(Frozen):
    """How a learned gate chooses."""

    among: tuple[Name, ...] = ()
    """Models, and frugal plans with a goal, to choose from; empty: every model whose price was known when it was learned."""
    value_of_correct_usd: PositiveFloat
    """US dollars that a right answer is worth."""
    usd_per_s: NonNegativeFloat = 0.0
    """US dollars that a second of waiting costs a row of normal urgency; one of high urgency ten times that, one of low urgency nothing."""
    explore: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of rows that go to any of them, by a hash of the row's id: what other ways of routing can be judged by later."""

    @model_validator(mode="after")
    def _informed(self, info: ValidationInfo) -> "GateSpec":
        known(info, "the gate")
        return self


@dataclass(frozen=True, slots=True)
class Gate:
    """A decider of the router. Rows with parts other than text and code are left to the next: of those nothing was learned."""

    spec: GateSpec
    among: Sequence[str]
    knowledge: Knowledge
    measured: Mapping[str, Estimate]
    """What plans among them give, whatever the prompt."""

    def __call__(self, task: Task) -> Route | None:
        """Return where the task goes; None for one that cannot be judged."""
        if not task.part_types <= _READ:
            return None
        known = {**self.knowledge.estimates(task.text), **self.measured}
        ranked = sorted(self.among, key=lambda name: -self._utility(known[name], task))
        best, share = ranked[0], self.spec.explore
        explores = _drawn(task.id, "explore") < share
        use = self.among[int(_drawn(task.id, "which") * len(self.among))] if explores else best
        return Route(
            use=use,
            reason="gate explores" if explores else "gate",
            estimates="; ".join(_in_words(name, known[name]) for name in dict.fromkeys((use, *ranked[:_SHOWN]))),
            propensity=None if not share else share / len(self.among) + (1.0 - share) * (use == best),
        )

    def _utility(self, one: Estimate, task: Task) -> float:
        wait_s = 0.0 if isnan(one.latency_s) else one.latency_s
        wait_usd = wait_s * self.spec.usd_per_s * _HURRY[task.constraints.urgency]
        return one.right * self.spec.value_of_correct_usd - one.cost_usd - wait_usd


def _drawn(row: str, what: str) -> float:
    """Return the row's place in [0, 1), the same wherever and whenever it is asked for."""
    digest = blake2b(row.encode("utf-8", "surrogatepass"), digest_size=8, person=what.encode()).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def _in_words(name: str, one: Estimate) -> str:
    wait = "" if isnan(one.latency_s) else f" in {one.latency_s:.2g} s"
    return f"{name} {one.right:.2f} at ${one.cost_usd:.2g}{wait}"
