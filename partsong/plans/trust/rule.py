"""A trust rule: what it is asked, what it makes of an answer, and the threshold that its confidence is held against."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from partsong.contracts import Answer, Frozen, Name, Task
from partsong.plans.port import Port, Step

__all__ = ["Asked", "Threshold", "TrustRule", "Verdict", "at_least", "passed", "unmeasured"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer to be trusted or not, with what was asked and the means to ask more."""

    name: str
    """The model or plan that was asked."""
    task: Task
    """The task as it was asked."""
    answer: Answer
    step: Step
    """Where the rule's own asks stand in the plan's tree."""
    port: Port
    rungs: tuple[str, ...] = ()
    """The tiers of the cascade in which it was asked, in words; none elsewhere."""
    tier: int = 0
    """Which of them it is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule makes of an answer."""

    trusted: bool
    confidence: float | None
    """In [0, 1], as the rule measured it; None when it could not be measured."""
    reason: str
    """In words: `logprob 0.91 >= 0.85`."""
    answer: Answer | None = None
    """A better answer that measuring brought up (the samples' majority); None keeps the one asked about."""


class TrustRule(Frozen, ABC):
    """One way of telling whether an answer can be trusted; its fields are its entry in the mesh file."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `logprob`."""
    bare: ClassVar[str] = ""
    """The field whose value may be written in place of a mapping."""
    needs_logprobs: ClassVar[bool] = False
    """Whether the task must be asked with token log-probabilities."""

    @property
    def learned(self) -> bool:
        """Whether its threshold is learned, for the cascade in which it stands."""
        return False

    def measured(self, answer: Answer) -> float | None:
        """Return the confidence in [0, 1] that the answer itself carries; None when it carries none."""
        return None

    @abstractmethod
    async def judge(self, asked: Asked) -> Verdict:
        """Return whether the answer is trusted, how far, and why in words."""

    def asks(self) -> Iterator[Name]:
        """Yield every model or plan that judging may ask."""
        return iter(())

    def most_asks(self, name: Name) -> Iterator[Name]:
        """Yield every model or plan as often as judging one answer of `name` may ask it."""
        return self.asks()

    def asking(self, task: Task) -> Task:
        """Return the task as it must be asked for this rule to measure its answer."""
        if not self.needs_logprobs or task.sampling.logprobs:
            return task
        return task.model_copy(update={"sampling": task.sampling.model_copy(update={"logprobs": True})})


def _reachable(value: float) -> float:
    if 0.0 <= value <= 1.0:
        return value
    hint = f"; did you mean {value / 100:g}?" if 1.0 < value <= 100.0 else ""
    hint = f"; as a log-probability it would be {math.exp(value):.3g}" if value < 0.0 else hint
    side = "no answer could ever be trusted" if value > 1.0 else "every answer would be"
    raise ValueError(f"{value:g} is no threshold: a confidence lies between 0 and 1, so {side}{hint}")


Threshold = Annotated[float, AfterValidator(_reachable), Field(json_schema_extra={"minimum": 0.0, "maximum": 1.0})]
"""The confidence from which on an answer is trusted, in [0, 1]."""


def at_least(what: str, confidence: float, threshold: float) -> Verdict:
    """Return the verdict of a measured confidence against its threshold."""
    trusted = confidence >= threshold
    return Verdict(trusted, confidence, f"{what} {confidence:.2f} {'>=' if trusted else '<'} {threshold:g}")


def unmeasured(why: str) -> Verdict:
    """Return the verdict where nothing could be measured: not trusted."""
    return Verdict(trusted=False, confidence=None, reason=f"not trusted: {why}")


def passed(passes: bool, what: str) -> Verdict:
    """Return the verdict of a test that an answer passes or does not."""
    return Verdict(passes, 1.0 if passes else 0.0, what)
