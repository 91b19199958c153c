"""`partsong ask MESH "question"`: one answer, in this process, text as it comes where the plan allows."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console

import partsong
from partsong.contracts import Answer, Reply, Task
from partsong.contracts.allowed import Allowed
from partsong.errors import InputError
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.cli.explain import explained
from partsong_cluster.terminal import as_read, as_shown, in_json, plain

__all__ = ["EXAMPLES", "ask"]

EXAMPLES = (
    'Examples:  partsong ask mesh.yaml "How do I change my PIN?"  |  partsong ask mesh.yaml "17 * 23?" --use vote --explain  |  '
    "cat letter.txt | partsong ask mesh.yaml - --json"
)


def ask(
    mesh: Annotated[Path, typer.Argument(help="The mesh file.", metavar="MESH", show_default=False)],
    question: Annotated[str, typer.Argument(help="The prompt; `-` reads it from standard input.", metavar="QUESTION", show_default=False)],
    use: Annotated[
        str | None,
        typer.Option("--use", "--plan", "--model", help="The model or plan that answers; default: by the routes.", metavar="NAME"),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show route, tiers, votes, calls and cost, on standard error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    allow: Allow = None,
) -> None:
    """Answer one prompt. Needs no Ray and starts at once.

    Exit code 0: there is an answer; 3: there is none, the reason is on standard error; others: `partsong run --help`.
    """
    text = sys.stdin.read() if question == "-" else question
    if not text.strip():
        raise InputError("no-question", "the question is empty", remedy="write it behind the mesh file, or pipe it in with `-`")
    printer = _Printer(silent=as_json)
    reply = asyncio.run(_asked(mesh, allowed_by(allow), Task.of(text, use=use), printer))
    if as_json:
        typer.echo(in_json(_json(reply)))
    else:
        printer.finish(reply)
    if explain:
        Console(stderr=True, highlight=False).print(explained(reply))
    if not isinstance(reply, Answer):
        typer.echo(f"{reply.code}: {as_shown(reply.message)}" + (f"\n  at {plain(reply.where)}" if reply.where else ""), err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)


async def _asked(mesh: Path, allowed: Allowed, task: Task, printer: "_Printer") -> Reply:
    async with partsong.open(mesh, allowed=allowed) as opened:
        return await opened.ask(task, on_text=printer.text)


def _json(reply: Reply) -> str:
    try:
        return reply.model_dump_json(indent=2)
    except ValueError:  # half a surrogate pair: JSON has it as an escape
        return json.dumps(to_jsonable_python(reply), indent=2)


class _Printer:
    """Prints an answer's text as it comes, once."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._printed = ""

    def text(self, piece: str) -> None:
        if not self._silent:
            self._printed += piece
            typer.echo(as_read(piece), nl=False, color=True)

    def finish(self, reply: Reply) -> None:
        """End the line; print the answer where what was streamed is not it (a repair, a merge)."""
        if isinstance(reply, Answer) and reply.text != self._printed:
            typer.echo(("\n" if self._printed else "") + as_read(reply.text), color=True)
        elif self._printed:
            typer.echo()
