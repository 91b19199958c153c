"""Attributes: how spans name what they tell; GenAI semantic conventions where there is a name, `partsong.*` where there is none."""

import json
from collections.abc import Iterable

from partsong.contracts import Answer, Call, Completion, Failure, Part, Task, TextPart, TierOutcome, ToolCall
from partsong.contracts.task import CodePart

__all__ = [
    "HOST",
    "NODE_ID",
    "SCHEMA_URL",
    "SEMANTIC_CONVENTIONS",
    "Attribute",
    "call_attributes",
    "failure_attributes",
    "provider_name",
    "reply_attributes",
    "settled_attributes",
]

SEMANTIC_CONVENTIONS = "1.41.1"
"""Version of OpenTelemetry's semantic conventions whose GenAI names we use: the last before they moved to a repository of their own."""

SCHEMA_URL = f"https://opentelemetry.io/schemas/{SEMANTIC_CONVENTIONS}"

Attribute = str | bool | int | float | tuple[str, ...]

HOST = "host.name"
"""Of the process: its host."""

NODE_ID = "partsong.node.id"
"""Of the process: Ray's id of its node; hosts may have one name."""

_CONTENT_LIMIT_CHARS = 32_000
"""A span holds no more of a prompt or reply than this."""

_PROVIDERS = {"gemini": "gcp.gemini", "local": "llama.cpp"}
"""Where the conventions' name of a provider is not the adapter's."""


def provider_name(adapter: str) -> str:
    """Return the conventions' name of the provider behind an adapter."""
    return _PROVIDERS.get(adapter, adapter)


def call_attributes(name: str, model: str, adapter: str, call: Call, *, content: bool) -> dict[str, Attribute]:
    """Return what a model is asked: `name` in the mesh file, `model` by the provider's name."""
    sampling = call.task.sampling
    wanted: dict[str, Attribute | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_name(adapter),
        "gen_ai.request.model": model,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.stop_sequences": sampling.stop or None,
        "gen_ai.output.type": "json" if call.task.answer_schema is not None else None,
        "gen_ai.input.messages": _input_messages(call.task) if content else None,
        "partsong.model": name,
        "partsong.step": call.step,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def reply_attributes(reply: Completion, *, content: bool) -> dict[str, Attribute | None]:
    """Return what a model's call brought back and took."""
    usage, timing = reply.usage, reply.timing
    return {
        "gen_ai.response.model": reply.model,
        "gen_ai.response.finish_reasons": (reply.finish_reason,),
        "gen_ai.response.time_to_first_chunk": timing.first_token_s,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "gen_ai.output.messages": _output_messages(reply) if content else None,
        "partsong.cost_usd": reply.cost_usd,
        "partsong.cpu_s": timing.cpu_s or None,
    }


def settled_attributes(answer: Answer, *, content: bool) -> dict[str, Attribute | None]:
    """Return what a plan, a merge or a row came to."""
    return {
        "partsong.source": answer.source or None,
        "partsong.confidence": answer.confidence,
        "partsong.stopped": answer.stopped or None,
        "partsong.escalations": answer.escalations if answer.tiers else None,
        "partsong.tiers": tuple(_tier(tier, content=content) for tier in answer.tiers) or None,
        "partsong.route": f"{answer.route.use}: {answer.route.in_words}" if answer.route else None,
        "partsong.cost_usd": answer.cost_usd if answer.bill else None,
        "partsong.answer": answer.text[:_CONTENT_LIMIT_CHARS] if content else None,
    }


def failure_attributes(failure: Failure) -> dict[str, Attribute | None]:
    """Return why there is no answer."""
    return {
        "error.type": str(failure.code),
        "http.response.status_code": failure.status,
        "partsong.retryable": failure.retryable,
        "partsong.cost_usd": failure.cost_usd or None,
    }


def _tier(tier: TierOutcome, *, content: bool) -> str:
    """Return what one tier or step came to; its reason may quote an answer."""
    confidence = "-" if tier.confidence is None else f"{tier.confidence:.2f}"
    return f"{tier.source} {confidence}: {tier.reason}" if content else f"{tier.source} {confidence}"


def _input_messages(task: Task) -> str:
    return _json({"role": message.role, "parts": [*_parts(message.parts), *_tool_calls(message.tool_calls)]} for message in task.messages)


def _output_messages(reply: Completion) -> str:
    parts = [{"type": "text", "content": reply.text}, *_tool_calls(reply.tool_calls)]
    return _json([{"role": "assistant", "parts": parts, "finish_reason": reply.finish_reason}])


def _parts(parts: Iterable[Part]) -> list[dict[str, str]]:
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, str]:
    if isinstance(part, TextPart):
        return {"type": "text", "content": part.text}
    if isinstance(part, CodePart):
        return {"type": "text", "content": part.code}
    return {"type": part.type, "mime_type": part.media_type}  # bytes of images and sounds stay out of traces


def _tool_calls(calls: Iterable[ToolCall]) -> list[dict[str, str]]:
    return [{"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]


def _json(messages: Iterable[dict[str, object]]) -> str:
    return json.dumps(list(messages), ensure_ascii=False)[:_CONTENT_LIMIT_CHARS]
