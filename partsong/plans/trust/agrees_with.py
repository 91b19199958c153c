"""Agrees with: trust by what other models answer."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from partsong.contracts import Answer, Candidate, Failure, Name
from partsong.merging import MergeField
from partsong.merging.majority import Majority
from partsong.plans.together import together
from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict, at_least, unmeasured

__all__ = ["AgreesWith"]


class AgreesWith(TrustRule):
    """Trust by agreement of cheap models: others are asked the same; the answer's share of all votes counts."""

    kind: ClassVar[str] = "agrees_with"
    bare: ClassVar[str] = "models"

    models: Annotated[
        tuple[Name, ...],
        Field(min_length=1),
        BeforeValidator(lambda given: (given,) if isinstance(given, str) else given, json_schema_input_type=Name | tuple[Name, ...]),
    ]
    """The models or plans asked beside the tier's own."""
    agreement: Threshold = 1.0
    """Share of all votes, the tier's own included, that must be for its answer."""
    merge: MergeField = Majority()
    """How answers are compared."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        replies = await together(asked.port.ask(name, asked.task, asked.step / f"{i}-{name}") for i, name in enumerate(self.models))
        others = [(name, reply) for name, reply in zip(self.models, replies, strict=True) if isinstance(reply, Answer)]
        if not others:
            return unmeasured(f"none of {', '.join(self.models)} answered")
        candidates = [asked.answer.candidate(), *(reply.candidate().model_copy(update={"source": name}) for name, reply in others)]
        merged = await asked.port.merge(self.merge.on(asked.task), asked.task, candidates, asked.step / "merge")
        if isinstance(merged, Failure) or not merged.candidates:
            return unmeasured("the answers could not be compared")
        share = _share_of_first(merged.candidates, 1 + len(self.models))
        return at_least(f"agreement with {', '.join(self.models)}", share, self.agreement)

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        yield from self.models
        yield from self.merge.asks()

    def most_asks(self, name: Name) -> Iterator[Name]:
        """See TrustRule.most_asks."""
        yield from self.models
        yield from self.merge.most_asks(1 + len(self.models))


def _share_of_first(counted: tuple[Candidate, ...], voters: int) -> float:
    vote = counted[0].vote
    return 0.0 if vote is None else sum(candidate.vote == vote for candidate in counted) / voters
