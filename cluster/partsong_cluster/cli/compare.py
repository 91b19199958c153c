"""`partsong compare RUN...`: runs side by side, and row by row against the best single model: accuracy, cost, latency."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from partsong.adapters.python import imported
from partsong.contracts.allowed import Allowed
from partsong.evaluation.baseline import Against, Figures, Wanted
from partsong.evaluation.edits import Edits
from partsong.evaluation.grading import GRADERS, Grader, Python
from partsong.evaluation.marked import EXPECTED
from partsong.evaluation.summary import PlanSummary
from partsong_cluster.report.contents import Section
from partsong_cluster.report.headline import headline
from partsong_cluster.report.runs import Marker, sections_of_runs
from partsong_cluster.report.table import baseline_tables, section_table
from partsong_cluster.report.words import counted
from partsong_cluster.terminal import plain

__all__ = ["EXAMPLES", "Compared", "Expected", "Grade", "compare", "compared", "grader_named", "marker_of", "section_shown"]

EXAMPLES = "Examples:  partsong compare out-mini out-vote  |  partsong compare out-* --expected intent --grade label --json"

Expected = Annotated[str, typer.Option(help="The metadata field that holds the right answer.", metavar="FIELD")]
Grade = Annotated[
    str | None,
    typer.Option(
        help=f"How all are graded: {', '.join(GRADERS)}, python:MODULE:FUNCTION; default: by the row's own `grader`, else label.",
        metavar="KIND",
    ),
]


class Compared(PlanSummary):
    """One run's line."""

    graded_by: tuple[str, ...]
    """The kinds of grader that its rows were read with, most used first."""
    figures: Figures | None
    """What it came to, with intervals."""
    edits: Edits | None
    """What people changed of its answers (`partsong feedback --edited`); None when that is not recorded."""
    against_best: Against | None
    """How it did on the same rows beside the best single model, which is A; None for that one, or when there is none of the same input."""
    wanted: Wanted | None
    """What it takes to show the difference that --wanted names."""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)],
    expected: Expected = EXPECTED,
    grade: Grade = None,
    wanted: Annotated[
        float | None, typer.Option(min=0.01, max=100.0, help="A difference one would act on: say how many rows show it.", metavar="POINTS")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
) -> None:
    """Put runs side by side. Runs may still be at work: what is finished counts.

    Runs of one model each, over the same input, are the baseline: every other is compared with the best of them row by row. Latency is that
    of a row's answers, as long as each took when it was made: one after another they add up, without retries and waits for a turn.
    """
    mark = marker_of(expected, grade)
    sections = sections_of_runs(runs, mark)
    if expected != EXPECTED and not any(line.summary.graded for section, _ in sections for line in section.lines):
        raise typer.BadParameter(f"no row has {expected!r} in its metadata", param_hint="--expected")
    apart = "These runs are over different inputs: only those of the same input were compared row by row."
    if as_json:
        if len(sections) > 1:
            typer.echo(apart, err=True)
        for note in (note for section, _ in sections for note in section.notes):
            typer.echo(f"warning: {note}", err=True)
        lines = [one for section, folders in sections for one in compared(section, folders, mark, wanted)]
        typer.echo("[" + ",\n".join(one.model_dump_json(indent=2) for one in lines) + "]")
        return
    console = Console(highlight=False)
    for section, folders in sections:
        console.print(section_shown(section, graded_by=[kind for folder in folders for kind in mark.kinds(folder)]))
        for line in _wanted_told(section, wanted):
            console.print(Text(plain(line)))
    if len(sections) > 1:
        console.print(Text(apart, "yellow"))


def marker_of(expected: str, grade: str | None) -> Marker:
    """Return what marks rows, by the two options."""
    return Marker(expected, grader_named(grade))


def grader_named(grade: str | None) -> Grader | None:
    """Return the grader that the option names: a kind, or `python:MODULE:FUNCTION` beside where one stands."""
    if grade is None:
        return None
    kind, _, function = grade.partition(":")
    if kind == Python.kind and function:
        return Python(function=imported(function, Path.cwd(), Allowed(installed_modules=True)))
    if grade not in GRADERS:
        raise typer.BadParameter(f"{grade!r} is none of {', '.join(GRADERS)}, python:MODULE:FUNCTION", param_hint="--grade")
    return GRADERS[grade]()


def section_shown(section: Section, graded_by: Sequence[str]) -> Group:
    """Return a section as the terminal shows it."""
    return Group(*_parts(section, graded_by))


def compared(section: Section, folders: Sequence[Path], mark: Marker, wanted: float | None = None) -> Iterator[Compared]:
    """Yield each run's line of a section, as JSON tells it; `wanted` is a difference in points that one would act on."""
    for line, folder in zip(section.lines, folders, strict=True):
        summary, graded_by, against = dict(line.summary), mark.kinds(folder), line.against_best
        takes = None if wanted is None or against is None else against.wanted(wanted / 100)
        yield Compared(**summary, graded_by=graded_by, figures=line.figures, edits=line.edits, against_best=against, wanted=takes)


def _wanted_told(section: Section, wanted: float | None) -> Iterator[str]:
    for line in section.lines:
        if wanted is not None and line.against_best is not None:
            takes = line.against_best.wanted(wanted / 100)
            rows = (
                f"these {line.against_best.rows:,} rows show it {takes.power * 100:.0f} times in 100, {takes.rows_needed:,} rows 80 times"
            )
            yield f"  If {line.name} differs from the best single model by {wanted:g} points, {rows}."


def _parts(section: Section, graded_by: Sequence[str]) -> Iterator[RenderableType]:
    yield Text(plain(f"{section.title}, {counted(section.rows, 'row')}"), "dim")
    yield section_table(section)
    graded = any(line.summary.graded for line in section.lines)
    if graded or any(line.edits for line in section.lines):
        for table in baseline_tables(section):
            yield Text()
            yield table
    yield Text()
    for sentence in headline(section):
        yield Padding(Text(plain(sentence)), (0, 0, 0, 2))
    if graded:
        yield Text(f"Graded by: {', '.join(dict.fromkeys(graded_by))}.", "dim")
    if section.rows:
        yield Text("Below each figure its 95 % interval; in brackets the rows that it rests on, where not all.", "dim")
    yield from (Text(plain(note), "yellow") for note in section.notes)
    yield Text()
