"""Weighted vote: a member's vote counts by its weight, given as such or worked out of its accuracy."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat, model_validator

from partsong.contracts import Candidate, Name, Reply
from partsong.evaluation.reading import KindField, Label
from partsong.merging.rule import MergeRule
from partsong.merging.tally import decided, elected

__all__ = ["Weighted"]

_Accuracy = Annotated[float, Field(gt=0.0, lt=1.0)]


class Weighted(MergeRule):
    """The answer with the most weight; of several, the one whose first voter stands earliest among the members.

    Of members that err independently, log-odds of their accuracies are the weights that decide best (Nitzan & Paroush 1982; Shapley &
    Grofman 1984); with more than two options a wrong vote is spread over the others, which adds `log(options - 1)`.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind = "weighted"

    weights: dict[Name, NonNegativeFloat] = {}
    """Weight by member, times the weight its ensemble gives it; one that is not named weighs 1."""
    accuracy: dict[Name, _Accuracy] = {}
    """Share of right answers by member, in place of weights; one not named counts as the least accurate, one worse than chance as 0."""
    options: Annotated[int, Field(ge=2)] = 2
    """How many answers a question has, for weights from accuracies."""
    answer_kind: KindField = Field(default=Label(), alias="kind")
    """What sort of answer is counted: exact, label, letter, number, json or text."""

    @model_validator(mode="after")
    def _one(self) -> "Weighted":
        if self.weights and self.accuracy:
            raise ValueError("give weights or accuracy, not both")
        return self

    def members(self) -> Iterator[Name]:
        """See MergeRule.members."""
        yield from self.weights
        yield from self.accuracy

    def weight(self, source: str) -> float:
        """See MergeRule.weight."""
        if not self.accuracy:
            return self.weights.get(source, 1.0)
        right = self.accuracy.get(source, min(self.accuracy.values()))
        return max(0.0, log((self.options - 1) * right / (1.0 - right)))

    def decided(self, candidates: Sequence[Candidate], missing: Sequence[float]) -> bool:
        """See MergeRule.decided."""
        return decided(self._weighed(candidates), missing, self.answer_kind)

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        return elected(self._weighed(candidates), self.answer_kind)

    def _weighed(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [c.model_copy(update={"weight": max(0.0, c.weight) * self.weight(c.source)}) for c in candidates]
