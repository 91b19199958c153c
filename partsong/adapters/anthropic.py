"""Anthropic: the messages API (platform.claude.com/docs/en/api/messages)."""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

from partsong.adapters.complaint import Meaning
from partsong.adapters.draft import Draft, count
from partsong.adapters.http import Ask, BaseUrl, HttpAdapter, HttpSpec, MalformedReplyError, UnsupportedError
from partsong.adapters.profiles import ANTHROPIC, ProfileRow
from partsong.adapters.schema import as_object, closed, in_words
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
    ToolCall,
    Usage,
)

__all__ = ["AnthropicAdapter", "AnthropicSpec"]

_ANSWER_TOOL = "structured_answer"
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicSpec(HttpSpec):
    """A model of Anthropic."""

    profiles: ClassVar[Sequence[ProfileRow]] = ANTHROPIC

    adapter: Literal["anthropic"]
    base_url: BaseUrl = "https://api.anthropic.com"
    """Address of the API, without the version."""


class AnthropicAdapter(HttpAdapter):
    """Speaks messages."""

    kind: ClassVar[str] = "anthropic"
    Spec: ClassVar[type[ModelSpec]] = AnthropicSpec
    key_header = ("x-api-key", "")
    extra_headers = {"anthropic-version": "2023-06-01"}
    errors = {
        "invalid_request_error": Meaning(FailureCode.BAD_REQUEST),
        "authentication_error": Meaning(FailureCode.AUTH),
        "billing_error": Meaning(FailureCode.FORBIDDEN),
        "permission_error": Meaning(FailureCode.FORBIDDEN),
        "not_found_error": Meaning(FailureCode.NOT_FOUND),
        "request_too_large": Meaning(FailureCode.TOO_LARGE),
        "rate_limit_error": Meaning(FailureCode.RATE_LIMITED, retryable=True),
        "timeout_error": Meaning(FailureCode.TIMEOUT, retryable=True),
        "api_error": Meaning(FailureCode.SERVER_ERROR, retryable=True),
        "overloaded_error": Meaning(FailureCode.OVERLOADED, retryable=True),
    }

    def ask(self, task: Task, stream: bool) -> Ask:
        """Return the request of a message."""
        able, sampling = self.profile, task.sampling
        shaped, unwrap, answer_tool = self._shape(task)
        wordy = task.answer_schema is not None and not shaped
        messages = in_words(task) if wordy else task.messages
        temperature = (
            None if sampling.temperature is None or not able.temperature else min(1.0, sampling.temperature)
        )  # its range ends at 1
        fields: dict[str, Any] = {
            "model": self._spec.model,
            "max_tokens": sampling.max_tokens or able.default_output_tokens,
            "system": "\n\n".join(message.text for message in messages if message.role == "system") or None,
            "messages": list(_turns(messages)),
            "temperature": temperature,
            "top_p": able.allowed_top_p(sampling),
            "stop_sequences": list(sampling.stop) or None if able.stop else None,
            "tools": [_tool(tool.name, tool.description, tool.parameters) for tool in task.tools] or None,
            "stream": stream or None,
        }
        if answer_tool is not None:
            fields["tools"] = [*(fields["tools"] or ()), shaped.pop("tool")]
        return Ask("/v1/messages", {name: value for name, value in (fields | shaped).items() if value is not None}, unwrap, answer_tool)

    def _shape(self, task: Task) -> tuple[dict[str, Any], str | None, str | None]:
        """Return the fields that hold the answer to its schema, what to unwrap, and the tool that stands for an answer."""
        if task.answer_schema is None or self.profile.json_schema not in ("native", "tool"):
            return {}, None, None
        if self.profile.json_schema == "native" and (schema := closed(task.answer_schema)) is not None:
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}, None, None
        schema, unwrap = as_object(task.answer_schema)
        choice = {"type": "any"} if task.tools else {"type": "tool", "name": _ANSWER_TOOL}
        return {"tool": _tool(_ANSWER_TOOL, "Give the final answer.", schema), "tool_choice": choice}, unwrap, _ANSWER_TOOL

    def read(self, body: dict[str, Any], draft: Draft) -> None:
        """Read a message."""
        _count(body, draft)
        if not isinstance(body.get("content"), list):
            raise MalformedReplyError("the reply holds no content")
        for place, block in enumerate(body["content"]):
            _begin(place, block, draft)
            if block["type"] == "tool_use":
                _arguments(place, json.dumps(block.get("input") or {}, ensure_ascii=False), draft)
        _stop(body, draft)

    def read_event(self, event: ServerEvent, draft: Draft) -> None:
        """Read an event; kinds that are not known are let pass, as the vendor asks."""
        body = self.event_object(event)
        match body.get("type"):
            case "message_start":
                _count(body["message"], draft)
            case "content_block_start":
                _begin(body["index"], body["content_block"], draft)
            case "content_block_delta":
                _delta(body["index"], body["delta"], draft)
            case "message_delta":
                _count(body, draft)
                _stop(body["delta"], draft)
            case "message_stop":
                draft.ended = True


def _begin(place: int, block: dict[str, Any], draft: Draft) -> None:
    if block["type"] == "text":
        draft.say(block.get("text") or "")
    elif block["type"] == "tool_use" and block["name"] != draft.answer_tool:
        call = draft.tool_call(place)
        call.id, call.name = block["id"], block["name"]


def _delta(place: int, delta: dict[str, Any], draft: Draft) -> None:
    if delta["type"] == "text_delta":
        draft.say(delta["text"])
    elif delta["type"] == "input_json_delta":
        _arguments(place, delta["partial_json"], draft)


def _arguments(place: int, text: str, draft: Draft) -> None:
    """Take a tool's arguments; those of a tool that was not begun as a call are the answer."""
    if place in draft.tool_calls:
        draft.tool_calls[place].arguments += text
    elif draft.answer_tool is not None:
        draft.say(text)


def _stop(body: dict[str, Any], draft: Draft) -> None:
    reason = body.get("stop_reason")
    if reason is None:
        return
    draft.finish = _FINISH.get(reason, "stop")
    if draft.finish == "tool_calls" and not draft.tool_calls:
        draft.finish = "stop"  # the answer's own tool
    if reason == "refusal":
        draft.withheld, draft.refused = reason, True


def _count(body: dict[str, Any], draft: Draft) -> None:
    draft.model = body.get("model") or draft.model
    draft.counts |= {name: value for name, value in (body.get("usage") or {}).items() if value is not None}
    if draft.counts:
        cached = count(draft.counts, "cache_read_input_tokens")
        draft.usage = Usage(
            prompt_tokens=count(draft.counts, "input_tokens") + count(draft.counts, "cache_creation_input_tokens") + cached,
            completion_tokens=count(draft.counts, "output_tokens"),
            cached_tokens=cached,
            reasoning_tokens=count(draft.counts.get("output_tokens_details"), "thinking_tokens"),
        )


def _tool(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    described = {"description": description} if description else {}
    return {"name": name, **described, "input_schema": {"type": "object"} | parameters}


def _turns(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Yield the turns; results of several tool calls stand together in one, as the vendor demands."""
    results: list[dict[str, Any]] = []
    for message in messages:
        if results and message.role != "tool":
            yield {"role": "user", "content": results}
            results = []
        if message.role == "tool":
            results.append({"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": _content(message)})
        elif message.role != "system":
            content = _content(message)
            if message.tool_calls:
                said = [{"type": "text", "text": content}] if isinstance(content, str) else content
                content = [block for block in said if block.get("text") != ""] + [_tool_use(call) for call in message.tool_calls]
            yield {"role": message.role, "content": content}
    if results:
        yield {"role": "user", "content": results}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, TextPart | CodePart) for part in message.parts):
        return message.text
    return [block for block in map(_block, message.parts) if block.get("text") != ""]  # empty text blocks are refused


def _tool_use(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise UnsupportedError(f"the arguments of the earlier call of {call.name} are no JSON object")
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case CodePart():
            return {"type": "text", "text": part.code}
        case ImagePart():
            return {"type": "image", "source": _source(part)}
        case FilePart(media_type="text/plain", data=bytes(data)):
            source = {"type": "text", "media_type": "text/plain", "data": data.decode(errors="replace")}
            return {"type": "document", "source": source, "title": part.name}
        case FilePart(media_type="application/pdf"):
            return {"type": "document", "source": _source(part), "title": part.name}
        case FilePart():
            raise UnsupportedError(f"messages take files as application/pdf or text/plain, not {part.media_type} ({part.name})")
        case AudioPart():
            raise UnsupportedError("messages take no sound")


def _source(part: ImagePart | FilePart) -> dict[str, Any]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": base64.b64encode(part.data or b"").decode()}
