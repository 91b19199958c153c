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
    definitions: dict[str, JsonValue] = {name: value for name, value in schema.items() if name in ("$defs", "definitions")}
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
        properties, required = schema.get("properties"), schema.get("required")
        names = sorted(properties) if isinstance(properties, dict) else []
        if schema.get("additionalProperties") is not False or not isinstance(required, list) or sorted(map(str, required)) != names:
            return False
    return all(is_strict(value) for name, value in schema.items() if name not in ("enum", "const", "default", "examples"))


def in_words(task: Task) -> tuple[Message, ...]:
    """Return the task's messages behind one that asks for JSON of the task's schema, for a model without a mode of its own."""
    asked = f"Answer with JSON only, no other words, that satisfies this JSON Schema: {json.dumps(task.answer_schema)}"
    return (Message(role="system", parts=(TextPart(text=asked),)), *task.messages)


_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"}
    | {"uniqueItems", "minProperties", "maxProperties"}
)
_NOTES = frozenset({"$schema", "$id", "$comment", "examples"})
_BEYOND = frozenset(
    {"patternProperties", "propertyNames", "prefixItems", "contains", "not", "if", "then", "else", "dependentSchemas", "dependentRequired"}
)
_NAMED = frozenset({"properties", "$defs", "definitions"})
_LISTED = frozenset({"anyOf", "oneOf", "allOf"})


def closed(schema: Any) -> dict[str, Any] | None:
    """Return the schema for a grammar that knows only closed objects and no bounds; None where it cannot be said so.

    Bounds go into the description, as the vendor's own client does: the model reads them there, and the answer is checked in any case.
    """
    if not isinstance(schema, dict) or schema.keys() & _BEYOND:
        return None
    kept: dict[str, Any] = {name: value for name, value in schema.items() if name not in _BOUNDS | _NOTES}
    if bounds := {name: schema[name] for name in sorted(schema.keys() & _BOUNDS)}:
        kept["description"] = f"{schema.get('description', '')} {json.dumps(bounds)}".strip()
    if schema.get("type") == "object" or "properties" in schema:
        if not schema.get("properties") or schema.get("additionalProperties"):
            return None
        kept["additionalProperties"] = False
    inner = {name: _inner(name, value) for name, value in kept.items() if name in _NAMED | _LISTED | {"items"}}
    return None if None in inner.values() else kept | inner


def _inner(name: str, value: Any) -> Any:
    """Return what stands under a keyword that holds schemas, closed; None if one of them cannot be."""
    if name in _NAMED and isinstance(value, dict):
        named = {key: closed(part) for key, part in value.items()}
        return None if None in named.values() else named
    if name in _LISTED and isinstance(value, list):
        listed = [closed(part) for part in value]
        return None if None in listed else listed
    return closed(value)
