"""Samples: trust by self-consistency, the model's own further answers."""

from collections.abc import Iterator
from itertools import repeat
from typing import Annotated, ClassVar

from pydantic import Field

from partsong.contracts import Answer, Failure, Name, Task
from partsong.merging import MergeField
from partsong.merging.majority import Majority
from partsong.plans.together import together
from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict, at_least, unmeasured

__all__ = ["Samples"]


class Samples(TrustRule):
    """Trust by self-consistency (arXiv 2203.11171): the same model is asked k - 1 more times; the majority's answer is taken."""

    kind: ClassVar[str] = "samples"
    bare: ClassVar[str] = "k"

    k: Annotated[int, Field(ge=2, le=64)] = 3
    """Samples altogether, the tier's own answer included."""
    agreement: Threshold = 0.67
    """Share of the samples that must agree."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """Of the further samples."""
    merge: MergeField = Majority()
    """How the samples are counted."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        further = await together(
            asked.port.ask(asked.name, self._sample(asked.task, number), asked.step / number) for number in range(1, self.k)
        )
        answers = [asked.answer, *(reply for reply in further if isinstance(reply, Answer))]
        if len(answers) == 1:
            return unmeasured(f"none of {self.k - 1} further samples was answered")
        merged = await asked.port.merge(
            self.merge.on(asked.task), asked.task, [answer.candidate() for answer in answers], asked.step / "merge"
        )
        if isinstance(merged, Failure):
            return unmeasured(f"the samples could not be merged: {merged.code}")
        share = max(merged.votes.values()) / self.k if merged.votes else 0.0
        verdict = at_least(f"agreement of {self.k} samples", share, self.agreement)
        return Verdict(verdict.trusted, verdict.confidence, verdict.reason, answer=_sampled(asked.answer, merged, answers))

    def _sample(self, task: Task, number: int) -> Task:
        sampling = task.sampling.model_copy(update={"temperature": self.temperature, "sample": task.sampling.sample + number})
        return task.model_copy(update={"sampling": sampling})

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        return self.merge.asks()

    def most_asks(self, name: Name) -> Iterator[Name]:
        """See TrustRule.most_asks."""
        yield from repeat(name, self.k - 1)
        yield from self.merge.most_asks(self.k)


def _sampled(first: Answer, merged: Answer, answers: list[Answer]) -> Answer:
    """Return the sample that won, with the vote it won by."""
    winner = next((answer for answer in answers if answer.text == merged.text), merged)
    return winner.model_copy(update={"source": first.source, "candidates": merged.candidates, "votes": merged.votes})
