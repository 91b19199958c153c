"""Gather: the rows of several runs become a section: summed up, compared row by row, and a few of them sampled. Two passes, flat memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import JsonValue
from pydantic_core import to_json

from partsong.contracts import Answer, Failure, Reply, RowRecord
from partsong.errors import RunError
from partsong.evaluation.baseline import Against, against, figures, holm_adjusted
from partsong.evaluation.edits import Edits, edits_of
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.marked import covered, expected_of, marked
from partsong.evaluation.summary import PlanSummary, Summing
from partsong.evaluation.worked import WRONG, Worked
from partsong.telemetry.tree import RowTrace, read_trace
from partsong_cluster.report.contents import CostUnit, FailureExample, ModelLine, PlanLine, SampleRow, Section, Shown

__all__ = ["PlanRun", "best_single", "section_of"]

_SAMPLES = 12
_TRACED = 3
_LONGEST_PROMPT = 4000
_SEED = 1
"""Of the dice that intervals are drawn with: the same rows give the same report."""

Grade = Callable[[RowRecord], bool | None]
"""Whether a row's answer is right; None when there is nothing to compare it with."""

Edit = Callable[[RowRecord], float | None]
"""How much of a row's answer people changed, 0 to 1; None when that is not recorded."""


@dataclass(frozen=True, slots=True)
class PlanRun:
    """One way of answering, and where its rows are."""

    name: str
    about: str
    records: Callable[[], Iterable[RowRecord]]
    """Reads its finished rows anew each time."""
    single: bool = False


@dataclass(slots=True)
class _Read:
    """What the first pass keeps of a run: its sums, and a few bytes a row."""

    summary: PlanSummary
    worked: Worked
    edits: Edits | None
    failed: dict[str, FailureExample]
    """By code, the first that failed so."""


def section_of(
    title: str,
    about: str,
    unit: CostUnit,
    runs: Sequence[PlanRun],
    *,
    strong: str = "",
    traces: Path | None = None,
    shows_latency: bool = True,
    says: Sequence[str] = (),
    notes: Sequence[str] = (),
    models: Sequence[ModelLine] = (),
    samples: int = _SAMPLES,
    grade: Grade = marked,
    edit: Edit = lambda _: None,
) -> Section:
    """Return the section of these runs, all over the same rows; `traces` is the folder of their trace files."""
    read = {run.name: _first_pass(run, unit, grade, edit) for run in runs}
    best = best_single([(run.single, read[run.name].summary) for run in runs], unit)
    lines = _lines(runs, read, best, strong)
    chosen = _chosen([read[run.name].worked.marks for run in runs], samples)
    return Section(
        title=title,
        about=about,
        rows=max((one.summary.rows + one.summary.not_covered for one in read.values()), default=0),
        unit=unit,
        shows_latency=shows_latency,
        strong=strong,
        lines=tuple(lines),
        failed=tuple(example for one in read.values() for example in one.failed.values()),
        models=tuple(models),
        samples=tuple(_sampled(runs, chosen, traces, grade)),
        says=tuple(says),
        notes=tuple(notes),
    )


def best_single(summaries: Iterable[tuple[bool, PlanSummary]], unit: CostUnit) -> str | None:
    """Return the single model that is most accurate on these rows, the cheapest of equals; None when none is graded."""
    singles = [summary for single, summary in summaries if single and summary.accuracy is not None]
    if not singles:
        return None
    return max(singles, key=lambda s: (s.accuracy or 0.0, -(s.usd_per_1000 if unit == "usd" else s.cpu_s_per_1000))).plan


def _first_pass(run: PlanRun, unit: CostUnit, grade: Grade, edit: Edit) -> _Read:
    summing, worked, sizes = Summing(run.name), Worked(), list[float]()
    failed: dict[str, FailureExample] = {}
    for record in run.records():
        right = grade(record)
        summing.add(record, right)
        if (size := edit(record)) is not None:
            sizes.append(size)
        reply = record.reply
        if isinstance(reply, Failure) and reply.code not in failed:
            failed[reply.code] = _failure(run.name, record, reply)
        if covered(record):
            cost = sum(line.cost_usd if unit == "usd" else line.cpu_s for line in reply.bill)
            worked.put(record.row, right, cost, reply.latency_s if isinstance(reply, Answer) else None)
    summary = summing.summary()
    return _Read(summary, worked, edits_of(sizes, summary.rows - summary.failed), failed)


def _failure(plan: str, record: RowRecord, failure: Failure) -> FailureExample:
    place = f"{Path(record.source).name}:{record.line}" if record.source else f"row {record.row + 1}"
    return FailureExample(plan=plan, code=failure.code, place=place, reason=failure.message)


def _lines(runs: Sequence[PlanRun], read: Mapping[str, _Read], best: str | None, strong: str) -> list[PlanLine]:
    dice = Random(_SEED).random  # noqa: S311  resampling, no secret
    singles = [read[run.name].worked for run in runs if run.single]
    beside = [_beside(run.name, best, read, dice) for run in runs]
    combined = iter(holm_adjusted([one for run, one in zip(runs, beside, strict=True) if not run.single]))
    beside = [one if run.single else next(combined) for run, one in zip(runs, beside, strict=True)]
    return [
        PlanLine(
            name=run.name,
            about=run.about,
            single=run.single,
            summary=(mine := read[run.name]).summary,
            strong_share=_reached(strong, mine.summary) if strong else None,
            figures=figures(mine.worked, singles, dice),
            edits=mine.edits,
            against_best=compared,
        )
        for run, compared in zip(runs, beside, strict=True)
    ]


def _reached(model: str, summary: PlanSummary) -> Figure | None:
    return share_of(round(summary.reached.get(model, 0.0) * summary.rows), summary.rows)


def _beside(name: str, best: str | None, read: Mapping[str, _Read], dice: Callable[[], float]) -> Against | None:
    """Return how the way did beside the best single model; None for that model itself, or when they share no graded row."""
    if best is None or best == name:
        return None
    found = against(read[best].worked, read[name].worked, dice)
    return found if found is not None and found.rows else None


def _chosen(marks: Sequence[bytearray], samples: int) -> Sequence[int]:
    """Return the rows to show: half of them such that the ways differ (or the only one errs), the others spread over all."""
    rows = range(min((len(one) for one in marks), default=0))
    differ = _spread(lambda: (row for row in rows if _tells(row, marks)), samples // 2)
    others = _spread(lambda: (row for row in rows if row not in differ), samples - len(differ))
    return sorted(differ | others)


def _tells(row: int, marks: Sequence[bytearray]) -> bool:
    first = marks[0][row]
    return first == WRONG if len(marks) == 1 else any(one[row] != first for one in marks)


def _spread(rows: Callable[[], Iterator[int]], count: int) -> set[int]:
    """Return so many of the rows, evenly spread; they are gone through twice and never listed."""
    total = sum(1 for _ in rows())
    take = min(count, total)
    places = {place * total // take for place in range(take)}
    return {row for place, row in enumerate(rows()) if place in places}


def _sampled(runs: Sequence[PlanRun], rows: Sequence[int], traces: Path | None, grade: Grade) -> Iterator[SampleRow]:
    if not rows:
        return
    found: dict[int, dict[str, RowRecord]] = {row: {} for row in rows}
    for run in runs:
        for record in run.records():
            if record.row in found:
                found[record.row][run.name] = record
    drawn = _spread(lambda: iter(rows[1:]), _TRACED)  # not the first: it waited for its workers to start
    for row, records in found.items():
        if records:
            name, trace = _most_worked(records, traces) if traces and row in drawn else ("", None)
            yield _sample(records, name, trace, grade)


def _sample(records: Mapping[str, RowRecord], traced: str, trace: RowTrace | None, grade: Grade) -> SampleRow:
    first = next(iter(records.values()))
    return SampleRow(
        custom_id=first.custom_id,
        about=_about(first),
        prompt=_prompt(first),
        expected=_said(expected_of(first)),
        shown=tuple(Shown(plan=name, reply=record.reply, right=grade(record)) for name, record in records.items()),
        traced=traced,
        trace=trace,
    )


def _most_worked(records: Mapping[str, RowRecord], traces: Path) -> tuple[str, RowTrace | None]:
    """Return the way with the most calls of its own that has a trace; calls that the cache answered left none."""
    for name, record in sorted(records.items(), key=lambda item: -_own_calls(item[1].reply)):
        trace_id = record.reply.trace_id if isinstance(record.reply, Answer) else ""
        if trace_id and (trace := _trace(traces, record.custom_id, trace_id)) is not None:
            return name, trace
    return "", None


def _own_calls(reply: Reply) -> int:
    return sum(line.outcome not in ("cache", "journal") for line in reply.bill)


def _trace(folder: Path, custom_id: str, trace_id: str) -> RowTrace | None:
    try:
        return read_trace(folder, custom_id, trace_id)
    except RunError:
        return None


def _about(record: RowRecord) -> str:
    text = record.task.metadata.get("text") if record.task else None
    lines = (text if isinstance(text, str) else _prompt(record)).strip().splitlines() or [""]
    telling = [line for line in lines if any(char.isalpha() for char in line) and not line.startswith("[")]
    return (telling or lines)[-1]


def _prompt(record: RowRecord) -> str:
    text = record.task.text if record.task else record.raw
    return text if len(text) <= _LONGEST_PROMPT else f"{text[:_LONGEST_PROMPT]} …"


def _said(value: JsonValue) -> str:
    return "" if value is None else value if isinstance(value, str) else to_json(value).decode()
