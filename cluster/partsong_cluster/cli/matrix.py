"""`partsong matrix RUN...`: models by kinds of task: how often right, at what cost, how fast; and what no model does well."""

import csv
import io
import json
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from partsong.errors import InputError, Place
from partsong.evaluation.marked import EXPECTED
from partsong.learning.knowledge import learn_installed
from partsong_cluster.cli.compare import Expected, Grade
from partsong_cluster.cli.learn import Kind, reading_of
from partsong_cluster.terminal import in_a_cell, in_json

if TYPE_CHECKING:
    from partsong_cluster.outcomes.matrix import Matrix

__all__ = ["EXAMPLES", "matrix"]

EXAMPLES = "Examples:  partsong matrix out-vote  |  partsong matrix out-mini out-large --kind subject --csv -o matrix.csv"


def matrix(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...", show_default=False)],
    kind: Kind = None,
    expected: Expected = EXPECTED,
    grade: Grade = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each model and kind.")] = False,
) -> None:
    """Show what each model is good at, by its own replies in these runs, whichever plan asked.

    Rows that name no kind are parted by the words of their prompts. A share of few rows is shrunk towards the model's mean; the interval is
    of 95 %. Right is what labels say (metadata `expected`), then feedback, else the models' agreement, which is said.
    """
    if as_json and as_csv:
        raise typer.BadParameter("either --json or --csv", param_hint="--csv")
    with learn_installed():
        from partsong_cluster.outcomes.matrix import matrix_of_runs
    with learn_installed(), Console(stderr=True, highlight=False).status("reading runs"):
        found = matrix_of_runs(runs, reading_of(expected, grade, kind))
    if as_json:
        _put(in_json(json.dumps(_facts(found), indent=2)) + "\n", output)
    elif as_csv:
        _put(_csv(found), output)
    else:
        _show(found, output)


def _show(found: "Matrix", output: Path | None) -> None:
    from partsong_cluster.cli.show_matrix import matrix_shown

    text = io.StringIO()
    console = Console(highlight=False) if output is None else Console(file=text, width=120, highlight=False)
    console.print(matrix_shown(found, console.width))
    if output is not None:
        _put(text.getvalue(), output)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"the file cannot be written: {error.strerror or error}"
        raise InputError("output-unwritable", what, at=Place(str(output)), remedy="name another file with -o") from None


def _facts(found: "Matrix") -> dict[str, Any]:
    return {
        "rows": found.rows,
        "source": found.source,
        "kinds_from": found.kinds_from,
        "cells": [_known(asdict(cell)) for cell in found.cells],
        "models": [_known(asdict(usage)) for usage in found.usage],
        "gaps": [asdict(gap) for gap in found.gaps],
        "warnings": list(found.warnings),
    }


def _csv(found: "Matrix") -> str:
    text = io.StringIO()
    lines = [{name: in_a_cell(value) for name, value in _known(asdict(cell)).items()} for cell in found.cells]
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with null for what is not known, or of too few rows to say."""
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in facts.items()}
