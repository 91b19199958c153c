"""An OpenAI-compatible server: chat completions, plain and streamed; `python -m providers.openai` runs it as a process."""

import json
from collections.abc import Iterator
from typing import Any

from providers.http11 import Request
from providers.provider import Asked, Provider, Refused, Reply, body_of, expect, only, serve

_SAMPLING = {"max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "logprobs", "top_logprobs", "n"}
_SHAPING = {"tools", "tool_choice", "parallel_tool_calls", "response_format", "stream", "stream_options", "reasoning_effort"}
_FIELDS = frozenset({"model", "messages", "user", "metadata", "store", "frequency_penalty", "presence_penalty"} | _SAMPLING | _SHAPING)
_ROLES = {"system", "developer", "user", "assistant", "tool"}
_PARTS = {"text": "text", "image_url": "image_url", "input_audio": "input_audio", "file": "file", "refusal": "refusal"}


class OpenAIServer(Provider):
    """Speaks OpenAI's chat completions."""

    base_path = "/v1"

    def read(self, request: Request) -> Asked:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.admits(given):
            raise Refused(f"Incorrect API key provided: {given}.", 401, "invalid_api_key")
        if request.path != "/v1/chat/completions":
            raise Refused(f"Invalid URL ({request.method} {request.path})", 404)
        expect(request.method == "POST", "use POST")
        body = body_of(request)
        self._check(body)
        return Asked(
            prompt=_text(next(m for m in reversed(body["messages"]) if m["role"] == "user")),
            model=body["model"],
            body=body,
            stream=body.get("stream", False),
            logprobs=body.get("logprobs", False),
            schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
            tools={tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", ())},
            must_call=_must_call(body),
        )

    def _check(self, body: dict[str, Any]) -> None:
        only(_FIELDS, body, "Unrecognized request argument supplied")
        model = body.get("model")
        expect(isinstance(model, str) and model, "you must provide a model parameter")
        if model == "missing":
            raise Refused("The model `missing` does not exist", 404, "model_not_found")
        expect(isinstance(body.get("messages"), list) and body["messages"], "messages: a non-empty array is expected")
        for message in body["messages"]:
            _check_message(message)
        expect(any(m["role"] == "user" for m in body["messages"]), "messages: no user message")
        reasons = model.startswith(("o1", "o3", "o4", "gpt-5"))
        expect(not (reasons and "max_tokens" in body), "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        expect(not (reasons and body.get("temperature", 1) != 1), "Unsupported value: 'temperature'.")
        expect(0 <= body.get("temperature", 1) <= 2, "temperature: out of range")
        expect(body.get("max_tokens", body.get("max_completion_tokens", 1)) >= 1, "max_tokens: too small")
        expect(len(body.get("stop") or ()) <= 4, "stop: too long")
        expect("stream_options" not in body or body.get("stream"), "stream_options is only allowed when stream is enabled")
        expect("top_logprobs" not in body or body.get("logprobs"), "top_logprobs needs logprobs")
        expect(0 <= body.get("top_logprobs", 0) <= 20, "top_logprobs: 0 to 20")
        expect(body.get("n", 1) == 1, "n: one choice is all that is spoken here")
        form = body.get("response_format", {"type": "text"})
        expect(form.get("type") in ("text", "json_object", "json_schema"), "response_format.type: unknown")
        if form["type"] == "json_schema":
            expect(isinstance(form["json_schema"].get("name"), str), "response_format.json_schema.name: missing")
            expect(isinstance(form["json_schema"].get("schema"), dict), "response_format.json_schema.schema: missing")
        for tool in body.get("tools", ()):
            expect(tool.get("type") == "function" and isinstance(tool["function"].get("name"), str), "tools: a function has a name")

    def whole(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
        if reply.tool_calls:
            message["tool_calls"] = [_tool_call(reply, n) for n in range(len(reply.tool_calls))]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
        if asked.logprobs:
            choice["logprobs"] = {"content": [_logprob(token, asked, reply) for token in reply.tokens], "refusal": None}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": f"{asked.model}-2024",
            "choices": [choice],
            "usage": _usage(asked, reply),
            "system_fingerprint": "fp_1",
        }

    def events(self, asked: Asked, reply: Reply) -> Iterator[tuple[str, Any]]:
        with_usage = asked.body.get("stream_options", {}).get("include_usage")

        def chunk(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> tuple[str, Any]:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return "", _chunk(asked, [choice]) | ({"usage": None} if with_usage else {})

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for token in reply.tokens:
            yield chunk({"content": token}, logprobs={"content": [_logprob(token, asked, reply)]} if asked.logprobs else None)
        if reply.refusal:
            yield chunk({"refusal": reply.refusal})
        for number in range(len(reply.tool_calls)):
            call = _tool_call(reply, number)
            arguments = call["function"]["arguments"]
            yield chunk({"tool_calls": [call | {"index": number, "function": call["function"] | {"arguments": ""}}]})
            for piece in (arguments[:5], arguments[5:]):
                yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield chunk({}, _finish(reply))
        if with_usage:
            yield "", _chunk(asked, []) | {"usage": _usage(asked, reply)}
        yield "", "[DONE]"

    def error(self, status: int, message: str, kind: str = "") -> dict[str, Any]:
        type_ = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
        return {"error": {"message": message, "type": type_, "param": None, "code": kind or None}}

    def without_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name != "usage"}

    def without_choices(self, body: dict[str, Any]) -> dict[str, Any]:
        return body | {"choices": []}


def _check_message(message: dict[str, Any]) -> None:
    role = message.get("role")
    expect(role in _ROLES, f"messages.role: {role!r} is unknown")
    expect(role != "tool" or message.get("tool_call_id"), "messages: a tool message needs a tool_call_id")
    content = message.get("content")
    expect(content is not None or message.get("tool_calls"), "messages.content: missing")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type")
        expect(kind in _PARTS and _PARTS[kind] in part, f"messages.content.type: {kind!r} makes no sense")
        if kind == "image_url":
            expect(part["image_url"]["url"].startswith(("http", "data:image/")), "image_url.url: no address of an image")
        if kind == "input_audio":
            expect(part["input_audio"].get("format") in ("wav", "mp3"), "input_audio.format: unknown")


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")


def _must_call(body: dict[str, Any]) -> str:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name: str = choice["function"]["name"]
        return name
    return body["tools"][0]["function"]["name"] if choice == "required" else ""


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else reply.finish


def _tool_call(reply: Reply, number: int) -> dict[str, Any]:
    call = reply.tool_calls[number]
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}


def _logprob(token: str, asked: Asked, reply: Reply) -> dict[str, Any]:
    def candidate(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    others = [candidate(f" other{n}", reply.logprob - n) for n in range(1, asked.body.get("top_logprobs", 0))]
    said = candidate(token, reply.logprob)
    return said | {"top_logprobs": [said, *others] if asked.body.get("top_logprobs") else []}


def _usage(asked: Asked, reply: Reply) -> dict[str, Any]:
    completion_tokens = len(reply.tokens) + reply.reasoning_tokens
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": asked.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens, "audio_tokens": 0},
    }


def _chunk(asked: Asked, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": f"{asked.model}-2024",
        "choices": choices,
    }


if __name__ == "__main__":
    serve(OpenAIServer)
