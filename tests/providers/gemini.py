"""A Gemini server: generateContent and streamGenerateContent; `python -m providers.gemini` runs it as a process."""

import re
from collections.abc import Iterator
from typing import Any

from providers.http11 import Request
from providers.provider import Asked, Provider, Refused, Reply, body_of, expect, only, serve

_FIELDS = frozenset({"contents", "systemInstruction", "generationConfig", "safetySettings", "tools", "toolConfig", "cachedContent"})
_SAMPLING = {"temperature", "topP", "topK", "seed", "maxOutputTokens", "stopSequences", "candidateCount", "responseLogprobs", "logprobs"}
_SHAPING = {"responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities", "thinkingConfig"}
_CONFIG = frozenset(_SAMPLING | _SHAPING | {"presencePenalty", "frequencyPenalty"})
_PARTS = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
_STATUS |= {500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_CALL = re.compile(r"/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent)")


class GeminiServer(Provider):
    """Speaks Google's generateContent."""

    base_path = "/v1beta"

    @property
    def root(self) -> str:
        """Address without the version, as Google's own client wants it."""
        return self.url.removesuffix("/v1beta")

    def read(self, request: Request) -> Asked:
        given = request.headers.get("x-goog-api-key")
        if not self.admits(given):
            raise Refused(f"API key not valid: {given}. Please pass a valid API key.", 400, "API_KEY_INVALID")
        call = _CALL.fullmatch(request.path)
        if call is None:
            raise Refused("no such method", 404)
        model, method = call[1], call[2]
        if model == "missing":
            raise Refused("models/missing is not found for API version v1beta", 404)
        stream = method == "streamGenerateContent"
        expect(not stream or request.target.endswith("?alt=sse"), "alt=sse is wanted here")
        body = body_of(request)
        self._check(body)
        last = next(c for c in reversed(body["contents"]) if c.get("role", "user") == "user")
        config = body.get("generationConfig", {})
        tools = _tools(body)
        forced = body.get("toolConfig", {}).get("functionCallingConfig", {})
        must_call = (forced.get("allowedFunctionNames") or list(tools))[0] if forced.get("mode") == "ANY" else ""
        return Asked(
            prompt=_text(last),
            model=model,
            body=body,
            stream=stream,
            logprobs=config.get("responseLogprobs", False),
            schema=config.get("responseJsonSchema") or config.get("responseSchema"),
            tools=tools,
            must_call=must_call,
        )

    def _check(self, body: dict[str, Any]) -> None:
        only(_FIELDS, body, "Invalid JSON payload received")
        config = body.get("generationConfig", {})
        only(_CONFIG, config, "Invalid JSON payload received at 'generation_config'")
        expect(isinstance(body.get("contents"), list) and body["contents"], "contents is not specified")
        for content in body["contents"]:
            expect(content.get("role", "user") in ("user", "model"), "Please use a valid role: user, model.")
            _check_parts(content)
        if "systemInstruction" in body:
            _check_parts(body["systemInstruction"])
        expect(0 <= config.get("temperature", 1) <= 2, "temperature must be in the range [0.0, 2.0]")
        wants_json = config.get("responseMimeType") == "application/json"
        expect(wants_json or not config.keys() & {"responseSchema", "responseJsonSchema"}, "a response schema needs application/json")
        expect("logprobs" not in config or config.get("responseLogprobs"), "logprobs needs responseLogprobs")
        expect(config.get("candidateCount", 1) == 1, "candidateCount: one candidate is all that is spoken here")
        for tool in body.get("tools", ()):
            for function in tool.get("functionDeclarations", ()):
                expect(isinstance(function.get("name"), str), "functionDeclarations.name: missing")

    def whole(self, asked: Asked, reply: Reply) -> dict[str, Any]:
        if reply.refusal:
            feedback = {"blockReason": "SAFETY", "blockReasonMessage": reply.refusal}
            return {"promptFeedback": feedback, "usageMetadata": _usage(asked, reply), "modelVersion": f"{asked.model}-001"}
        parts: list[Any] = [{"text": reply.text}] if reply.text else []
        parts += [{"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}} for call in reply.tool_calls]
        return _response(asked, reply, parts, _FINISH[reply.finish], reply.tokens)

    def events(self, asked: Asked, reply: Reply) -> Iterator[tuple[str, Any]]:
        if reply.refusal or not (reply.tokens or reply.tool_calls):
            yield "", self.whole(asked, reply)
            return
        for token in reply.tokens:
            yield "", _response(asked, reply, [{"text": token}], None, [token])
        calls = [{"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}} for call in reply.tool_calls]
        yield "", _response(asked, reply, calls or [{"text": ""}], _FINISH[reply.finish], [])

    def error(self, status: int, message: str, kind: str = "") -> dict[str, Any]:
        error: dict[str, Any] = {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}
        if kind:
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": kind, "domain": "googleapis.com"}]
        return {"error": error}

    def without_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name != "usageMetadata"}

    def without_choices(self, body: dict[str, Any]) -> dict[str, Any]:
        return body | {"candidates": []}


def _check_parts(content: dict[str, Any]) -> None:
    expect(content.get("parts"), "contents.parts must not be empty")
    for part in content["parts"]:
        expect(len(part.keys() & _PARTS) == 1, "part: required oneof field 'data' must have one initialized field")
        if "functionResponse" in part:
            expect(isinstance(part["functionResponse"].get("response"), dict), "functionResponse.response: an object is wanted")


def _text(content: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in content["parts"] if "text" in part)


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    functions = [function for tool in body.get("tools", ()) for function in tool.get("functionDeclarations", ())]
    spellings = ("parametersJsonSchema", "parameters_json_schema", "parameters")  # Google takes both cases, its client sends both
    return {f["name"]: next((f[name] for name in spellings if name in f), {"type": "object"}) for f in functions}


def _response(asked: Asked, reply: Reply, parts: list[Any], finish: str | None, tokens: list[str]) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    if asked.logprobs and tokens:
        chosen = [{"token": token, "tokenId": 1, "logProbability": reply.logprob} for token in tokens]
        top = [{"candidates": [token]} for token in chosen] if asked.body["generationConfig"].get("logprobs") else []
        candidate["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": top}
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(asked, reply),
        "modelVersion": f"{asked.model}-001",
        "responseId": "r1",
    }


def _usage(asked: Asked, reply: Reply) -> dict[str, Any]:
    total = asked.prompt_tokens + len(reply.tokens) + reply.reasoning_tokens
    usage = {"promptTokenCount": asked.prompt_tokens, "candidatesTokenCount": len(reply.tokens), "totalTokenCount": total}
    more = {"cachedContentTokenCount": reply.cached_tokens, "thoughtsTokenCount": reply.reasoning_tokens}
    return usage | {name: count for name, count in more.items() if count}


if __name__ == "__main__":
    serve(GeminiServer)
