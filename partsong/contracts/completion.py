"""A completion: what one model call brought back, and what it took."""

from typing import Literal

from pydantic import NonNegativeInt

from partsong.contracts.frozen import Frozen, Seconds, Usd
from partsong.contracts.task import ToolCall

__all__ = ["Completion", "FinishReason", "Logprobs", "Timing", "Usage"]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Usage(Frozen):
    """Tokens of one call as the provider counts them."""

    prompt_tokens: NonNegativeInt = 0
    """All input tokens, cached ones included."""
    completion_tokens: NonNegativeInt = 0
    """All output tokens, reasoning included."""
    cached_tokens: NonNegativeInt = 0
    """Input tokens read from the provider's prompt cache."""
    reasoning_tokens: NonNegativeInt = 0
    """Output tokens spent on hidden reasoning."""
    estimated: bool = False
    """True when the provider named no usage and the counts are ours (4 characters a token)."""

    @property
    def total_tokens(self) -> int:
        """Input and output tokens."""
        return self.prompt_tokens + self.completion_tokens


class Logprobs(Frozen):
    """Natural log-probabilities of the generated tokens."""

    tokens: tuple[str, ...]
    values: tuple[float, ...]
    """One per token, at most 0."""

    @property
    def mean(self) -> float:
        """Mean over the tokens; 0 of no tokens."""
        return sum(self.values) / len(self.values) if self.values else 0.0

    @property
    def minimum(self) -> float:
        """The least likely token's; 0 of no tokens."""
        return min(self.values, default=0.0)


class Timing(Frozen):
    """Where the time of one call went."""

    total_s: Seconds
    """From the request's first byte to the reply's last, retries left out."""
    first_token_s: Seconds | None = None
    """Until the first token; None unless streamed."""
    cpu_s: Seconds = 0.0
    """Processor seconds spent on this machine by an embedded model; 0 for a remote one."""


class Completion(Frozen):
    """What one model call brought back."""

    text: str
    finish_reason: FinishReason = "stop"
    model: str
    """The provider's own name of what answered, with its version where told."""
    usage: Usage = Usage()
    cost_usd: Usd = 0.0
    """US dollars by the mesh file's price."""
    timing: Timing
    logprobs: Logprobs | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    confidence: float | None = None
    """In [0, 1], when the model states one itself (a classifier's probability); language models leave it None."""
