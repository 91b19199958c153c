"""Schemas: JSON Schema as the providers' structured output takes it: an object at the top, strict where it can be, or put in words."""

import json
from typing import Any

from pydantic import JsonValue

from partsong.contracts import Message, Task, TextPart

__all__ = ["as_object", "closed", "in_words", "is_strict"]

_WRAP = "answer"


def as_object(schema: dict[str, JsonValue]) -> tuple[dict[str, Any], str | None]:
    """Return the schema with an object at its top, and the property that the answer was put into for that, if it was."""
    if schema.get("type") == "object" or "properties" in schema:
        return schema, None
    definitions = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in definitions and name != "$schema"}
    return {
        "type": "object",
        "properties": {_WRAP: inner},
        "required": [_WRAP],
        "additionalProperties": False,
        **definitions,
    }, _WRAP


def is_strict(schema: Any) -> bool:
    """Whether every object in it names all its properties as required and allows no others, as strict modes demand."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties")
        names = set(properties) if isinstance(properties, dict) else set()
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != names:
            return False
        return all(is_strict(value) for value in (*(properties or {}).values(), *(schema.get("$defs") or {}).values()))
    return all(is_strict(value) for name, value in schema.items() if name not in ("enum", "const", "default", "examples"))


def in_words(task: Task) -> tuple[Message, ...]:
    """Return the task's messages behind one that asks for JSON of the task's schema, for a model without a mode of its own."""
    asked = f"Answer with JSON only, no other words, that satisfies this JSON Schema: {json.dumps(task.answer_schema)}"
    return (Message(role="system", parts=(TextPart(text=asked),)), *task.messages)


_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"}
_NARROW = frozenset(_BOUNDS | {"uniqueItems", "minProperties", "maxProperties", "$schema", "$id", "examples"})
_NAMED = ("properties", "$defs", "definitions")


def closed(schema: Any) -> Any:
    """Return the schema for a grammar that knows only closed objects and no bounds; None if an object in it must stay open.

    Bounds go into the description, as the vendor's own client does: the model reads them there, and the answer is checked in any case.
    """
    if isinstance(schema, list):
        parts = [closed(part) for part in schema]
        return None if None in parts else parts
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {name: value for name, value in schema.items() if name not in _NARROW}
    if bounds := {name: schema[name] for name in sorted(schema.keys() & _NARROW) if not name.startswith("$")}:
        kept["description"] = f"{schema.get('description', '')} {json.dumps(bounds)}".strip()
    if schema.get("type") == "object" or "properties" in schema:
        if not schema.get("properties") or schema.get("additionalProperties"):
            return None
        kept["additionalProperties"] = False
    for name, value in kept.items():
        if name in _NAMED and isinstance(value, dict):
            kept[name] = {inner: closed(part) for inner, part in value.items()}
            if None in kept[name].values():
                return None
        elif name in ("items", "anyOf", "allOf", "oneOf", "not"):
            kept[name] = closed(value)
            if kept[name] is None:
                return None
    return kept
