"""`partsong config`: check a mesh file, show what it comes to, print its JSON Schema."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from partsong.adapters.python import imported
from partsong.mesh import Findings, check_mesh, load_mesh
from partsong.mesh.show import as_yaml, json_schema, shown
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.findings import block, counted, fact
from partsong_cluster.terminal import as_read, in_json, plain

__all__ = ["app"]

PROBLEMS_FOUND = 1

app = typer.Typer(
    name="config",
    help="Check a mesh file, show what it comes to, print its JSON Schema.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

MeshFile = Annotated[Path, typer.Argument(metavar="FILE", help="The mesh file.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]


@app.command(
    epilog="Examples:  partsong config check mesh.yaml  |  partsong config check mesh.yaml --json  |  "
    "partsong config check mesh.yaml --no-secrets   (on a machine that has no keys)"
)
def check(
    file: MeshFile,
    as_json: AsJson = False,
    secrets: Annotated[bool, typer.Option(help="Look whether environment variables and secret files are there.")] = True,
    allow: Allow = None,
) -> None:
    """Report everything that is wrong with a mesh file at once: what, where, what to do.

    Python functions that plans and models name are imported, files that models name are looked for.

    Exit code 0: it can be used (there may be warnings); 1: it has problems; 2: wrong usage.
    """
    may = allowed_by(allow)
    importing = partial(imported, folder=file.parent, allowed=may)
    found = check_mesh(file, env=os.environ, check_secrets=secrets, import_function=importing, ask_adapters=True, allowed=may)
    if as_json:
        typer.echo(json.dumps(_facts(file, found), indent=2))
    else:
        _print_findings(Console(highlight=False, soft_wrap=True), str(file), found)
    if found.errors:
        raise typer.Exit(PROBLEMS_FOUND)


@app.command(
    epilog="Examples:  partsong config show mesh.yaml  |  partsong config show mesh.yaml --defaults  |  "
    "partsong config show mesh.yaml --json | jq .models"
)
def show(
    file: MeshFile,
    defaults: Annotated[bool, typer.Option("--defaults", help="Also what is not written and has a default.")] = False,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Print the effective file: `extends` and `include` composed, secrets as references or masked.

    Exit code 0: printed; 2: the file has problems, which are listed on standard error, or wrong usage.
    """
    loaded = load_mesh(file, env={}, check_secrets=False, allowed=allowed_by(allow))
    content = shown(loaded, defaults=defaults)
    typer.echo(in_json(json.dumps(content, indent=2, ensure_ascii=False)) if as_json else as_read(as_yaml(content)), nl=as_json)


@app.command(
    epilog="Example:  partsong config schema > mesh.schema.json   and in the mesh file:  # yaml-language-server: $schema=mesh.schema.json"
)
def schema() -> None:
    """Print the JSON Schema of mesh files, by which editors complete and check them."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _facts(file: Path, found: Findings) -> dict[str, Any]:
    return {
        "file": str(file),
        "ok": not found.errors,
        "errors": [fact(problem) for problem in found.errors],
        "warnings": [fact(problem) for problem in found.warnings],
    }


def _print_findings(console: Console, subject: str, found: Findings) -> None:
    for severity, colour, problems in (("error", "red", found.errors), ("warning", "yellow", found.warnings)):
        for problem in problems:
            console.print(block(severity, colour, problem))
    console.print(_verdict(subject, found))


def _verdict(subject: str, found: Findings) -> Text:
    counts = " and ".join(
        counted(len(problems), noun) for problems, noun in ((found.errors, "error"), (found.warnings, "warning")) if problems
    )
    if found.mesh is None:
        return Text(f"{plain(subject)}: {counts}")
    has = ", ".join(counted(len(part), noun) for part, noun in _parts(found) if part)
    return Text(f"{plain(subject)}: good ({has})" + (f", with {counts}" if counts else ""))


def _parts(found: Findings) -> Sequence[tuple[Sequence[object], str]]:
    assert found.mesh is not None, "asked only of a mesh that can be used"
    mesh = found.mesh
    return [(list(mesh.models), "model"), (list(mesh.plans), "plan"), (list(mesh.experiments), "experiment"), (mesh.routes, "route")]
