"""`partsong eval MESH RUN...`: whether combining pays: a mesh beside what the same dollars buy without it, from recorded calls."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from partsong.errors import MeshError
from partsong.evaluation.marked import EXPECTED
from partsong.evaluation.proof import Contender, Proof
from partsong_cluster.batch.disk import replace_file
from partsong_cluster.cli.allow import Allow
from partsong_cluster.cli.compare import Expected, Grade, marker_of
from partsong_cluster.cli.replay import loaded_for_replay
from partsong_cluster.cli.run import Use, check_use
from partsong_cluster.report import Proved, Report, page
from partsong_cluster.report.cells import share_cell, usd_cell
from partsong_cluster.report.proof_words import proof_words
from partsong_cluster.report.table import cell_shown
from partsong_cluster.report.words import counted, points
from partsong_cluster.terminal import in_json, plain

if TYPE_CHECKING:
    from partsong_cluster.evaluate import Evaluated

__all__ = ["EXAMPLES", "evaluate_mesh"]

EXAMPLES = (
    "Examples:  partsong eval mesh.yaml out-mini out-large out-mesh  |  partsong eval mesh.yaml out-* --plan cascade -o proof.html --json"
)


def evaluate_mesh(
    mesh: Annotated[Path, typer.Argument(help="The mesh file.", metavar="MESH", show_default=False)],
    runs: Annotated[
        list[Path],
        typer.Argument(help="Runs over the same rows, of the mesh and of each model alone.", metavar="RUN...", show_default=False),
    ],
    use: Use = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the proof as a page, with its plot.", metavar="FILE")] = None,
    expected: Expected = EXPECTED,
    grade: Grade = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
    allow: Allow = None,
) -> None:
    """Set a mesh beside the best single model, more samples of that model, and a random mix of models at the same cost per row.

    All are replayed from recorded calls: none is made. What is chosen (the best model, the mix) is chosen on other rows than those it is
    judged on. It says plainly when combining does not pay, and when these rows cannot tell.
    """
    mark = marker_of(expected, grade)
    loaded = loaded_for_replay(mesh, allow)
    check_use(use, frozenset(loaded.mesh.names))
    try:
        from partsong_cluster.evaluate import evaluate
    except ImportError as error:
        what = f"an evaluation needs {error.name}, which is not installed"
        raise MeshError("learn-not-installed", what, remedy="pip install 'partsong[learn]'") from None
    with Console(stderr=True, highlight=False).status("replaying") as status:
        found = evaluate(runs, loaded, mesh.stem, use, mark, lambda way: status.update(f"replaying {way}"))
    if output is not None:
        replace_file(output, page(_report(found, mesh, runs)).encode("utf-8", "replace"))
    if as_json:
        facts = {"covered": found.covered, "finished": found.finished, "doubts": found.doubts, **found.proof.model_dump(mode="json")}
        typer.echo(in_json(json.dumps(facts, indent=2)))
        return
    console = Console(highlight=False)
    console.print(Group(*_parts(found)))
    if output is not None:
        console.print(Text.assemble("Page: ", (plain(str(output)), "bold")))


def _report(found: "Evaluated", mesh: Path, runs: list[Path]) -> Report:
    proved = Proved(title=found.proof.mesh, about=_about(found), proof=found.proof, doubts=found.doubts)
    lead = f"{mesh} on the recorded calls of {', '.join(str(run) for run in runs)}; none was made for this."
    return Report(title="Does combining pay?", lead=lead, sections=(), proofs=(proved,))


def _about(found: "Evaluated") -> str:
    covered = "all" if found.covered == found.finished else f"{found.covered:,}"
    return f"Recorded calls cover {covered} of {counted(found.finished, 'row')}; {found.proof.rows:,} have a graded answer of every way."


def _parts(found: "Evaluated") -> Iterator[RenderableType]:
    verdict, *others = proof_words(found.proof)
    yield Text(plain(verdict), "bold")
    yield from (Padding(Text(plain(sentence)), (0, 0, 0, 2)) for sentence in others)
    yield Text()
    yield _table(found.proof)
    yield Text()
    yield Text(plain(f"{_about(found)} Below each figure its 95 % interval."), "dim")
    yield from (Text(plain(doubt), "yellow") for doubt in found.doubts)


def _table(proof: Proof) -> Table:
    columns = (Column(name, justify="right", no_wrap=True) for name in ("right", "$ per\n1,000", "gain of the mesh,\nin points", "p"))
    table = Table(Column("way", overflow="fold"), *columns, box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_row(Text(plain(proof.mesh), "bold"), *_cells(proof, proof), "", "")
    for one in proof.contenders:
        gain = (points(one.gain.value), f"{points(one.gain.low)} to {points(one.gain.high)}")
        table.add_row(one.name, *_cells(one, proof), cell_shown(gain), "" if one.p_value is None else f"{one.p_value:.2g}")
    return table


def _cells(one: Proof | Contender, proof: Proof) -> Iterator[Text]:
    yield cell_shown(share_cell(one.accuracy, proof.rows))
    yield cell_shown(usd_cell(one.cost_per_1000))
