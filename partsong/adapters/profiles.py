"""Profiles: what a model can do, as rows matched by the provider's name of it; a quirk is a row, never an `if` on a name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import PositiveInt

from partsong.contracts import Frozen, PartType, Sampling

__all__ = ["ANTHROPIC", "GEMINI", "OPENAI", "Profile", "ProfileRow", "profile_of"]


class Profile(Frozen):
    """What a model can do."""

    context_tokens: PositiveInt | None = None
    """Longest prompt and reply together."""
    max_output_tokens: PositiveInt | None = None
    """Longest reply."""
    default_output_tokens: PositiveInt = 8_192
    """Asked for where the protocol demands a limit and the task gives none."""
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
    """Whether it takes `top_p`, or takes it only where no temperature is asked for; left out otherwise."""
    seed: bool = True
    """Whether it takes `seed`; left out otherwise."""
    stop: bool = True
    """Whether it takes stop sequences; left out otherwise."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the request calls the limit of output tokens."""
    thought_signature: str = ""
    """What stands for the signature of a tool call whose own was not kept; empty where none is asked for."""

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


_READS: tuple[PartType, ...] = ("text", "code")
_SEES: tuple[PartType, ...] = (*_READS, "image", "file")
_HEARS: tuple[PartType, ...] = (*_SEES, "audio")


def _reasoner(context_tokens: int, max_output_tokens: int) -> Profile:
    """Return OpenAI's profile of models that reason first: they draw as they always do, and count their thoughts in the limit."""
    return Profile(
        context_tokens=context_tokens,
        max_output_tokens=max_output_tokens,
        accepts=_SEES,
        temperature=False,
        top_p="no",
        logprobs=False,
        stop=False,
        max_tokens_field="max_completion_tokens",
    )


def _openai(context_tokens: int, max_output_tokens: int, json_schema: Literal["native", "object", "none"] = "native") -> Profile:
    accepts = _READS if json_schema == "none" else _SEES
    return Profile(context_tokens=context_tokens, max_output_tokens=max_output_tokens, accepts=accepts, json_schema=json_schema)


OPENAI: Sequence[ProfileRow] = (
    ProfileRow(r"gpt-5.*-chat.*", _openai(128_000, 16_384).model_copy(update={"max_tokens_field": "max_completion_tokens"})),
    ProfileRow(r"gpt-[5-9].*", _reasoner(400_000, 128_000)),
    ProfileRow(r"o[1-9](-.*)?", _reasoner(200_000, 100_000)),
    ProfileRow(r"gpt-4\.1.*", _openai(1_047_576, 32_768)),
    ProfileRow(r"gpt-(audio|4o(-mini)?-audio).*", Profile(accepts=(*_READS, "audio"), json_schema="none", logprobs=False)),
    ProfileRow(r"gpt-4o-2024-05-13", _openai(128_000, 4_096, "object")),
    ProfileRow(r"(chat)?gpt-4o.*", _openai(128_000, 16_384)),
    ProfileRow(r"gpt-4-turbo.*", _openai(128_000, 4_096, "object")),
    ProfileRow(r"gpt-4.*", _openai(8_192, 8_192, "none")),
    ProfileRow(r"gpt-3\.5-turbo.*", _openai(16_385, 4_096, "object").model_copy(update={"accepts": _READS})),
    ProfileRow(r".*", Profile()),
)
"""OpenAI's models (developers.openai.com/api/docs/models); any other OpenAI-compatible server's take what the last row says."""


def _claude(max_output_tokens: int, **quirks: Any) -> Profile:
    fields = {"context_tokens": 200_000, "accepts": _SEES, "logprobs": False, "seed": False}
    defaults = {"default_output_tokens": min(8_192, max_output_tokens)}
    return Profile.model_validate(fields | defaults | {"max_output_tokens": max_output_tokens} | quirks)


ANTHROPIC: Sequence[ProfileRow] = (
    ProfileRow(r"claude-3-(haiku|opus|sonnet).*", _claude(4_096, json_schema="tool")),
    ProfileRow(r"claude-3-5.*", _claude(8_192, json_schema="tool")),
    ProfileRow(r"claude-3-7.*", _claude(64_000, json_schema="tool")),
    ProfileRow(r"claude-opus-4-1.*", _claude(32_000, json_schema="tool", top_p="without-temperature")),
    ProfileRow(r"claude-opus-4-(0|2025.*)", _claude(32_000, json_schema="tool")),
    ProfileRow(r"claude-sonnet-4-(0|2025.*)", _claude(64_000, json_schema="tool")),
    ProfileRow(r"claude-(opus|sonnet|haiku)-4-[56].*", _claude(64_000, top_p="without-temperature")),
    ProfileRow(r".*", _claude(64_000, temperature=False, top_p="no")),
)
"""Anthropic's models (platform.claude.com/docs/en/about-claude/models); since Opus 4.7 they refuse temperature and top_p."""

_GEMINI_3 = {"thought_signature": "skip_thought_signature_validator"}

GEMINI: Sequence[ProfileRow] = (
    ProfileRow(
        r"(models/)?gemma.*",
        Profile(
            context_tokens=131_072, max_output_tokens=8_192, accepts=(*_READS, "image"), logprobs=False, json_schema="none", tools=False
        ),
    ),
    ProfileRow(r"(models/)?gemini-2\.0.*", Profile(context_tokens=1_048_576, max_output_tokens=8_192, accepts=_HEARS)),
    ProfileRow(r"(models/)?gemini-2\.5.*", Profile(context_tokens=1_048_576, max_output_tokens=65_536, accepts=_HEARS)),
    ProfileRow(r".*", Profile(context_tokens=1_048_576, max_output_tokens=65_536, accepts=_HEARS, **_GEMINI_3)),
)
"""Google's models (ai.google.dev/gemini-api/docs/models)."""
