"""Findings: problems of a file as a command prints them, in words or as JSON."""

from typing import Any

from rich.text import Text

from partsong.errors import Problem
from partsong_cluster.terminal import plain

__all__ = ["block", "counted", "fact"]


def fact(problem: Problem) -> dict[str, Any]:
    """Return a problem as a JSON object."""
    at = problem.at
    place = {} if at is None else {"file": at.file, "line": at.line, "column": at.column, "field": at.field}
    return {"code": problem.code, "what": problem.what, **place, "remedy": problem.remedy}


def block(severity: str, colour: str, problem: Problem) -> Text:
    """Return a problem as lines: what, where, what to do."""
    text = Text.assemble((severity, f"bold {colour}"), " ", (plain(problem.what), "bold"), (f"  [{problem.code}]", "dim"))
    if problem.at is not None:
        text.append(f"\n  {plain(str(problem.at))}", "dim")
    if problem.remedy:
        text.append(f"\n  {plain(problem.remedy)}")
    return text.append("\n")


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 error`, `2 errors`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
