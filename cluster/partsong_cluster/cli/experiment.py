"""`partsong experiment`: how champion and challenger stand, and the decision between them, written into the mesh file and kept."""

import getpass
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from partsong.contracts import Arm
from partsong.errors import Place, RunError
from partsong.evaluation.figure import Figure
from partsong.evaluation.standing import Standing
from partsong_cluster.decisions import Decision, decide, decisions_beside
from partsong_cluster.report.cells import cost_cell, latency_cells, right_cell
from partsong_cluster.report.experiments import standings_of
from partsong_cluster.report.standing_words import standing_words
from partsong_cluster.report.table import cell_shown
from partsong_cluster.report.words import share, share_range
from partsong_cluster.terminal import plain

__all__ = ["app"]

app = typer.Typer(
    name="experiment",
    help="Champion and challenger: how they stand (show), and which it shall be (promote, rollback, decisions).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]
MeshFile = Annotated[Path, typer.Argument(metavar="MESH", help="The mesh file.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, in your words; needed without --run.", metavar="TEXT")]
Evidence = Annotated[
    list[Path] | None, typer.Option("--run", help="Folder of a run whose figures are kept as evidence; may be repeated.", metavar="RUN")
]


@app.command(epilog="Examples:  partsong experiment show out  |  partsong experiment show monday tuesday --name new-model --json")
def show(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, the earliest first.", metavar="RUN...", show_default=False)],
    name: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be repeated.", metavar="NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """Say who leads, whether that is sure, whether one may stop, and how far a rollout has got.

    Runs may still be at work, and one may look as often as one likes.

    Exit code 0: shown; 2: wrong usage; 6: a folder holds no run, the runs have no experiment, or mean different
    ones by one name.
    """
    standings = standings_of(runs, name or ())
    if not standings:
        remedy = "write `experiments` into the mesh file (docs/experiments.md), and run it"
        raise RunError("no-experiment", "the mesh of these runs has no `experiments`", at=Place(str(runs[0])), remedy=remedy)
    if as_json:
        facts = [{**one.model_dump(mode="json"), "words": list(standing_words(one))} for one in standings]
        typer.echo(json.dumps(facts, indent=2))
    else:
        Console(highlight=False).print(Group(*(part for one in standings for part in _parts(one))))


@app.command(
    epilog="Examples:  partsong experiment promote mesh.yaml new-model --run out  |  "
    'partsong experiment promote mesh.yaml new-model --reason "cheaper, and as good by our own review"'
)
def promote(mesh: MeshFile, name: Name, run: Evidence = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Let the challenger answer every row of the experiment from now on.

    Writes `decided: challenger` into the mesh file, whose comments stay, and who, when, why and the runs' figures into experiments.jsonl
    beside it. Runs that are under way go on by the mesh they were started with.

    Exit code 0: decided; 2: the mesh file or the usage is wrong; 6: a folder holds no such run.
    """
    _decide(mesh, name, "challenger", run or (), reason, as_json=as_json)


@app.command(
    epilog='Examples:  partsong experiment rollback mesh.yaml new-model --reason "complaints about tone"  |  '
    "partsong experiment rollback mesh.yaml new-model --run out"
)
def rollback(mesh: MeshFile, name: Name, run: Evidence = None, reason: Reason = "", as_json: AsJson = False) -> None:
    """Let the champion answer every row of the experiment from now on, also after the challenger was promoted.

    Writes `decided: champion` into the mesh file; else as promote.

    Exit code 0: decided; 2: the mesh file or the usage is wrong; 6: a folder holds no such run.
    """
    _decide(mesh, name, "champion", run or (), reason, as_json=as_json)


@app.command(epilog="Examples:  partsong experiment decisions mesh.yaml  |  partsong experiment decisions mesh.yaml --json")
def decisions(mesh: MeshFile, as_json: AsJson = False) -> None:
    """List what was decided about the mesh file's experiments: when, by whom, for which arm, and why.

    Exit code 0: listed; 2: wrong usage, or experiments.jsonl beside the mesh file cannot be read.
    """
    found = decisions_beside(mesh)
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
    elif found:
        table = Table("when", "experiment", "for", "use", "who", "why", box=None, pad_edge=False, header_style="dim")
        for one in found:
            table.add_row(*(Text(plain(cell)) for cell in (one.at[:16], one.experiment, one.arm, one.use, one.who, one.reason)))
        Console(highlight=False).print(table)
    else:
        typer.echo("Nothing was decided yet.")


def _decide(mesh: Path, name: str, arm: Arm, runs: Sequence[Path], reason: str, *, as_json: bool) -> None:
    if not runs and not reason.strip():
        raise typer.BadParameter("say why with --reason, or name the runs that show it with --run", param_hint="--reason")
    evidence = standings_of(runs, [name])[0] if runs else None
    at = datetime.now(UTC).isoformat(timespec="seconds")
    decision = decide(mesh, name, arm, who=getpass.getuser(), at=at, reason=reason.strip(), evidence=evidence, runs=runs)
    if as_json:
        typer.echo(decision.model_dump_json(indent=2))
        return
    Console(highlight=False).print(Group(*_decided(mesh, decision)))


def _decided(mesh: Path, decision: Decision) -> Iterator[RenderableType]:
    yield Text(plain(f"{decision.experiment}: {decision.use} ({decision.arm}) answers every row from now on."), "bold")
    if decision.evidence is not None:
        yield from (Text(plain(line)) for line in standing_words(decision.evidence))
    yield Text(plain(f"Written into {mesh}, and kept in {mesh.with_name('experiments.jsonl')}."), "dim")


def _parts(standing: Standing) -> Iterator[RenderableType]:
    yield Text(plain(f"{standing.name} ({standing.kind})"), "bold")
    yield from (Text(plain(line)) for line in standing_words(standing))
    yield _arms(standing)
    if len(standing.strata) > 1:
        yield _strata(standing)
    yield Text("")


def _arms(standing: Standing) -> Table:
    numbers = ("rows", "failed", "right", "$ / 1,000", "p95")
    table = Table("arm", "use", *(Column(name, justify="right") for name in numbers), box=None, pad_edge=False, header_style="dim")
    for arm, one in (("champion", standing.champion), ("challenger", standing.challenger)):
        cells = (right_cell(one), cost_cell(one, "usd"), latency_cells(one)[1])
        table.add_row(arm, Text(plain(one.plan)), f"{one.rows:,}", f"{one.failed:,}", *map(cell_shown, cells))
    timed = "of the calls alone" if standing.shadow else "with their waiting in the queue, as users see them"
    table.caption = f"below each figure its 95 % interval, which holds for one look; latencies are of answered rows, {timed}"
    table.caption_justify = "left"
    return table


def _strata(standing: Standing) -> Table:
    table = Table("rows alike", Column("champion", justify="right"), Column("challenger", justify="right"), box=None, header_style="dim")
    table.pad_edge = False
    for line in standing.strata:
        table.add_row(Text(plain(line.stratum)), _figure(line.champion), _figure(line.challenger))
    return table


def _figure(figure: Figure | None) -> str:
    return "-" if figure is None else f"{share(figure.value)} ({share_range(figure)}) of {figure.n:,}"
