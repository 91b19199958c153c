"""Compose: the candidates are parts of one answer; a model joins them, or they are put one after the other."""

from collections.abc import Iterator, Sequence
from typing import Literal

from partsong.contracts import Answer, Candidate, Failure, Name, Reply, Task
from partsong.merging.rule import MergeRule, Question
from partsong.merging.tally import NO_CANDIDATE

__all__ = ["Compose"]

_PROMPT = """A request was split, and its parts were worked on one by one. Compose their results into one answer to the whole request.

[Request]
{request}

{parts}

[Task]
{instruction}"""


class Compose(MergeRule):
    """One answer made of all parts in their order; a single part stands without a call."""

    kind = "compose"

    model: Name | None = None
    """The model or plan that writes; None puts the parts one after the other, a blank line between."""
    instruction: str = "Keep every result that was asked for, in the order of the request; add nothing and do not mention the splitting."
    """What the model is told to write."""
    otherwise: Literal["fail", "join"] = "fail"
    """What becomes of the row when the model fails: its failure, or the parts one after the other."""

    def asks(self) -> Iterator[Name]:
        """See MergeRule.asks."""
        if self.model is not None:
            yield self.model

    def questions(self, task: Task, candidates: Sequence[Candidate]) -> Sequence[Question]:
        """See MergeRule.questions."""
        if self.model is None or len(candidates) < 2:
            return ()
        parts = "\n\n".join(f"[Result {number}]\n{candidate.text}" for number, candidate in enumerate(candidates, 1))
        prompt = _PROMPT.format(request=task.text, parts=parts, instruction=self.instruction)
        asked = task.asking(prompt).model_copy(update={"answer_schema": task.answer_schema})
        return (Question(self.model, asked, "compose"),)

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        if not candidates:
            return NO_CANDIDATE
        if not replies:
            return _joined(candidates)
        reply = replies[0]
        if isinstance(reply, Failure) and self.otherwise == "join":
            return _joined(candidates, f"{self.model} failed ({reply.code}): the parts stand one after the other")
        return reply if isinstance(reply, Failure) else reply.model_copy(update={"candidates": tuple(candidates)})


def _joined(candidates: Sequence[Candidate], stopped: str = "") -> Answer:
    only = candidates[0] if len(candidates) == 1 else None
    return Answer(
        text="\n\n".join(c.text for c in candidates),
        value=only.value if only else None,
        source=only.source if only else "",
        candidates=tuple(candidates),
        stopped=stopped,
    )
