"""Feedback: what users made of a run's answers, found by the rows' names and kept in the run's store."""

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from partsong.contracts.feedback import Feedback
from partsong.errors import InputError, Place
from partsong_cluster.batch.finished import finished_rows, manifest_of, store_of

__all__ = ["Verdict", "rate"]

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person says of one row."""

    row: str
    """Its custom id, or its number (from 0)."""
    score: float | None = None
    """1 right, 0 wrong, or in between; None says nothing of that."""
    comment: str = ""
    by: str = ""
    edited: str | None = None
    """The text that the person made of the answer; that alone says neither right nor wrong."""


def rate(run: Path, verdicts: Iterable[Verdict]) -> int:
    """Keep verdicts on rows of the run in this folder, all or none, and return how many; of one row by one person the latest counts.

    InputError names rows that the run has not answered; StoreError `store-locked` while a run writes an SQLite store.
    """
    manifest, given, now_s = manifest_of(run), list(verdicts), time.time()
    numbers = _numbers(run, {verdict.row for verdict in given})
    if missing := [verdict.row for verdict in given if verdict.row not in numbers]:
        named = ", ".join(map(repr, missing[:_MOST_NAMED])) + (" and more" if len(missing) > _MOST_NAMED else "")
        remedy = "name rows by the id or number that they have in output.jsonl"
        raise InputError("no-such-row", f"the run has finished no row {named}", at=Place(str(run)), remedy=remedy)
    feedback = [_feedback(manifest.run, numbers[verdict.row], verdict, now_s) for verdict in given]
    with closing(store_of(run, read_only=False)) as store:
        store.rate(feedback)
    return len(feedback)


def _feedback(run: str, row: int, verdict: Verdict, now_s: float) -> Feedback:
    try:
        said = {"by": verdict.by, "score": verdict.score, "comment": verdict.comment, "edited": verdict.edited}
        return Feedback.model_validate({"run": run, "row": row, "at_s": now_s, **said})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        what = f"the verdict on row {verdict.row!r} cannot be kept: {': '.join(map(str, (*first['loc'], first['msg'])))}"
        raise InputError("bad-feedback", what, remedy="shorten it, or mend it") from None


def _numbers(run: Path, names: set[str]) -> Mapping[str, int]:
    """Return the rows' numbers by what they are called; an id outranks a number."""
    by_id: dict[str, int] = {}
    by_number: dict[str, int] = {}
    for record in finished_rows(run):
        if record.custom_id in names:
            by_id.setdefault(record.custom_id, record.row)
        if str(record.row) in names:
            by_number[str(record.row)] = record.row
    return {**by_number, **by_id}
