"""Forecast: what a call of a model may take at most, before it is made; it learns from what calls took."""

from partsong.contracts import CodePart, Price, Task, TextPart, Usage
from partsong.pool.meter import Amounts

__all__ = ["ASSUMED_COMPLETION_TOKENS", "Forecast", "assumed_usage"]

_CHARACTERS_A_TOKEN = 4
ASSUMED_COMPLETION_TOKENS = 1024
"""Assumed where a row sets no `max_tokens`."""
_SHORT = 200
"""Below so many assumed tokens, what a prompt has beyond them tells of what is added to every prompt (a chat template, instructions of the
provider's own); of the text's own tokens only a longer prompt tells."""
_TOKENS_A_PART = 1600
"""Of an image, a sound or a file; the largest that a vendor's documents name for an image at its usual size."""


def assumed_usage(task: Task) -> Usage:
    """Return what a call is thought to take at most when nothing is known of the model: four characters a prompt token."""
    return _estimate(_assumed_prompt_tokens(task), task.sampling.max_tokens or ASSUMED_COMPLETION_TOKENS)


def _assumed_prompt_tokens(task: Task) -> int:
    characters = others = 0
    for message in task.messages:
        for part in message.parts:
            match part:
                case TextPart(text=said) | CodePart(code=said):
                    characters += len(said) + 1
                case _:
                    others += 1
        characters -= 1
    return max(0, characters) // _CHARACTERS_A_TOKEN + 1 + _TOKENS_A_PART * others


def _estimate(prompt_tokens: int, completion_tokens: int) -> Usage:
    """Return a usage of counts that need no validation: one a call is made."""
    return Usage.model_construct(
        prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cached_tokens=0, reasoning_tokens=0, estimated=True
    )


class Forecast:
    """One model's. What has been seen once may come again, so nothing is forgotten.

    A prompt is thought to have what is added to every prompt, which short prompts tell, and a multiple of its assumed tokens, which
    longer ones tell: a template of 25 tokens around a greeting of one does not make every prompt 25 times as long.
    """

    def __init__(self, price: Price | None) -> None:
        self._price = price
        self._prompt_ratio = 1.0
        self._prompt_added = 0
        self._longest_reply = ASSUMED_COMPLETION_TOKENS

    def worst(self, task: Task) -> Usage:
        """Return what the call may take at most."""
        prompt_tokens = _assumed_prompt_tokens(task)
        if self._prompt_ratio != 1.0:
            prompt_tokens = int(prompt_tokens * self._prompt_ratio) + 1
        return _estimate(prompt_tokens + self._prompt_added, task.sampling.max_tokens or self._longest_reply)

    def usd(self, usage: Usage) -> float:
        """Return US dollars for the usage."""
        return self._price.cost_usd(usage) if self._price else 0.0

    def amounts(self, usage: Usage) -> Amounts:
        """Return one call of this usage as amounts."""
        return Amounts(1.0, usage.prompt_tokens, usage.completion_tokens, self.usd(usage))

    def saw(self, task: Task, usage: Usage) -> None:
        """Learn from what a call took."""
        if usage.estimated:
            return
        if not task.sampling.max_tokens and usage.completion_tokens > self._longest_reply:
            self._longest_reply = usage.completion_tokens
        assumed = _assumed_prompt_tokens(task)
        if assumed < _SHORT:
            self._prompt_added = max(self._prompt_added, usage.prompt_tokens - assumed)
        else:
            self._prompt_ratio = max(self._prompt_ratio, (usage.prompt_tokens - self._prompt_added) / assumed)
