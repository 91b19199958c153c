"""`partsong replay RUN... --mesh MESH`: what another plan would have come to on recorded traffic, without a call."""

import asyncio
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from partsong.adapters.python import imported
from partsong.contracts import Failure
from partsong.errors import InputError
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.marked import EXPECTED, covered
from partsong.evaluation.offpolicy import OffPolicy
from partsong.mesh import LoadedMesh, load_mesh
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.compare import Compared, Expected, Grade, compared, marker_of, section_shown
from partsong_cluster.cli.run import Use, check_use
from partsong_cluster.replay import Replay
from partsong_cluster.report.randomised import Randomised, estimated
from partsong_cluster.report.runs import memory_of, sections_of_runs
from partsong_cluster.report.words import counted, money, share
from partsong_cluster.terminal import in_json, plain

__all__ = ["EXAMPLES", "MeshOfReplay", "loaded_for_replay", "replay", "telling"]

EXAMPLES = (
    "Examples:  partsong replay out --mesh cheaper.yaml  |  partsong replay out-mini out-large --mesh mesh.yaml --plan cascade -o what-if"
)

MeshOfReplay = Annotated[
    Path, typer.Option("--mesh", help="The mesh file whose routes or plan are tried.", metavar="MESH", show_default=False)
]


def replay(
    runs: Annotated[
        list[Path],
        typer.Argument(help="The run whose rows are worked; calls of further runs answer too.", metavar="RUN...", show_default=False),
    ],
    mesh: MeshOfReplay,
    use: Use = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the replay in this folder, for `compare`.", metavar="DIR")
    ] = None,
    expected: Expected = EXPECTED,
    grade: Grade = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")] = False,
    allow: Allow = None,
) -> None:
    """Run another mesh or plan over the rows of a run, with the calls that were recorded then: no call is made, nothing is paid.

    A row that needs a call which was not recorded is not covered: it counts for nothing, and which model lacked is said. Cost and latency
    are those of the recorded calls. Where the run drew routes by chance, the others' rows are estimated too.
    """
    mark = marker_of(expected, grade)
    loaded = loaded_for_replay(mesh, allow)
    check_use(use, frozenset(loaded.mesh.names))
    with _folder(output, use or mesh.stem) as folder:
        with telling() as told:
            asyncio.run(Replay(runs, loaded, str(mesh)).work(folder, use, told))
        cover, missing = _covered(folder)
        [(section, folders)] = sections_of_runs([*runs, folder], mark)
        chance = estimated(runs[0], loaded.mesh, use, mark, memory_of([*runs, folder]))
        was, *_, now = compared(section, folders, mark)
    if not cover.value and (chance is None or chance.usd_per_1000 is None):
        remedy = "name further runs that asked this, in the same words: a call is known by all that its model was asked"
        raise InputError("nothing-covered", f"the recorded runs hold none of the calls that {use or mesh} makes", remedy=remedy)
    if as_json:
        typer.echo(in_json(json.dumps(_facts(was, now, cover, missing, chance) | {"doubts": section.notes}, indent=2)))
        return
    console = Console(highlight=False)
    console.print(Text(plain(_coverage_told(cover, missing)), "" if cover.value == 1 else "yellow"))
    if cover.value:
        console.print(section_shown(section, graded_by=now.graded_by))
    for line in _chance_told(chance):
        console.print(Text(plain(line)))
    if output is not None:
        console.print(Text(plain(str(output)), "dim"))


def loaded_for_replay(mesh: Path, allow: list[str] | None) -> LoadedMesh:
    """Return the mesh; its keys need not be there, as nobody is asked."""
    may = allowed_by(allow)
    return load_mesh(
        mesh, env=os.environ, check_secrets=False, import_function=partial(imported, folder=mesh.parent, allowed=may), allowed=may
    )


@contextmanager
def telling() -> Iterator[Any]:
    """Show on a terminal how many rows are done."""
    with Console(stderr=True, highlight=False).status("replaying") as status:
        yield lambda done: status.update(f"replayed {counted(done, 'row')}")


@contextmanager
def _folder(output: Path | None, name: str) -> Iterator[Path]:
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="partsong-replay-") as scratch:
        yield Path(scratch) / name


def _covered(folder: Path) -> tuple[Figure, Counter[str]]:
    """Return the share of all rows that the recorded calls cover, and how many rows lacked a call of each model; InputError of no row."""
    rows, lacking, missing = 0, 0, Counter[str]()
    for record in finished_rows(folder):
        rows += 1
        if not covered(record) and isinstance(record.reply, Failure):
            lacking += 1
            missing.update(record.reply.where.split(", "))
    found = share_of(rows - lacking, rows)
    if found is None:
        raise InputError("no-rows", "the run has no finished row", remedy="replay it when some are finished")
    return found, missing


def _facts(was: Compared, now: Compared, cover: Figure, missing: Counter[str], chance: Randomised | None) -> dict[str, Any]:
    return {
        "covered": cover.model_dump(mode="json"),
        "missing": dict(missing.most_common()),
        "recorded": was.model_dump(mode="json"),
        "replayed": now.model_dump(mode="json"),
        "randomised": None if chance is None else chance.model_dump(mode="json"),
    }


def _coverage_told(cover: Figure, missing: Counter[str]) -> str:
    if cover.value == 1:
        return f"All {counted(cover.n, 'row')} are covered by recorded calls; none was made."
    lacked = ", ".join(f"{name} ({counted(rows, 'row')})" for name, rows in missing.most_common())
    return (
        f"Recorded calls cover {share(cover.value)} of {counted(cover.n, 'row')}; the others needed calls that were not recorded: {lacked}."
    )


def _chance_told(chance: Randomised | None) -> Sequence[str]:
    if chance is None:
        return []
    head = f"Of {counted(chance.of, 'row')} {chance.rows:,} were routed at random"
    lines = [
        line
        for name, found, words in (
            ("right", chance.accuracy, lambda value: share(value)),
            ("$ per 1,000", chance.usd_per_1000, lambda value: money(value, "usd")),
        )
        for line in _estimates(name, found, words)
    ]
    if not lines:
        return [f"{head}: too few of them as these routes would, to say what those come to."]
    return [f"{head}; weighed by how likely each route was, these routes come to, on such rows:", *lines]


def _estimates(name: str, found: OffPolicy | None, words: Any) -> Iterator[str]:
    if found is None:
        return
    for how, figure in (("inverse propensity", found.weighted), ("doubly robust", found.doubly_robust)):
        if figure is not None:
            within = f"{words(figure.low)} to {words(figure.high)}"
            yield f"  {name}, {how}: {words(figure.value)} (95 % interval {within}; {counted(figure.n, 'row')})"
    if found.without_chance:
        yield f"  On {counted(found.without_chance, 'row')} what these routes want had no chance: the estimate leaves them out."
