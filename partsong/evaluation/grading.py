"""Grading: whether an answer is right, by the kind of answer, by what it contains, or by a pattern."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import JsonValue

from partsong.contracts import Answer, Reply
from partsong.contracts.onekey import OneKey
from partsong.errors import InputError
from partsong.evaluation.reading import KINDS, Grader

__all__ = ["GRADERS", "Contains", "Grader", "GraderField", "Python", "Regex", "graded"]

_LONGEST_MATCHED = 20_000
_RIGHT_FROM = 0.5


class Contains(Grader):
    """The text contains the reference, or one of them when it is a list."""

    kind = "contains"

    any_case: bool = True
    """Whether upper and lower case are the same."""

    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """See Grader.right."""
        wanted = reference if isinstance(reference, list) else [reference]
        return any(self._folded(str(one)) in self._folded(text) for one in wanted)

    def _folded(self, text: str) -> str:
        return text.casefold() if self.any_case else text


class Regex(Grader):
    """The pattern is found in the text; without a pattern of its own, the reference is the pattern."""

    kind = "regex"
    bare: ClassVar[str] = "pattern"

    pattern: str | None = None
    """Regular expression; its first group, if it has one, must be the reference."""

    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """See Grader.right; a pattern that is no regular expression finds nothing."""
        compiled = _compiled(str(reference) if self.pattern is None else self.pattern)
        found = compiled.search(text[:_LONGEST_MATCHED]) if compiled else None
        if found is None or self.pattern is None or not found.groups():
            return found is not None
        return found[1] == str(reference)


class Python(Grader):
    """A function of yours says: `def right(text: str, reference) -> bool | float`, 0.5 or more is right. Rows cannot name it."""

    kind = "python"

    function: Callable[[str, JsonValue], Any]
    """The function itself."""

    def right(self, text: str, value: JsonValue, reference: JsonValue) -> bool:
        """See Grader.right; InputError when the function raises, or says neither yes nor no."""
        try:
            return float(self.function(text, reference)) >= _RIGHT_FROM
        except Exception as error:
            name = getattr(self.function, "__name__", "the function")
            what = f"the grader {name} failed: {type(error).__name__}: {error}"
            raise InputError("grader-failed", what, remedy="it gets the answer's text and the reference, and returns a bool") from error


GRADERS: dict[str, type[Grader]] = {**KINDS, Contains.kind: Contains, Regex.kind: Regex}

"""What rows and the command line may name; a function of Python is only for the command line: rows run no code."""

GraderField = Annotated[Grader, OneKey("grader", GRADERS)]
"""A grader as the mesh file writes it: `number`, `{label: [positive, negative]}`, `{regex: "^yes"}`."""


def graded(grader: Grader, reply: Reply, reference: JsonValue) -> bool:
    """Return whether the reply is right; a failure is wrong."""
    return isinstance(reply, Answer) and grader.right(reply.text, reply.value, reference)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None
