"""Complexity: what a row asks, in a word or two, known before anybody answers: rows alike are compared with each other."""

from partsong.contracts import Task
from partsong.routing.code import looks_like_code

__all__ = ["complexity_of"]

_SHORT_CHARACTERS = 400
_MEDIUM_CHARACTERS = 2_000


def complexity_of(task: Task) -> str:
    """Return the row's kind where its metadata name one, its parts beside text, and whether it is short, medium or long."""
    kind = task.kind_by()
    parts = sorted(task.part_types - {"text", "code"})
    code = ["code"] if "code" in task.part_types or looks_like_code(task.text) else []
    characters = len(task.text)
    size = "short" if characters < _SHORT_CHARACTERS else "medium" if characters < _MEDIUM_CHARACTERS else "long"
    return " ".join([*([kind] if kind else []), *parts, *code, size])
