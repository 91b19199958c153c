"""Majority: one candidate, one vote; the answer most of them give."""

from collections.abc import Sequence

from pydantic import ConfigDict, Field

from partsong.contracts import Candidate, Reply
from partsong.evaluation.reading import KindField, Label
from partsong.merging.rule import MergeRule
from partsong.merging.tally import decided, elected

__all__ = ["Majority"]


class Majority(MergeRule):
    """The answer that most candidates give; of several, the one whose first voter stands earliest among the members."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind = "majority"

    answer_kind: KindField = Field(default=Label(), alias="kind")
    """What sort of answer is counted: exact, label, letter, number, json or text."""

    def decided(self, candidates: Sequence[Candidate], missing: Sequence[float]) -> bool:
        """See MergeRule.decided."""
        return decided(_alike(candidates), [1.0] * len(missing), self.answer_kind)

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        return elected(_alike(candidates), self.answer_kind)


def _alike(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [c if c.weight == 1.0 else c.model_copy(update={"weight": 1.0}) for c in candidates]
