"""Failed row: a line of an earlier run's `errors.jsonl`, read as the row that failed, so that the file is an input as it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.position import BadRowError
from partsong_cluster.batch.record import json_kind

__all__ = ["FailedRow", "failed_row"]

_SIGNS = frozenset({"custom_id", "code", "reason", "input"})


@dataclass(frozen=True, slots=True)
class FailedRow:
    """What was asked when it failed."""

    custom_id: str
    """The name it had; empty when not even that could be read."""
    given: object
    """The row as an object, or as the text that could not be read then."""
    columns: Columns
    """How its object names id and prompt: rows that were tasks are written with the ordinary names, whatever the input's were."""

    def fields(self) -> Mapping[str, Any]:
        """Return the row's fields; BadRowError when it is still none."""
        given = self.given
        if isinstance(given, str):
            try:
                given = from_json(given, allow_inf_nan=False)
            except ValueError:
                raise BadRowError("the failed row's `input` is text that is no JSON; mend it, or the file it came from") from None
        if not isinstance(given, dict):
            raise BadRowError(f"the failed row's `input` is {json_kind(given)}, not an object")
        return given


def failed_row(fields: Mapping[str, Any], shape: Shape) -> FailedRow | None:
    """Return the row that failed when the fields are a line of `errors.jsonl`; None when they are a row themselves."""
    if not fields.keys() >= _SIGNS or "body" in fields:
        return None
    given, name = fields["input"], fields["custom_id"]
    return FailedRow(name if isinstance(name, str) else "", given, shape.columns if isinstance(given, str) else Columns())
