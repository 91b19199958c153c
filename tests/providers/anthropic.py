"""An Anthropic server: messages, plain and streamed; `python -m providers.anthropic` runs it as a process."""

import json
from collections.abc import Iterator
from typing import Any

from providers.http11 import Request
from providers.provider import Asked, Provider, Refused, Reply, body_of, expect, only, serve

_VERSIONS = ("2023-06-01", "2026-10-21")
"""The newer takes no sampling parameters (platform.claude.com/docs/en/api/migration-2026-10-21)."""
_SHAPING = {"tools", "tool_choice", "output_config", "thinking", "stream", "stop_sequences"}
_FIELDS = frozenset({"model", "messages", "system", "max_tokens", "temperature", "top_p", "top_k", "metadata", "service_tier"} | _SHAPING)
_ERRORS = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large"}
_ERRORS |= {429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error"}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_BLOCKS = {"text": "text", "image": "source", "document": "source", "tool_use": "input", "tool_result": "tool_use_id"}


class AnthropicServer(Provider):
    """Speaks Anthropic's messages."""

    def read(self, request: Request) -> Asked:
        given = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.admits(given):
            raise Refused(f"invalid x-api-key {given}", 401)
        if request.path != "/v1/messages":
            raise Refused("Not found", 404)
        expect(request.method == "POST", "use POST")
        version = request.headers.get("anthropic-version")
        expect(version in _VERSIONS, "anthropic-version: header is required")
        body = body_of(request)
        self._check(body)
        if version == "2026-10-21":
            _check_as_of_2026(body)
        last = next(m for m in reversed(body["messages"]) if m["role"] == "user")
        return Asked(
            prompt=_text(last),
            model=body["model"],
            body=body,
            stream=body.get("stream", False),
            schema=(body.get("output_config", {}).get("format") or {}).get("schema"),
            tools={tool["name"]: tool["input_schema"] for tool in body.get("tools", ())},
            must_call=_must_call(body),
        )

    def _check(self, body: dict[str, Any]) -> None:
        only(_FIELDS, body, "Extra inputs are not permitted")
        model = body.get("model")
        expect(isinstance(model, str) and model, "model: Field required")
        if model == "missing":
            raise Refused("model: missing", 404)
        expect(isinstance(body.get("max_tokens"), int) and body["max_tokens"] >= 1, "max_tokens: Field required")
        expect(isinstance(body.get("messages"), list) and body["messages"], "messages: at least one message is required")
        for message in body["messages"]:
            _check_message(message)
        expect(body["messages"][0]["role"] == "user", "messages: first message must use the user role")
        expect(0 <= body.get("temperature", 1) <= 1, "temperature: range: 0..1")
        expect(isinstance(body.get("system", ""), str | list), "system: a string or blocks")
        for tool in body.get("tools", ()):
            expect(isinstance(tool.get("name"), str), "tools.name: Field required")
            expect(tool.get("input_schema", {}).get("type") == "object", "tools.input_schema.type: 'object' is required")
        form = body.get("output_config", {}).get("format")
        expect(
            form is None or (form.get("type") == "json_schema" and isinstance(form.get("schema"), dict)),
            "output_config.format: makes no sense",
        )
        choice = body.get("tool_choice")
        expect(choice is None or choice.get("type") in ("auto", "any", "tool", "none"), "tool_choice.type: unknown")

    def whole(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        content: list[Any] = [{"type": "text", "text": reply.text, "citations": None}] if reply.text else []
        content += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in reply.tool_calls]
        return _message(asked) | {
            "content": content,
            "stop_reason": _stop(reply),
            "stop_details": _details(reply),
            "usage": _usage(asked, reply),
        }

    def events(self, asked: Asked, reply: Reply) -> Iterator[tuple[str, Any]]:
        def event(kind: str, **fields: Any) -> tuple[str, Any]:
            return kind, {"type": kind, **fields}

        yield event("message_start", message=_message(asked) | {"usage": _usage(asked, reply) | {"output_tokens": 1}})
        yield event("ping")
        index = 0
        if reply.text:
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            for token in reply.tokens:
                yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": token})
            yield event("content_block_stop", index=index)
            index += 1
        for call in reply.tool_calls:
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield event("content_block_start", index=index, content_block=block)
            arguments = json.dumps(call.arguments)
            for piece in ("", arguments[:5], arguments[5:]):
                yield event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
            yield event("content_block_stop", index=index)
            index += 1
        delta = {"stop_reason": _stop(reply), "stop_sequence": None, "stop_details": _details(reply)}
        yield event("message_delta", delta=delta, usage={"output_tokens": _usage(asked, reply)["output_tokens"]})
        yield event("message_stop")

    def error(self, status: int, message: str, kind: str = "") -> dict[str, Any]:
        type_ = kind or _ERRORS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
        if status == 503:
            type_ = "overloaded_error"
        return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_1"}

    def without_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in body.items() if name != "usage"}
        return body | {"message": self.without_usage(body["message"])} if "message" in body else body

    def without_choices(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if body["type"] == "message":
            return body | {"content": []}
        return None if body["type"].startswith("content_block") else body


def _check_as_of_2026(body: dict[str, Any]) -> None:
    for name in ("temperature", "top_p", "top_k"):
        expect(name not in body, f"{name}: Extra inputs are not permitted")
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        documents = message["role"] == "assistant" and any(block["type"] == "document" for block in blocks)
        expect(not documents, "messages: a document block has no place in an assistant message")


def _check_message(message: dict[str, Any]) -> None:
    expect(message.get("role") in ("user", "assistant"), f"messages.role: {message.get('role')!r}: 'user' or 'assistant' is expected")
    content = message.get("content")
    expect(content, "messages: text content blocks must be non-empty")
    for block in content if isinstance(content, list) else ():
        kind = block.get("type")
        expect(kind in _BLOCKS and _BLOCKS[kind] in block, f"messages.content: {kind!r} makes no sense")
        if kind == "text":
            expect(block["text"], "messages: text content blocks must be non-empty")
        if kind == "tool_use":
            expect(isinstance(block["input"], dict), "tool_use.input: a valid dictionary is expected")
        if kind in ("image", "document"):
            expect(block["source"].get("type") in ("base64", "url", "text"), "source.type: unknown")


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content if block["type"] == "text")


def _must_call(body: dict[str, Any]) -> str:
    choice = body.get("tool_choice") or {}
    if choice.get("type") == "any":
        return body["tools"][0]["name"]
    return choice["name"] if choice.get("type") == "tool" else ""


def _message(asked: Asked) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": f"{asked.model}-20260101",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(reply: Reply) -> str:
    return "refusal" if reply.refusal else _STOPS["tool_calls" if reply.tool_calls else reply.finish]


def _details(reply: Reply) -> dict[str, Any] | None:
    return {"type": "refusal", "category": None, "explanation": reply.refusal} if reply.refusal else None


def _usage(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": asked.prompt_tokens - reply.cached_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": len(reply.tokens) + reply.reasoning_tokens,
        "output_tokens_details": {"thinking_tokens": reply.reasoning_tokens},
        "service_tier": "standard",
    }


if __name__ == "__main__":
    serve(AnthropicServer)
