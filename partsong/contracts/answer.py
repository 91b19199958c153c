"""An answer: what a plan makes of its models' completions, with its path and its bill."""

from pydantic import JsonValue

from partsong.contracts.bill import BillLine
from partsong.contracts.completion import Completion, FinishReason
from partsong.contracts.failure import Failure
from partsong.contracts.frozen import Frozen, Seconds
from partsong.contracts.route import Route
from partsong.contracts.task import ToolCall

__all__ = ["Answer", "Candidate", "Reply", "TierOutcome"]


class Candidate(Frozen):
    """One answer among several, as merging sees it."""

    source: str
    """The model or plan it came from."""
    text: str
    value: JsonValue = None
    """Structured answer, when there is one."""
    confidence: float | None = None
    weight: float = 1.0
    vote: str | None = None
    """The answer as it was counted (normalised); None when it could not be read as a vote."""


class TierOutcome(Frozen):
    """What one tier of a cascade came to."""

    source: str
    confidence: float | None = None
    """In [0, 1]: what the trust rule measured; None when the tier failed or has no rule."""
    trusted: bool
    reason: str
    """In words: `logprob 0.91 >= 0.85`, `failed: timeout`, `last tier`."""


class Answer(Frozen):
    """What a plan answers."""

    text: str
    value: JsonValue = None
    """The parsed answer, when the task carries a JSON Schema."""
    source: str = ""
    """The model or plan whose text this is."""
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    confidence: float | None = None
    """In [0, 1], as the plan's own rule measured it; not calibrated."""
    mean_logprob: float | None = None
    min_logprob: float | None = None
    candidates: tuple[Candidate, ...] = ()
    votes: dict[str, float] = {}
    """Weight by normalised answer."""
    tiers: tuple[TierOutcome, ...] = ()
    fallback_for: str = ""
    """The model that was asked first, when this is the answer of its fallback."""
    begun_again: bool = False
    """Whether text of another model had been streamed before, which this answer replaces."""
    stopped: str = ""
    """Why the plan stopped where it did, in words."""
    route: Route | None = None
    bill: tuple[BillLine, ...] = ()
    latency_s: Seconds = 0.0
    trace_id: str = ""

    @property
    def escalations(self) -> int:
        """Tiers climbed before the one that answered."""
        return max(0, len(self.tiers) - 1)

    @property
    def cost_usd(self) -> float:
        """Sum of the bill; what came from journal or cache counts what it cost when it was paid."""
        return sum(line.cost_usd for line in self.bill)

    @classmethod
    def of(cls, source: str, completion: Completion) -> "Answer":
        """Return the answer that one completion is by itself."""
        logprobs = completion.logprobs
        return cls(
            text=completion.text,
            source=source,
            finish_reason=completion.finish_reason,
            tool_calls=completion.tool_calls,
            confidence=completion.confidence,
            mean_logprob=None if logprobs is None else logprobs.mean,
            min_logprob=None if logprobs is None else logprobs.minimum,
        )

    def candidate(self) -> Candidate:
        """Return this answer as merging sees it."""
        return Candidate(source=self.source, text=self.text, value=self.value, confidence=self.confidence)


Reply = Answer | Failure
"""What asking a model or a plan comes to."""
