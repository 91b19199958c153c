"""`partsong feedback RUN ROW --right`: what users say and make of answers, kept beside them; `learn`, `matrix` and `compare` read it."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from partsong.errors import InputError, Place
from partsong_cluster.batch.places import STDIN
from partsong_cluster.feedback import Verdict, rate
from partsong_cluster.report.words import counted
from partsong_cluster.terminal import in_json

__all__ = ["EXAMPLES", "feedback"]

EXAMPLES = (
    "Examples:  partsong feedback out q17 --wrong --comment 'the PIN has six digits' --by ann  |  "
    "partsong feedback out q18 --edited 'Choose six digits.'  |  partsong feedback out --file feedback.jsonl"
)
_FIELDS = "row; right (true or false) or score (0 to 1), or edited, or both; comment, by"


def feedback(
    run: Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN", show_default=False)],
    row: Annotated[str | None, typer.Argument(help="The row's custom id, or its number.", metavar="ROW", show_default=False)] = None,
    right: Annotated[bool | None, typer.Option("--right/--wrong", help="The answer is right, or is not.", show_default=False)] = None,
    score: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="How right it is, 0 to 1; 0.5 or more counts as right.")] = None,
    edited: Annotated[
        str | None, typer.Option(help="The text that you made of the answer; alone it says neither right nor wrong.", metavar="TEXT")
    ] = None,
    comment: Annotated[str, typer.Option(help="Why.", metavar="TEXT")] = "",
    by: Annotated[str, typer.Option(help="Who says so; of one person the latest word on a row counts.", metavar="NAME")] = "",
    file: Annotated[Path | None, typer.Option("--file", help=f"JSONL with many: {_FIELDS}; `-` is standard input.", metavar="FILE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
) -> None:
    """Say what an answer of a run was worth, or what you made of it. It is kept in the run's store; a label outranks a verdict where the
    row has one.
    """
    if (row is None) == (file is None):
        raise typer.BadParameter("name one row, or a --file with many", param_hint="ROW")
    if file is None and (right is not None if score is not None else right is None and edited is None):
        raise typer.BadParameter("say one of --right, --wrong and --score, or what you made of it with --edited", param_hint="--right")
    verdicts = [Verdict(str(row), _score(right, score), comment, by, edited)] if file is None else list(_read(file))
    kept = rate(run, verdicts)
    typer.echo(in_json(json.dumps({"kept": kept})) if as_json else f"kept {counted(kept, 'verdict')}")


def _score(right: bool | None, score: float | None) -> float | None:
    return score if right is None else float(right)


def _read(file: Path) -> Iterator[Verdict]:
    """Yield a file's verdicts; InputError names the first line that is none."""
    try:
        text = sys.stdin.read() if str(file) == STDIN else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "feedback-unreadable", f"the file cannot be read: {error}", at=Place(str(file)), remedy="name a JSONL file"
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield _verdict(line, Place(str(file), number))


def _verdict(line: str, at: Place) -> Verdict:
    try:
        given = json.loads(line)
        if not isinstance(given, Mapping):
            raise TypeError("it is no JSON object")
        edited = given.get("edited")
        if edited is not None and not isinstance(edited, str):
            raise ValueError("edited is no text")
        score = None if edited is not None and given.keys().isdisjoint(("right", "score")) else _number(given)
        return Verdict(_row(given), score, str(given.get("comment") or ""), str(given.get("by") or ""), edited)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("feedback-line", f"the line is no feedback: {error}", at=at, remedy=f"its keys: {_FIELDS}") from None


def _row(given: Mapping[str, Any]) -> str:
    row = given.get("row", given.get("custom_id"))
    if isinstance(row, bool) or not isinstance(row, str | int):
        raise ValueError("it names no row")
    return str(row)


def _number(given: Mapping[str, Any]) -> float:
    right, score = given.get("right"), given.get("score")
    if isinstance(right, bool) and score is None:
        return float(right)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1 or right is not None:
        raise ValueError("it says neither right (true or false) nor score (0 to 1)")
    return float(score)
