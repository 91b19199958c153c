"""Profiles: what a model can do, as rows matched by the provider's name of it; a quirk is a row, never an `if` on a name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveInt

from partsong.contracts import Frozen, PartType, Sampling

__all__ = ["ANTHROPIC", "GEMINI", "OPENAI", "Profile", "ProfileRow", "profile_of"]


class Profile(Frozen):
    """What a model can do."""

    context_tokens: PositiveInt | None = None
    """Longest prompt and reply together."""
    max_output_tokens: PositiveInt | None = None
    """Longest reply."""
    accepts: tuple[PartType, ...] = ("text", "code")
    """Part types it takes, unless the mesh file says otherwise."""
    tools: bool = True
    """Whether it takes tools; offered to one that does not, the call is refused before it is made."""
    logprobs: bool = True
    """Whether it gives log-probabilities; one that does not is not asked for them."""
    json_schema: Literal["native", "tool", "object", "none"] = "native"
    """How an answer is held to a schema: by the provider, by a forced tool, to any JSON object, not at all.
    Answers are validated in any case."""
    temperature: bool = True
    """Whether it takes `temperature`; one that does not draws as it always does."""
    top_p: Literal["yes", "no", "without-temperature"] = "yes"
    seed: bool = True
    stop: bool = True
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def allowed_top_p(self, sampling: Sampling) -> float | None:
        """Return `top_p` where the model takes it beside the temperature that is asked for."""
        if self.top_p == "no" or (self.top_p == "without-temperature" and sampling.temperature is not None):
            return None
        return sampling.top_p


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """The profile of the models whose whole name matches."""

    pattern: str
    profile: Profile


def profile_of(model: str, rows: Sequence[ProfileRow]) -> Profile:
    """Return the first matching row's profile; the last row matches all."""
    return next(row.profile for row in rows if re.fullmatch(row.pattern, model))


_SEES: tuple[PartType, ...] = ("text", "code", "image", "file")
_REASONS = {"temperature": False, "top_p": "no", "logprobs": False, "stop": False, "max_tokens_field": "max_completion_tokens"}

OPENAI: Sequence[ProfileRow] = (
    ProfileRow(r"gpt-5.*", Profile(context_tokens=400_000, max_output_tokens=128_000, accepts=_SEES, **_REASONS)),
    ProfileRow(r"o[134].*", Profile(context_tokens=200_000, max_output_tokens=100_000, accepts=_SEES, **_REASONS)),
    ProfileRow(r"gpt-4\.1.*", Profile(context_tokens=1_047_576, max_output_tokens=32_768, accepts=_SEES)),
    ProfileRow(r"gpt-(audio|4o(-mini)?-audio).*", Profile(accepts=("text", "code", "audio"), json_schema="none", logprobs=False)),
    ProfileRow(r"gpt-4o-2024-05-13", Profile(context_tokens=128_000, max_output_tokens=4_096, accepts=_SEES, json_schema="object")),
    ProfileRow(r"(gpt-4o|chatgpt-4o).*", Profile(context_tokens=128_000, max_output_tokens=16_384, accepts=_SEES)),
    ProfileRow(
        r"gpt-4-turbo.*", Profile(context_tokens=128_000, max_output_tokens=4_096, accepts=("text", "code", "image"), json_schema="object")
    ),
    ProfileRow(r"gpt-4.*", Profile(context_tokens=8_192, max_output_tokens=8_192, json_schema="none")),
    ProfileRow(r"gpt-3\.5-turbo.*", Profile(context_tokens=16_385, max_output_tokens=4_096, json_schema="object")),
    ProfileRow(r".*", Profile()),
)
"""OpenAI's models; any other OpenAI-compatible server's take what the last row says."""

ANTHROPIC: Sequence[ProfileRow] = ()
GEMINI: Sequence[ProfileRow] = ()
