"""Gemini: Google's generateContent and streamGenerateContent (ai.google.dev/api/generate-content)."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from partsong.adapters.complaint import Meaning
from partsong.adapters.draft import Draft, count
from partsong.adapters.http import Ask, BaseUrl, HttpAdapter, HttpSpec, MalformedReplyError, UnsupportedError
from partsong.adapters.profiles import GEMINI, ProfileRow
from partsong.adapters.schema import in_words
from partsong.adapters.sse import ServerEvent
from partsong.contracts import CodePart, FailureCode, FinishReason, Message, ModelSpec, Part, Task, TextPart, ToolCall, Usage

__all__ = ["GeminiAdapter", "GeminiSpec"]

_FINISH: dict[str, FinishReason] = {"STOP": "stop", "OTHER": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_BROKEN = frozenset(
    ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"]
)
"""Reasons that say the model's output could not be used; every reason that is neither here nor above withholds the reply."""


class GeminiSpec(HttpSpec):
    """A model of Google's Gemini API."""

    profiles: ClassVar[Sequence[ProfileRow]] = GEMINI

    adapter: Literal["gemini"]
    base_url: BaseUrl = "https://generativelanguage.googleapis.com/v1beta"
    """Address of the API, version included."""


class GeminiAdapter(HttpAdapter):
    """Speaks generateContent."""

    kind: ClassVar[str] = "gemini"
    Spec: ClassVar[type[ModelSpec]] = GeminiSpec
    key_header = ("x-goog-api-key", "")
    errors = {
        "API_KEY_INVALID": Meaning(FailureCode.AUTH),  # under status 400
        "UNAUTHENTICATED": Meaning(FailureCode.AUTH),
        "DEADLINE_EXCEEDED": Meaning(FailureCode.TIMEOUT, retryable=True),
    }

    def ask(self, task: Task, stream: bool) -> Ask:
        """Return the request of generated content."""
        wordy = task.answer_schema is not None and self.profile.json_schema != "native"
        messages = in_words(task) if wordy else task.messages
        system = [{"text": message.text} for message in messages if message.role == "system"]
        declared = [_declared(tool.name, tool.description, tool.parameters) for tool in task.tools]
        fields: dict[str, Any] = {
            "systemInstruction": {"parts": system} if system else None,
            "contents": list(self._turns(messages)),
            "generationConfig": self._config(task) or None,
            "tools": [{"functionDeclarations": declared}] if declared else None,
        }
        name = self._spec.model if "/" in self._spec.model else f"models/{self._spec.model}"
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Ask(f"/{quote(name)}:{method}", {name: value for name, value in fields.items() if value is not None})

    def _config(self, task: Task) -> dict[str, Any]:
        able, sampling = self.profile, task.sampling
        native = task.answer_schema is not None and able.json_schema == "native"
        config = {
            "temperature": sampling.temperature if able.temperature else None,
            "topP": able.allowed_top_p(sampling),
            "maxOutputTokens": sampling.max_tokens,
            "seed": None if sampling.seed is None or not able.seed else sampling.seed + sampling.sample,
            "stopSequences": list(sampling.stop) or None if able.stop else None,
            "responseLogprobs": True if sampling.logprobs and able.logprobs else None,
            "responseMimeType": "application/json" if native else None,
            "responseJsonSchema": task.answer_schema if native else None,
        }
        return {name: value for name, value in config.items() if value is not None}

    def _turns(self, messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
        """Yield the turns; results of several tool calls stand together in one, under the names of the tools."""
        called = {call.id: call.name for message in messages for call in message.tool_calls}
        results: list[dict[str, Any]] = []
        for message in messages:
            if results and message.role != "tool":
                yield {"role": "user", "parts": results}
                results = []
            if message.role == "tool":
                results.append(_result(message, called))
            elif message.role != "system":
                parts = [_part(part) for part in message.parts if not (message.tool_calls and part == TextPart(text=""))]
                parts += [self._call(call) for call in message.tool_calls]
                yield {"role": "model" if message.role == "assistant" else "user", "parts": parts}
        if results:
            yield {"role": "user", "parts": results}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        signature = {"thoughtSignature": self.profile.thought_signature} if self.profile.thought_signature else {}
        return {"functionCall": {"id": call.id, "name": call.name, "args": _object(call.arguments, call.name)}, **signature}

    def read(self, body: dict[str, Any], draft: Draft) -> None:
        """Read a response, or a piece of a streamed one: they have the same shape."""
        _count(body, draft)
        if reason := (body.get("promptFeedback") or {}).get("blockReason"):
            draft.withheld, draft.refused, draft.finish = reason, True, "content_filter"
        elif not body.get("candidates"):
            raise MalformedReplyError("the reply holds no candidates")
        for candidate in (body.get("candidates") or ())[:1]:
            _candidate(candidate, draft)

    def read_event(self, event: ServerEvent, draft: Draft) -> None:
        """Read a piece; one that holds usage alone has no candidates."""
        body = self.event_object(event)
        if body.get("candidates") or body.get("promptFeedback"):
            self.read(body, draft)
        else:
            _count(body, draft)


def _candidate(candidate: dict[str, Any], draft: Draft) -> None:
    for part in (candidate.get("content") or {}).get("parts") or ():
        if part.get("functionCall"):
            called = part["functionCall"]
            call = draft.tool_call(len(draft.tool_calls))
            call.id, call.name = called.get("id") or "", called["name"]
            call.arguments = json.dumps(called.get("args") or {}, ensure_ascii=False)
        elif not part.get("thought"):
            draft.say(part.get("text") or "")
    for token in (candidate.get("logprobsResult") or {}).get("chosenCandidates") or ():
        draft.logprob(token["token"], token["logProbability"])
    if reason := candidate.get("finishReason"):
        _finish(reason, draft)


def _finish(reason: str, draft: Draft) -> None:
    if reason in _BROKEN:
        raise MalformedReplyError(f"the model's output could not be used ({reason})")
    draft.finish = _FINISH.get(reason, "content_filter")
    if draft.finish == "content_filter":
        draft.withheld = reason
    elif draft.tool_calls and draft.finish == "stop":
        draft.finish = "tool_calls"


def _count(body: dict[str, Any], draft: Draft) -> None:
    draft.model = body.get("modelVersion") or draft.model
    if usage := body.get("usageMetadata"):
        thoughts = count(usage, "thoughtsTokenCount")
        draft.usage = Usage(
            prompt_tokens=count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount"),
            completion_tokens=count(usage, "candidatesTokenCount") + thoughts,
            cached_tokens=count(usage, "cachedContentTokenCount"),
            reasoning_tokens=thoughts,
        )


def _declared(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": description, **({"parametersJsonSchema": parameters} if parameters else {})}


def _result(message: Message, called: Mapping[str, str]) -> dict[str, Any]:
    call_id = message.tool_call_id or ""
    if call_id not in called:
        raise UnsupportedError(f"the tool message answers call {call_id!r}, which no message before it makes")
    try:
        value = json.loads(message.text)
    except (ValueError, RecursionError):
        value = message.text
    response = value if isinstance(value, dict) else {"output": value}
    return {"functionResponse": {"id": call_id, "name": called[call_id], "response": response}}


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnsupportedError(f"the arguments of the earlier call of {name} are no JSON object")
    return value


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"text": part.text}
        case CodePart():
            return {"text": part.code}
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode()}}
    return {"fileData": {"mimeType": part.media_type, "fileUri": getattr(part, "url", "")}}
