"""Own: trust by what the answer itself carries, its log-probabilities, its stated confidence or its votes."""

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import PrivateAttr, TypeAdapter, ValidationInfo, WrapValidator, model_validator

from partsong.contracts import Answer
from partsong.contracts.known import known
from partsong.learning.knowledge import Knowledge
from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict, at_least, unmeasured

__all__ = ["Agreement", "Confidence", "Logprob", "MinLogprob"]

_NUMBER: TypeAdapter[float] = TypeAdapter(Threshold)


def _number_or_word(value: Any, _: Any) -> float | str:
    return "learned" if value == "learned" else _NUMBER.validate_python(value)  # by hand, so that a wrong number is one error, not two


class _OfAnswer(TrustRule):
    """A rule that reads its measure off the answer itself."""

    bare: ClassVar[str] = "threshold"

    threshold: Annotated[Threshold | Literal["learned"], WrapValidator(_number_or_word)]
    """The confidence from which on the answer is trusted, in [0, 1]. `learned`, in a cascade: the one that `partsong learn` chose (the mesh
    file's `learned`), so that the cascade costs least and is not below the best single model by more than was promised."""
    missing: ClassVar[str]
    """What to say when it cannot be measured."""
    _knows: Knowledge | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _informed(self, info: ValidationInfo) -> Self:
        if goes_by := self._goes_by():
            self._knows = known(info, goes_by)
        return self

    def _goes_by(self) -> str:
        """Return what of it goes by what was learned; empty when nothing does."""
        return f"`{self.kind}: learned`" if self.learned else ""

    @property
    def learned(self) -> bool:
        """See TrustRule.learned."""
        return self.threshold == "learned"

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        confidence = self.measured(asked.answer)
        if confidence is None or math.isnan(confidence):
            return unmeasured(f"{asked.name} {self.missing}")
        return self._as_promised(asked, confidence) if self.threshold == "learned" else self._held(asked, confidence, self.threshold)

    def _held(self, asked: Asked, confidence: float, threshold: float) -> Verdict:
        """Return the verdict by a threshold of the mesh file."""
        return at_least(self.kind, confidence, threshold)

    def _as_promised(self, asked: Asked, stated: float) -> Verdict:
        found = None if self._knows is None else self._knows.level(asked.rungs, asked.tier, stated, asked.task)
        if found is None:
            return unmeasured("no threshold is learned for this tier")
        honest, level = found
        trusted = honest >= level
        said = f"{self.kind} {stated:.2f}, calibrated {honest:.3f} {'>=' if trusted else '<'} learned {level:.3f}"
        return Verdict(trusted, honest, f"{said} (promised)")


class _Stated(_OfAnswer):
    """A rule that reads what the model itself tells of its confidence, which is worth what it proved to be."""

    calibrated: bool = False
    """Whether the threshold is for what the confidence proved to be worth, by model and kind of task (the mesh file's `learned`): with 0.9,
    answers are trusted that are right nine times in ten. A learned threshold always is."""

    def _goes_by(self) -> str:
        return "`calibrated: true`" if self.calibrated else super()._goes_by()

    def _held(self, asked: Asked, confidence: float, threshold: float) -> Verdict:
        if not self.calibrated:
            return super()._held(asked, confidence, threshold)
        honest = None if self._knows is None else self._knows.calibrated(asked.name, confidence, asked.task)
        if honest is None:
            return unmeasured(f"nothing is learned of what {asked.name}'s {self.kind} is worth")
        return at_least(f"{self.kind} {confidence:.2f}, calibrated", honest, threshold)


class Logprob(_Stated):
    """Trust by the mean token log-probability, as a probability: exp(mean), the geometric mean of the tokens' probabilities."""

    kind: ClassVar[str] = "logprob"
    needs_logprobs: ClassVar[bool] = True
    missing: ClassVar[str] = "gave no token log-probabilities"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return None if answer.mean_logprob is None else math.exp(min(0.0, answer.mean_logprob))


class MinLogprob(_OfAnswer):
    """Trust by the least likely token, as a probability: exp(min)."""

    kind: ClassVar[str] = "min_logprob"
    needs_logprobs: ClassVar[bool] = True
    missing: ClassVar[str] = "gave no token log-probabilities"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return None if answer.min_logprob is None else math.exp(min(0.0, answer.min_logprob))


class Confidence(_Stated):
    """Trust by the confidence that the model itself states (a classifier's probability)."""

    kind: ClassVar[str] = "confidence"
    missing: ClassVar[str] = "states no confidence"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return answer.confidence


class Agreement(_OfAnswer):
    """Trust by the winner's share of the votes of a nested ensemble.

    An ensemble that stops early counts the members it did not wait for as if they disagreed.
    """

    kind: ClassVar[str] = "agreement"
    missing: ClassVar[str] = "took no vote"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return answer.confidence if answer.votes else None
