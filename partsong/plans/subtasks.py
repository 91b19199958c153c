"""Subtasks: the graph that a planner writes, and what makes it usable: known names, no cycle, not too many, not too deep."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from partsong.contracts import Frozen

__all__ = ["BadPlanError", "Subtask", "graph_schema", "ordered", "subtasks"]


class BadPlanError(ValueError):
    """The subtasks are no usable graph; the message says why, for the planner and a person."""


class Subtask(Frozen):
    """One node of the graph."""

    id: str = Field(min_length=1, max_length=64)
    """Unique among the subtasks."""
    kind: str
    """What sort of work it is."""
    prompt: str = Field(min_length=1)
    """All that its worker is told to do."""
    needs: tuple[str, ...] = ()
    """Ids of the subtasks whose results it must see."""


def graph_schema(kinds: Sequence[str], limit: int) -> dict[str, JsonValue]:
    """Return the JSON Schema that a planner's answer must satisfy; without kinds, any kind may be named."""
    kind: dict[str, JsonValue] = {"type": "string", "enum": list(kinds)} if kinds else {"type": "string"}
    fields: dict[str, JsonValue] = {
        "id": {"type": "string"},
        "kind": kind,
        "prompt": {"type": "string"},
        "needs": {"type": "array", "items": {"type": "string"}},
    }
    node: dict[str, JsonValue] = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    nodes: JsonValue = {"type": "array", "items": node, "minItems": 1, "maxItems": limit}
    return {"type": "object", "properties": {"subtasks": nodes}, "required": ["subtasks"], "additionalProperties": False}


def subtasks(value: Mapping[str, Any]) -> list[Subtask]:
    """Return the subtasks of a planner's answer that satisfies `graph_schema`; raises BadPlanError."""
    try:
        return [Subtask.model_validate(node) for node in value["subtasks"]]
    except ValidationError as error:
        raise BadPlanError("every subtask needs an id, a kind, a prompt and its needs, none of them empty") from error


def ordered(nodes: Sequence[Subtask], *, limit: int, max_depth: int, kinds: Collection[str]) -> list[Subtask]:
    """Return the subtasks, each after those it needs; raises BadPlanError where that cannot be done or passes a limit."""
    by_id = {node.id: node for node in nodes}
    if not nodes or len(nodes) > limit:
        raise BadPlanError(f"there are {len(nodes)} subtasks; write 1 to {limit}")
    if len(by_id) < len(nodes):
        raise BadPlanError("two subtasks have the same id")
    for node in nodes:
        if kinds and node.kind not in kinds:
            raise BadPlanError(f"subtask {node.id!r} is of kind {node.kind!r}; the kinds are {', '.join(kinds)}")
        if unknown := [need for need in node.needs if need not in by_id]:
            raise BadPlanError(f"subtask {node.id!r} needs {unknown[0]!r}, which is no subtask's id")
    try:
        order = list(TopologicalSorter({node.id: node.needs for node in nodes}).static_order())
    except CycleError as error:
        raise BadPlanError(f"subtasks need each other in a circle: {' -> '.join(error.args[1])}") from error
    if (depth := max(_depths(order, by_id).values())) > max_depth:
        raise BadPlanError(f"subtasks wait for each other {depth} deep; at most {max_depth}")
    return [by_id[name] for name in order]


def _depths(order: Sequence[str], by_id: Mapping[str, Subtask]) -> Mapping[str, int]:
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = 1 + max((depths[need] for need in by_id[name].needs), default=0)
    return depths
