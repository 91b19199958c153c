"""`partsong compare RUN...`: runs side by side: rows, accuracy where the input holds labels, cost, latency."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from partsong.contracts import RowRecord
from partsong.evaluation.grading import GRADERS, Grader, graded
from partsong.evaluation.summary import PlanSummary, Summing
from partsong_cluster.batch.finished import finished_rows, manifest_of

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = "Examples:  partsong compare out-mini out-vote  |  partsong compare out-* --expected intent --grade label --json"


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)],
    expected: Annotated[str, typer.Option(help="The metadata field that holds the right answer.", metavar="FIELD")] = "expected",
    grade: Annotated[str, typer.Option(help=f"How answers are compared with it: {', '.join(GRADERS)}.", metavar="KIND")] = "label",
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
) -> None:
    """Put runs side by side. Runs may still be at work: what is finished counts."""
    if grade not in GRADERS:
        raise typer.BadParameter(f"{grade!r} is none of {', '.join(GRADERS)}", param_hint="--grade")
    grader = GRADERS[grade]()
    summaries = [_summed(_name(folder), finished_rows(folder), grader, expected) for folder in runs]
    if as_json:
        typer.echo("[" + ",\n".join(summary.model_dump_json(indent=2) for summary in summaries) + "]")
    else:
        Console(highlight=False).print(_table(summaries))


def _name(folder: Path) -> str:
    use = manifest_of(folder).use
    return f"{folder.name} ({use})" if use else folder.name


def _summed(name: str, records: Iterable[RowRecord], grader: Grader, expected: str) -> PlanSummary:
    summing = Summing(name)
    for record in records:
        reference: JsonValue = record.task.metadata.get(expected) if record.task else None
        summing.add(record, None if reference is None else graded(grader, record.reply, reference))
    return summing.summary()


def _table(summaries: Sequence[PlanSummary]) -> Table:
    numbers = ("rows", "failed", "accuracy", "$ / 1,000", "CPU s / 1,000", "calls / row", "p50", "p95")
    table = Table("run", *(Column(name, justify="right") for name in numbers), box=None, pad_edge=False, header_style="dim")
    for one in summaries:
        table.add_row(
            Text(one.plan),
            f"{one.rows:,}",
            f"{one.failed:,}",
            _accuracy(one),
            f"{one.usd_per_1000:,.3f}",
            f"{one.cpu_s_per_1000:,.1f}",
            f"{one.calls_per_row:.2f}",
            f"{one.latency_p50_s:.2f} s",
            f"{one.latency_p95_s:.2f} s",
        )
    return table


def _accuracy(one: PlanSummary) -> str:
    if one.accuracy is None or one.accuracy_interval is None:
        return "-"
    low, high = one.accuracy_interval
    return f"{one.accuracy:.1%} ({low:.1%} to {high:.1%})"
