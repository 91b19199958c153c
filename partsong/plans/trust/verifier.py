"""Verifier: trust by another model's yes or no."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from partsong.contracts import Failure, Name
from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict, at_least, unmeasured
from partsong.prompts import PromptTemplate, sees

__all__ = ["Verifier"]

_VERIFY = PromptTemplate.of(
    "Question:\n{{ task }}\n\nProposed answer:\n{{ answer }}\n\nIs the proposed answer correct? Reply with one word, yes or no."
)


class Verifier(TrustRule):
    """Trust by a verifier model that says yes or no."""

    kind: ClassVar[str] = "verifier"
    bare: ClassVar[str] = "model"

    model: Name
    """The model or plan that verifies."""
    prompt: Annotated[PromptTemplate, sees("task", "answer", "metadata")] = _VERIFY
    """Sees `task` and `answer`; asks for yes or no."""
    threshold: Threshold = 0.5
    """Needed probability of yes, where the verifier tells log-probabilities; else yes counts 1 and no 0."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        question = self.prompt.render(task=asked.task.text, answer=asked.answer.text, metadata=asked.task.metadata)
        if isinstance(question, Failure):
            return unmeasured(question.message)
        task = asked.task.asking(question)
        sampling = task.sampling.model_copy(update={"logprobs": True, "temperature": 0.0})
        reply = await asked.port.ask(self.model, task.model_copy(update={"sampling": sampling}), asked.step / self.model)
        if isinstance(reply, Failure):
            return unmeasured(f"verifier {self.model} failed: {reply.code}")
        said = _yes_or_no(reply.text)
        if said is None:
            return unmeasured(f"verifier {self.model} said neither yes nor no")
        sure = 1.0 if reply.mean_logprob is None else math.exp(min(0.0, reply.mean_logprob))
        verdict = at_least(f"verifier {self.model} says {'yes' if said else 'no'}:", sure if said else 1.0 - sure, self.threshold)
        return verdict if said else Verdict(trusted=False, confidence=verdict.confidence, reason=f"verifier {self.model} says no")

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        yield self.model


def _yes_or_no(text: str) -> bool | None:
    """Return what the first yes or no of the text says."""
    found = re.search(r"\b(yes|no)\b", text, re.IGNORECASE)
    return None if found is None else found[1].lower() == "yes"
