"""Replies: what a model says to a prompt: the prompt itself, or a tool call or JSON where that was asked; always the same."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ToolUse:
    name: str
    arguments: dict[str, Any]
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Reply:
    text: str = ""
    finish: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"
    tool_calls: Sequence[ToolUse] = ()
    refusal: str = ""
    logprob: float = -0.1
    """Of every token."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def tokens(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, whatever the protocol."""

    prompt: str
    """Text of the last user turn."""
    model: str
    body: dict[str, Any] = field(repr=False)
    stream: bool = False
    logprobs: bool = False
    path: str = ""
    schema: dict[str, Any] | None = None
    """What the answer must look like."""
    tools: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Schema of the arguments by name."""
    must_call: str = ""
    """The tool that has to be called."""

    @property
    def prompt_tokens(self) -> int:
        return -(-len(self.prompt) // 4)


Replies = Callable[[Asked], str | Reply]


def echo(asked: Asked) -> str:
    return asked.prompt


def fitting(asked: Asked) -> str | Reply:
    """Return the tool call or the JSON that was asked for, else the prompt; "call weather" in a prompt calls that tool."""
    called = asked.must_call or next((name for name in asked.tools if f"call {name}" in asked.prompt), "")
    if called:
        return Reply(tool_calls=(ToolUse(called, value_of(asked.tools.get(called, {"type": "object"}), asked.prompt)),))
    if asked.schema is not None:
        return json.dumps(value_of(asked.schema, asked.prompt), ensure_ascii=False)
    return asked.prompt


def from_table(path: Path) -> Replies:
    """Return replies by a JSON file of `{prompt: text}` or `{prompt: {"text", "logprob", ...}}`; other prompts get what fits."""
    table = json.loads(path.read_text())

    def reply(asked: Asked) -> str | Reply:
        said = table.get(asked.prompt)
        return fitting(asked) if said is None else said if isinstance(said, str) else Reply(**said)

    return reply


def value_of(schema: dict[str, Any], prompt: str, root: dict[str, Any] | None = None) -> Any:
    """Return a value that a simple schema allows, taken from the prompt where it can be."""
    root = schema if root is None else root
    if "$ref" in schema:
        return value_of(_pointed(schema["$ref"], root), prompt, root)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return value_of(schema[several][0], prompt, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((value for value in schema["enum"] if str(value) in prompt), schema["enum"][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    match kind:
        case "object":
            return {name: value_of(inner, prompt, root) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [value_of(schema.get("items", {}), prompt, root)] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            return _number(schema, prompt, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return prompt[: schema.get("maxLength", len(prompt))].ljust(schema.get("minLength", 0), ".")


def _pointed(ref: str, root: dict[str, Any]) -> dict[str, Any]:
    place: Any = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        place = place[step] if step else place
    found: dict[str, Any] = place
    return found


def _number(schema: dict[str, Any], prompt: str, *, whole: bool) -> float:
    named = re.search(r"-?\d+", prompt)
    number: float = int(named[0]) if named else 1
    number = max(number, schema.get("minimum", number))
    number = min(number, schema.get("maximum", number))
    return int(number) if whole else number
