"""Weighted vote: a member's vote counts by its weight, given as such or worked out of its accuracy."""

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Annotated, Protocol

from pydantic import ConfigDict, Field, NonNegativeFloat, PrivateAttr, ValidationInfo, model_validator

from partsong.contracts import Candidate, Name, Reply, Task
from partsong.contracts.known import known
from partsong.evaluation.reading import KindField, Label
from partsong.merging.rule import MergeRule
from partsong.merging.tally import decided, elected

__all__ = ["Weighted"]

_Accuracy = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Weighing(Protocol):
    """What knows weights by kind of task."""

    def weights(self, task: Task) -> Mapping[str, float]: ...


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
    learned: bool = False
    """In place of both, weights as they were learned (the mesh file's `learned`): those of the kind of task that the row's metadata
    name (`kind`, or as it was learned by), else those over all kinds; a member of which nothing was learned weighs 1."""
    options: Annotated[int, Field(ge=2)] = 2
    """How many answers a question has, for weights from accuracies."""
    answer_kind: KindField = Field(default=Label(), alias="kind")
    """What sort of answer is counted: exact, label, letter, number, json or text."""
    _knows: _Weighing | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one(self, info: ValidationInfo) -> "Weighted":
        if bool(self.weights) + bool(self.accuracy) + self.learned > 1:
            raise ValueError("give one of weights, accuracy and learned")
        if self.learned:
            self._knows = known(info, "`learned: true`")
        return self

    def on(self, task: Task) -> MergeRule:
        """See MergeRule.on."""
        if self._knows is None:
            return self
        return Weighted(weights=dict(self._knows.weights(task)), answer_kind=self.answer_kind)

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
