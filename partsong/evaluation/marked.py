"""Marked: whether a row's answer is what its metadata expect, by the grader that the row names itself."""

from functools import lru_cache

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from partsong.contracts import Failure, FailureCode, RowRecord
from partsong.evaluation.grading import Grader, GraderField, graded

__all__ = ["EXPECTED", "covered", "expected_of", "grader_of", "marked"]

EXPECTED = "expected"
"""The metadata field that holds the right answer."""

_USUAL = "label"


def marked(record: RowRecord, field: str = EXPECTED, over_all: Grader | None = None) -> bool | None:
    """Return whether the answer is right; None when the row expects nothing, or a replay does not cover it.

    `over_all` grades whatever the row says.
    """
    if not covered(record):
        return None
    reference = expected_of(record, field)
    grader = over_all or grader_of(record)
    return None if reference is None or grader is None else graded(grader, record.reply, reference)


def covered(record: RowRecord) -> bool:
    """Return whether the row says something of its plan: that of a replay may not."""
    return not (isinstance(record.reply, Failure) and record.reply.code is FailureCode.NOT_COVERED)


def expected_of(record: RowRecord, field: str = EXPECTED) -> JsonValue:
    """Return the right answer; None when the row has none."""
    return record.task.metadata.get(field) if record.task else None


def grader_of(record: RowRecord) -> Grader | None:
    """Return the grader that the row's `grader` names, else the usual one; None when what stands there is no grader."""
    return _grader(to_json(record.task.metadata.get("grader", _USUAL) if record.task else _USUAL).decode())


_GRADER: TypeAdapter[Grader] = TypeAdapter(GraderField)


@lru_cache(maxsize=256)
def _grader(entry_json: str) -> Grader | None:
    try:
        return _GRADER.validate_python(from_json(entry_json))
    except ValidationError:  # some other field of the user's that happens to be called so
        return None
