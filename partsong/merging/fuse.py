"""Fuse: a model reads all candidates and writes one better answer (generative fusion of LLM-Blender, arXiv 2306.02561)."""

from collections.abc import Iterator, Sequence
from typing import Literal

from partsong.contracts import Answer, Candidate, Failure, Name, Reply, Task
from partsong.merging.rule import MergeRule, Question
from partsong.merging.tally import NO_CANDIDATE

__all__ = ["Fuse"]

_PROMPT = """Several assistants answered the same request. Write the one best answer to it: keep what is right, drop what is wrong or \
contradicted, and do not mention the assistants or their answers.

[Request]
{request}

{answers}

[Task]
{instruction}"""


class Fuse(MergeRule):
    """One answer written by a model that has read them all; a single candidate, or several with the same text, stands without a call."""

    kind = "fuse"

    model: Name
    """The model or plan that writes."""
    instruction: str = "Reply with the final answer to the request alone."
    """What the model is told to write."""
    otherwise: Literal["fail", "first"] = "fail"
    """What becomes of the row when the model fails: its failure, or the first candidate."""

    def asks(self) -> Iterator[Name]:
        """See MergeRule.asks."""
        yield self.model

    def questions(self, task: Task, candidates: Sequence[Candidate]) -> Sequence[Question]:
        """See MergeRule.questions."""
        if len({c.text for c in candidates}) < 2:
            return ()
        answers = "\n\n".join(f"[Answer {number}]\n{candidate.text}" for number, candidate in enumerate(candidates, 1))
        prompt = _PROMPT.format(request=task.text, answers=answers, instruction=self.instruction)
        asked = task.asking(prompt).model_copy(update={"answer_schema": task.answer_schema})
        return (Question(self.model, asked, "fuse"),)

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        if not candidates:
            return NO_CANDIDATE
        first = candidates[0]
        alone = Answer(text=first.text, value=first.value, source=first.source, confidence=first.confidence, candidates=tuple(candidates))
        if not replies:
            return alone
        reply = replies[0]
        if isinstance(reply, Failure) and self.otherwise == "first":
            return alone.model_copy(update={"stopped": f"{self.model} failed ({reply.code}): the first candidate stands"})
        return reply if isinstance(reply, Failure) else reply.model_copy(update={"candidates": tuple(candidates)})
