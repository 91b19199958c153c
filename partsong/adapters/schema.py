"""Schemas: JSON Schema as the providers' structured output takes it: an object at the top, strict where it can be."""

from typing import Any

from pydantic import JsonValue

__all__ = ["as_object", "is_strict"]

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
