"""OpenAI: chat completions, as OpenAI and every compatible server speak them (platform.openai.com/docs/api-reference/chat)."""

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from partsong.adapters.complaint import Meaning
from partsong.adapters.draft import Draft, count
from partsong.adapters.http import Ask, BaseUrl, HttpAdapter, HttpSpec, MalformedReplyError, UnsupportedError
from partsong.adapters.profiles import OPENAI, ProfileRow
from partsong.adapters.schema import as_object, in_words, is_strict
from partsong.adapters.sse import ServerEvent
from partsong.contracts import (
    AudioPart,
    CodePart,
    FailureCode,
    FilePart,
    FinishReason,
    ImagePart,
    Message,
    ModelSpec,
    Part,
    Task,
    TextPart,
    Usage,
)

__all__ = ["OpenAIAdapter", "OpenAISpec"]

_DONE = "[DONE]"
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class OpenAISpec(HttpSpec):
    """A model of OpenAI, or of any server that speaks chat completions (vLLM, llama.cpp, Ollama, OpenRouter, ...)."""

    profiles: ClassVar[Sequence[ProfileRow]] = OPENAI

    adapter: Literal["openai"]
    base_url: BaseUrl = "https://api.openai.com/v1"
    """Address of the API, version included."""


class OpenAIAdapter(HttpAdapter):
    """Speaks chat completions."""

    kind: ClassVar[str] = "openai"
    Spec: ClassVar[type[ModelSpec]] = OpenAISpec
    errors = {
        "insufficient_quota": Meaning(FailureCode.RATE_LIMITED),  # the account is out of money: waiting does not help
        "rate_limit_exceeded": Meaning(FailureCode.RATE_LIMITED, retryable=True),
        "context_length_exceeded": Meaning(FailureCode.TOO_LARGE),
        "string_above_max_length": Meaning(FailureCode.TOO_LARGE),
        "content_filter": Meaning(FailureCode.CONTENT_FILTER),
        "content_policy_violation": Meaning(FailureCode.CONTENT_FILTER),
        "model_not_found": Meaning(FailureCode.NOT_FOUND),
        "invalid_api_key": Meaning(FailureCode.AUTH),
    }

    def ask(self, task: Task, stream: bool) -> Ask:
        """Return the request of a chat completion."""
        able, sampling = self.profile, task.sampling
        format_, unwrap = self._format(task)
        messages = in_words(task) if task.answer_schema is not None and able.json_schema != "native" else task.messages
        fields: dict[str, Any] = {
            "model": self._spec.model,
            "messages": [_message(message) for message in messages],
            "temperature": sampling.temperature if able.temperature else None,
            "top_p": able.allowed_top_p(sampling),
            able.max_tokens_field: sampling.max_tokens,
            "seed": None if sampling.seed is None or not able.seed else sampling.seed + sampling.sample,
            "stop": list(sampling.stop) or None if able.stop else None,
            "logprobs": True if sampling.logprobs and able.logprobs else None,
            "tools": [{"type": "function", "function": tool.model_dump()} for tool in task.tools] or None,
            "response_format": format_,
        }
        if stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        return Ask("/chat/completions", {name: value for name, value in fields.items() if value is not None}, unwrap)

    def _format(self, task: Task) -> tuple[dict[str, Any] | None, str | None]:
        if task.answer_schema is None or self.profile.json_schema in ("none", "tool"):
            return None, None
        if self.profile.json_schema == "object":
            return {"type": "json_object"}, None
        schema, unwrap = as_object(task.answer_schema)
        named: dict[str, Any] = {"name": "answer", "schema": schema} | ({"strict": True} if is_strict(schema) else {})
        return {"type": "json_schema", "json_schema": named}, unwrap

    def read(self, body: dict[str, Any], draft: Draft) -> None:
        """Read a chat completion."""
        if not body.get("choices"):
            raise MalformedReplyError("the reply holds no choices")
        _count(body, draft)
        _choice(body["choices"][0], "message", draft)

    def read_event(self, event: ServerEvent, draft: Draft) -> None:
        """Read a chunk; the last one with `include_usage` has no choices."""
        if event.data == _DONE:
            draft.ended = True
            return
        chunk = self.event_object(event)
        _count(chunk, draft)
        for choice in chunk.get("choices") or ():
            _choice(choice, "delta", draft)


def _choice(choice: dict[str, Any], said: str, draft: Draft) -> None:
    message = choice.get(said) or {}
    draft.say(message.get("content") or "")
    if message.get("refusal"):
        draft.withheld, draft.refused = "refusal", True
    for place, call in enumerate(message.get("tool_calls") or ()):
        ours, function = draft.tool_call(call.get("index", place)), call.get("function") or {}
        ours.id += call.get("id") or ""
        ours.name += function.get("name") or ""
        ours.arguments += function.get("arguments") or ""
    for token in (choice.get("logprobs") or {}).get("content") or ():
        draft.logprob(token["token"], token["logprob"])
    if reason := choice.get("finish_reason"):
        draft.finish = _FINISH.get(reason, "stop")
        if draft.finish == "content_filter":
            draft.withheld = reason


def _count(body: dict[str, Any], draft: Draft) -> None:
    draft.model = body.get("model") or draft.model
    if usage := body.get("usage"):
        draft.usage = Usage(
            prompt_tokens=count(usage, "prompt_tokens"),
            completion_tokens=count(usage, "completion_tokens"),
            cached_tokens=count(usage.get("prompt_tokens_details"), "cached_tokens"),
            reasoning_tokens=count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        )


def _message(message: Message) -> dict[str, Any]:
    only_text = all(isinstance(part, TextPart | CodePart) for part in message.parts)
    fields: dict[str, Any] = {"role": message.role, "content": message.text if only_text else [_part(part) for part in message.parts]}
    if message.tool_calls:
        fields["content"] = fields["content"] or None
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case CodePart():
            return {"type": "text", "text": part.code}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url or _data_url(part.media_type, part.data)}}
        case AudioPart():
            if part.media_type not in _SOUNDS:
                raise UnsupportedError(f"chat completions take sound as audio/wav or audio/mpeg, not {part.media_type}")
            sound = {"data": base64.b64encode(part.data).decode(), "format": _SOUNDS[part.media_type]}
            return {"type": "input_audio", "input_audio": sound}
        case FilePart():
            if part.data is None:
                raise UnsupportedError(f"chat completions take a file by its bytes, not by its address ({part.name})")
            return {"type": "file", "file": {"filename": part.name, "file_data": _data_url(part.media_type, part.data)}}


def _data_url(media_type: str, data: bytes | None) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data or b'').decode()}"
