"""`partsong models`: the weights of local models that can be fetched by name: which there are, fetching them, where they lie."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from partsong.adapters.weights import KNOWN, FileSource, Weights, cache_folder, cached, located, pull
from partsong.errors import WeightsError

__all__ = ["app"]

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Weights of local models: list them (ls), fetch them (pull), say where they lie (path).",
)


@app.command("ls")
def list_weights(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the weights that can be fetched by name, and which are here."""
    folder = cache_folder(os.environ)
    if as_json:
        typer.echo(json.dumps([_facts(weights, folder) for weights in KNOWN.values()], indent=2))
        return
    table = Table("name", "model", Column("size", justify="right"), "licence", "here", box=None, padding=(0, 1, 0, 0), header_style="dim")
    for weights in KNOWN.values():
        here = "yes" if cached(weights, folder) else "no"
        table.add_row(weights.name, weights.title, _megabytes(weights), weights.licence, here)
    console = Console()
    console.print(table)
    console.print(f"\n{folder}", style="dim", highlight=False, soft_wrap=True)


@app.command("pull")
def pull_weights(
    names: Annotated[list[str] | None, typer.Argument(help="Names that `partsong models ls` shows.", metavar="NAME...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Fetch all of them.")] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Take the bytes from this file; its sum is checked.", metavar="FILE")
    ] = None,
) -> None:
    """Fetch weights into the cache, checked by SHA-256; what is there already is left alone."""
    wanted = list(KNOWN.values()) if every else [_known(name) for name in names or ()]
    if not wanted or (source is not None and len(wanted) > 1):
        raise typer.BadParameter("give one name with --from" if wanted else "give the names of weights, or --all")
    folder = cache_folder(os.environ)
    sources = None if source is None else (FileSource(source),)
    for weights in wanted:
        if found := cached(weights, folder):
            typer.echo(f"{weights.name}: here already, {found}")
            continue
        with _shown(weights) as progress:
            found = pull(weights, folder, progress, sources)
        typer.echo(f"{weights.name}: {_megabytes(weights)}, sum as expected, {found}")


@app.command("path")
def weights_path(name: Annotated[str, typer.Argument(help="A name that `partsong models ls` shows.", metavar="NAME")]) -> None:
    """Print the path of weights that are here."""
    typer.echo(located(_known(name).name, Path(), cache_folder(os.environ)))


def _known(name: str) -> Weights:
    if name not in KNOWN:
        raise WeightsError("unknown-weights", f"there are no weights named {name!r}", remedy=f"known are {', '.join(KNOWN)}")
    return KNOWN[name]


def _facts(weights: Weights, folder: Path) -> dict[str, str | int | bool | None]:
    found = cached(weights, folder)
    return {
        "name": weights.name,
        "title": weights.title,
        "size_bytes": weights.size_bytes,
        "licence": weights.licence,
        "sha256": weights.sha256,
        "cached": found is not None,
        "path": None if found is None else str(found),
    }


def _megabytes(weights: Weights) -> str:
    return f"{weights.size_bytes / 1e6:,.0f} MB"


@contextmanager
def _shown(weights: Weights) -> Iterator[Callable[[int, str], None]]:
    """Show progress: a bar on a terminal, a line for each step elsewhere; on standard error, as it is no result."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(weights).tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(weights.name, total=weights.size_bytes)
        yield lambda done_bytes, doing: bars.update(bar, completed=done_bytes, description=doing[:60])


class _Lines:
    """Prints what is being done when it changes."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._last = ""

    def tell(self, done_bytes: int, doing: str) -> None:
        if doing != self._last:
            typer.echo(f"{self._weights.name}: {done_bytes / 1e6:,.0f} of {_megabytes(self._weights)}, {doing}", err=True)
        self._last = doing
