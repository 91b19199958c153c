"""OpenAI requests: a line of a Batch file, and the messages and parts in it, as a task."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import JsonValue

from partsong.contracts import AudioPart, CodePart, FilePart, ImagePart, Message, Part, Sampling, TextPart, Tool, ToolCall
from partsong_cluster.batch.position import BadRowError
from partsong_cluster.batch.record import json_kind

__all__ = ["AUDIO_TYPES", "CHAT_URL", "answer_schema", "messages", "sampling", "tools", "unused"]

CHAT_URL = "/v1/chat/completions"

_Role = Literal["system", "user", "assistant", "tool"]
_ROLES: Mapping[str, _Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}

T = TypeVar("T")


def messages(value: object) -> tuple[Message, ...]:
    """Return the messages; BadRowError names what is wrong with which."""
    given = _typed(value, list, "messages")
    if not given:
        raise BadRowError("messages is empty")
    return tuple(_message(_typed(one, dict, f"messages[{n}]"), f"messages[{n}]") for n, one in enumerate(given))


def sampling(body: Mapping[str, Any]) -> Sampling:
    """Return how the request wants its reply drawn."""
    stop = body.get("stop")
    return Sampling(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        seed=body.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(_typed(stop, list, "stop")) if stop is not None else (),
        logprobs=bool(body.get("logprobs", False)),
    )


def answer_schema(body: Mapping[str, Any]) -> dict[str, JsonValue] | None:
    """Return the JSON Schema that `response_format` asks for."""
    wanted = body.get("response_format")
    if wanted is None:
        return None
    form = _typed(wanted, dict, "response_format")
    match form.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            named = _typed(form.get("json_schema"), dict, "response_format.json_schema")
            return _typed(named.get("schema"), dict, "response_format.json_schema.schema")
    raise BadRowError(f"response_format has type {form.get('type')!r}; text, json_object and json_schema are known")


def tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return the tools that the request brings."""
    given = _typed(body.get("tools") or [], list, "tools")
    return tuple(_tool(_typed(one, dict, f"tools[{n}]"), f"tools[{n}]") for n, one in enumerate(given))


def unused(body: Mapping[str, Any]) -> frozenset[str]:
    """Return the request's fields that change nothing here, though they would at its provider."""
    return frozenset(body) - _USED - _WITHOUT_EFFECT


_USED = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "logprobs",
        "messages",
        "metadata",
        "model",
        "n",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "tools",
        "top_p",
    }
)
_WITHOUT_EFFECT = frozenset({"service_tier", "store", "stream", "stream_options", "top_logprobs", "user"})
"""Ways of delivery and book-keeping: the answer is the same without them."""


def _tool(one: Mapping[str, Any], at: str) -> Tool:
    function = _typed(one.get("function"), dict, f"{at}.function")
    return Tool(
        name=_typed(function.get("name"), str, f"{at}.function.name"),
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
    )


def _message(one: Mapping[str, Any], at: str) -> Message:
    role = one.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRowError(f"{at}.role is {role!r}; known are {', '.join(_ROLES)}")
    return Message(
        role=_ROLES[role],
        parts=tuple(_parts(one.get("content"), f"{at}.content")),
        tool_calls=tuple(_tool_calls(one.get("tool_calls") or [], f"{at}.tool_calls")),
        tool_call_id=one.get("tool_call_id"),
    )


def _tool_calls(given: object, at: str) -> Iterator[ToolCall]:
    for n, one in enumerate(_typed(given, list, at)):
        call = _typed(one, dict, f"{at}[{n}]")
        function = _typed(call.get("function"), dict, f"{at}[{n}].function")
        yield ToolCall(id=call.get("id") or "", name=function.get("name") or "", arguments=function.get("arguments") or "")


def _parts(content: object, at: str) -> Iterator[Part]:
    if content is None:  # an assistant's turn that only calls tools
        return
    if isinstance(content, str):
        yield TextPart(text=content)
        return
    for n, one in enumerate(_typed(content, list, at)):
        yield _part(_typed(one, dict, f"{at}[{n}]"), f"{at}[{n}]")


def _part(one: Mapping[str, Any], at: str) -> Part:
    match one.get("type"):
        case "text":
            return TextPart(text=_typed(one.get("text"), str, f"{at}.text"))
        case "refusal":
            return TextPart(text=_typed(one.get("refusal"), str, f"{at}.refusal"))
        case "code":
            return CodePart(code=_typed(one.get("code"), str, f"{at}.code"), language=one.get("language") or "")
        case "image_url":
            return _image(_typed(one.get("image_url"), dict, f"{at}.image_url"), f"{at}.image_url")
        case "input_audio":
            return _audio(_typed(one.get("input_audio"), dict, f"{at}.input_audio"), f"{at}.input_audio")
        case "file":
            return _file(_typed(one.get("file"), dict, f"{at}.file"), f"{at}.file")
    raise BadRowError(f"{at}.type is {one.get('type')!r}; known are text, code, image_url, input_audio, file")


def _image(image: Mapping[str, Any], at: str) -> ImagePart:
    url = _typed(image.get("url"), str, f"{at}.url")
    if not url.startswith("data:"):
        return ImagePart(url=url)
    media_type, content = _data_url(url, f"{at}.url")
    return ImagePart(data=content, media_type=media_type or "image/png")


def _audio(audio: Mapping[str, Any], at: str) -> AudioPart:
    form = audio.get("format")
    if form not in AUDIO_TYPES:
        raise BadRowError(f"{at}.format is {form!r}; known are {', '.join(AUDIO_TYPES)}")
    return AudioPart(data=_decoded(_typed(audio.get("data"), str, f"{at}.data"), f"{at}.data"), media_type=AUDIO_TYPES[form])


def _file(file: Mapping[str, Any], at: str) -> FilePart:
    name = file.get("filename") or "file"
    if "file_url" in file:
        return FilePart(name=name, url=_typed(file["file_url"], str, f"{at}.file_url"))
    if "file_data" not in file:
        raise BadRowError(f"{at} has no file_data or file_url (a file_id means nothing outside its provider)")
    given = _typed(file["file_data"], str, f"{at}.file_data")
    if not given.startswith("data:"):
        return FilePart(name=name, data=_decoded(given, f"{at}.file_data"))
    media_type, content = _data_url(given, f"{at}.file_data")
    return FilePart(name=name, data=content, media_type=media_type or "application/octet-stream")


def _data_url(url: str, at: str) -> tuple[str, bytes]:
    head, comma, content = url.removeprefix("data:").partition(",")
    if not comma or not head.endswith(";base64"):
        raise BadRowError(f"{at} is no data:...;base64, URL")
    return head.removesuffix(";base64"), _decoded(content, at)


def _decoded(text: str, at: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRowError(f"{at} is no base64") from None


def _typed(value: object, kind: type[T], at: str) -> T:
    if value is None:
        raise BadRowError(f"{at} is missing")
    if not isinstance(value, kind):
        raise BadRowError(f"{at} is {json_kind(value)}, not {json_kind(kind())}")
    return value
