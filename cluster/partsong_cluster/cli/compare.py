"""`partsong compare RUN...`: runs side by side: rows, accuracy where the input holds labels, cost, latency."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from partsong.evaluation.grading import GRADERS, Grader
from partsong.evaluation.summary import PlanSummary, Summing
from partsong_cluster.batch.finished import finished_rows, manifest_of, plans_of
from partsong_cluster.report.billed import as_billed
from partsong_cluster.report.marked import EXPECTED, grader_of, marked
from partsong_cluster.terminal import plain

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = "Examples:  partsong compare out-mini out-vote  |  partsong compare out-* --expected intent --grade label --json"


class _Compared(PlanSummary):
    """One run's line."""

    graded_by: tuple[str, ...]
    """The kinds of grader that its rows were read with, most used first."""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)],
    expected: Annotated[str, typer.Option(help="The metadata field that holds the right answer.", metavar="FIELD")] = EXPECTED,
    grade: Annotated[
        str | None,
        typer.Option(help=f"How all are graded: {', '.join(GRADERS)}; default: by the row's own `grader`, else label.", metavar="KIND"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
) -> None:
    """Put runs side by side. Runs may still be at work: what is finished counts.

    Latency is that of a row's bill: what the journal or the cache answered counts as long as it took when it was asked.
    """
    if grade is not None and grade not in GRADERS:
        raise typer.BadParameter(f"{grade!r} is none of {', '.join(GRADERS)}", param_hint="--grade")
    over_all = None if grade is None else GRADERS[grade]()
    compared = [_summed(folder, expected, over_all) for folder in runs]
    if expected != EXPECTED and not any(one.graded for one in compared):
        raise typer.BadParameter(f"no row has {expected!r} in its metadata", param_hint="--expected")
    if as_json:
        typer.echo("[" + ",\n".join(one.model_dump_json(indent=2) for one in compared) + "]")
    else:
        Console(highlight=False).print(_table(compared))


def _name(folder: Path) -> str:
    use = manifest_of(folder).use
    return f"{folder.name} ({use})" if use else folder.name


def _summed(folder: Path, expected: str, over_all: Grader | None) -> _Compared:
    summing, graders = Summing(_name(folder)), Counter[str]()
    plans = plans_of(folder)
    for record in finished_rows(folder):
        right = marked(record, expected, over_all)
        if right is not None and (grader := over_all or grader_of(record)) is not None:
            graders[grader.kind] += 1
        summing.add(as_billed(record, plans), right)
    return _Compared(**dict(summing.summary()), graded_by=tuple(kind for kind, _ in graders.most_common()))


def _table(summaries: Sequence[_Compared]) -> Table:
    numbers = ("rows", "failed", "accuracy", "graded by", "$ / 1,000", "CPU s / 1,000", "calls / row", "p50", "p95")
    table = Table("run", *(Column(name, justify="right") for name in numbers), box=None, pad_edge=False, header_style="dim")
    for one in summaries:
        table.add_row(
            Text(plain(one.plan)),
            f"{one.rows:,}",
            f"{one.failed:,}",
            _accuracy(one),
            Text(plain(", ".join(one.graded_by) or "-")),
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
