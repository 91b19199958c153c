"""`partsong run MESH INPUT -o DIR`: a batch, over Ray or in this process, in a folder that can always be resumed."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop
from partsong_actors.memory_watch import end_without_memory
from rich.console import Console

from partsong.adapters.python import imported
from partsong.engine import Engine
from partsong.errors import MeshError
from partsong.mesh import LoadedMesh, load_mesh, secrets_of
from partsong.units import duration_s, size_bytes
from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.dry_run import dry_run
from partsong_cluster.batch.estimate import Estimator
from partsong_cluster.batch.folder import MANIFEST
from partsong_cluster.batch.ingest import InputRules
from partsong_cluster.batch.output import ERRORS
from partsong_cluster.batch.places import STDIN, FileKind, input_files
from partsong_cluster.batch.plain_url import check_plain
from partsong_cluster.batch.progress import Progress, progress_on
from partsong_cluster.batch.remote_results import is_remote
from partsong_cluster.batch.run import Limits, RunInput
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.state_folder import state_folder
from partsong_cluster.batch.stop import Outcome, Stop, on_signals
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.exit_codes import ExitCode, code_of_summary
from partsong_cluster.cli.show_run import forecast_shown, summary_shown
from partsong_cluster.cli.stops import stops_kept, stops_told
from partsong_cluster.engines import EngineKind, open_engine
from partsong_cluster.report import write_run_report

__all__ = ["EXAMPLES", "Use", "check_use", "run"]

EXAMPLES = (
    "Examples:  partsong run mesh.yaml questions.jsonl -o out  |  "
    "partsong run mesh.yaml 's3://bucket/*.parquet' -o s3://bucket/out --budget 5  |  "
    "partsong run mesh.yaml tickets.csv -o out --id-column ticket --prompt-column text --limit 100 --dry-run"
)


Format = Literal["jsonl", "parquet"]


def _duration_s(given: str | float) -> float:
    return _number(given, duration_s)


def _size_bytes(given: str | int) -> int:
    return int(_number(given, size_bytes))


def _number(given: str | float, read: Callable[[str], Any]) -> float:
    """Return the quantity, with a unit or without (seconds, bytes)."""
    try:
        return float(given)
    except ValueError:
        pass
    try:
        return float(read(str(given)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Mesh = Annotated[Path, typer.Argument(help="The mesh file.", metavar="MESH", show_default=False)]
Input = Annotated[
    str, typer.Argument(help="JSONL, CSV or Parquet: a file, folder, glob, URL, or `-`; gz too.", metavar="INPUT", show_default=False)
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="The run's folder, or a URL (s3://...); a run in it is continued.", metavar="DIR")
]
State = Annotated[
    Path | None,
    typer.Option(help="With a URL: what a run keeps on this machine (journal, lock). Default: a folder of its own.", metavar="DIR"),
]
Use = Annotated[
    str | None, typer.Option("--plan", "--model", "--use", help="The plan, model or experiment that answers every row.", metavar="NAME")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many rows, from the input's start.", metavar="ROWS")]
Budget = Annotated[float | None, typer.Option(min=0.0, help="Stop before the run has cost more.", metavar="USD")]
Deadline = Annotated[
    float | None, typer.Option(parser=_duration_s, help="Stop after so long: 90s, 2h. What is left is done next time.", metavar="TIME")
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Rows in flight; default: what the workers take.", metavar="ROWS")]
EngineName = Annotated[EngineKind, typer.Option(help="Where the work is done: over Ray, or in this process.")]
Address = Annotated[str | None, typer.Option(help="The Ray cluster; default: one that runs here, else a new one.", metavar="ADDRESS")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show where rows would go and what that could cost; call nothing.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the run in the folder and start again.")]
AcceptChanges = Annotated[
    bool, typer.Option("--accept-changes", help="Continue though mesh or input changed; finished rows stay as they are.")
]
InputFormat = Annotated[FileKind | None, typer.Option(help="What INPUT holds; default: by its name, JSONL for `-`.")]
IdColumn = Annotated[str, typer.Option(help="The field that names a row.", metavar="FIELD")]
PromptColumn = Annotated[str, typer.Option(help="The field that holds the prompt.", metavar="FIELD")]
MaxRow = Annotated[int, typer.Option(parser=_size_bytes, help="Longer rows are refused: 512kB, 10MB.", metavar="SIZE", show_default="10MB")]
OutputFormat = Annotated[Format, typer.Option("--format", help="Parquet is written beside the JSONL, at the end.")]
Grace = Annotated[
    float, typer.Option(parser=_duration_s, help="How long rows in flight may go on after Ctrl-C.", metavar="TIME", show_default="30s")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")]


def run(
    mesh: Mesh,
    input: Input,
    output: Output = None,
    use: Use = None,
    limit: Limit = None,
    budget: Budget = None,
    deadline: Deadline = None,
    concurrency: Concurrency = None,
    engine: EngineName = "ray",
    address: Address = None,
    dry: DryRun = False,
    fresh: Fresh = False,
    accept_changes: AcceptChanges = False,
    input_format: InputFormat = None,
    id_column: IdColumn = "id",
    prompt_column: PromptColumn = "prompt",
    max_row: MaxRow = 10_000_000,
    output_format: OutputFormat = "jsonl",
    grace: Grace = 30.0,
    state: State = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    allow: Allow = None,
) -> None:
    """Answer every row of INPUT, and write output.jsonl, errors.jsonl, summary.json and report.html to DIR, a folder or a URL.

    The same command continues a run that was stopped; what was paid is not paid again.

    Exit code 0: every row is answered; 3: complete, some rows failed; 4: stopped by --budget; 5: by --deadline; 130: by Ctrl-C;
    2: command line, mesh file or input cannot be used; 6: the folder cannot be used; 7: the engine cannot; 1: a fault of ours.
    """
    may = allowed_by(allow)
    loaded = load_mesh(
        mesh, env=os.environ, check_secrets=not dry, import_function=partial(imported, folder=mesh.parent, allowed=may), allowed=may
    )
    names = frozenset(loaded.mesh.names)
    check_use(use, names)
    rules = InputRules(Shape(Columns(id_column, prompt_column), names), max_row)
    estimator = Estimator(loaded.mesh, use)
    if dry:
        forecast = dry_run(RunInput(input_files(input, input_format), rules, use), estimator, limit)
        typer.echo(forecast.model_dump_json(indent=2)) if as_json else Console(highlight=False).print(forecast_shown(forecast))
        return
    folder, url = _placed(output, state)
    if budget is not None:
        estimator.check_priced()
    order = RunOrder(
        mesh=str(mesh),
        input=input,
        folder=folder,
        output=url,
        input_kind=input_format,
        rules=rules,
        use=use,
        limits=Limits(limit, budget, deadline, concurrency, grace),
        fresh=fresh,
        accept_changes=accept_changes,
        output_format=output_format,
    )
    end_without_memory(ExitCode.ENGINE, "out of memory; what was finished is kept, the same command goes on")
    progress = progress_on(Console(stderr=True, highlight=False), quiet=quiet or as_json)
    for line in _worth_knowing(order):
        progress.say(line)
    stops = stops_told(mesh, loaded, progress.say)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(_worked(order, loaded, _EngineChoice(engine, address), progress, stops))
    _print_end(summary, order, as_json=as_json, quiet=quiet)
    raise typer.Exit(code_of_summary(summary))


def _placed(output: str | None, state: Path | None) -> tuple[Path, str | None]:
    """Return the run's folder of this machine, and the URL where its results go, if that is another place."""
    if output is None:
        raise typer.BadParameter("name the run's folder", param_hint="-o DIR")
    url = output if is_remote(output) else None
    check_plain(output, "the output")
    return Path(output.removeprefix("file://")) if url is None else state or state_folder(url, os.environ), url


def _worth_knowing(order: RunOrder) -> Iterator[str]:
    """Yield what a user should know of the run before it starts."""
    if order.output is not None:
        yield f"What this run keeps on this machine (journal, lock) is in {order.folder}."
    if order.input == STDIN and not order.fresh and (order.folder / MANIFEST).exists():
        yield "Standard input cannot be compared with what this run has read: it goes on right only with the same rows in the same order."


def _print_end(summary: Mapping[str, Any], order: RunOrder, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    elif not quiet:
        Console(highlight=False).print(summary_shown(summary, order.place))
    if not quiet and (hint := _hint(summary, order)):
        typer.echo(hint, err=True)


def _hint(summary: Mapping[str, Any], order: RunOrder) -> str:
    """Return what to do next; empty when nothing is left."""
    failed = summary["rows"]["failed"]
    if summary["outcome"] == Outcome.BUDGET:
        larger = "limit in the mesh file" if order.limits.budget_usd is None else "--budget"
        go_on = f"To go on: the same command with a larger {larger}, or with rows whose `max_tokens` is smaller."
        return f"Stopped by {summary['refused']}. {go_on}"
    if summary["outcome"] != Outcome.COMPLETE:
        return "To go on:  " + shlex.join(["partsong", *(argument for argument in sys.argv[1:] if argument != "--fresh")])
    if not failed:
        return ""
    again = shlex.join(["partsong", "run", order.mesh, f"{order.place}/{ERRORS}", "-o", f"{order.place}-again"])
    rows, them = ("1 row failed and is", "it") if failed == 1 else (f"{failed:,} rows failed and are", "them")
    return f"{rows} not asked again; to ask {them}: {again}"


async def _worked(
    order: RunOrder, loaded: LoadedMesh, choice: "_EngineChoice", progress: Progress, stops: Collection[str]
) -> dict[str, Any]:
    stop = Stop()

    def interrupted() -> None:
        if stop.at_once:
            os._exit(ExitCode.INTERRUPTED)  # a third time: something hangs; what the journal has is on disk
        if stop.why is None:
            progress.say(f"Stopping: rows in flight get {order.limits.grace_s:g} s to finish; Ctrl-C again stops at once.")
        stop.ask(Outcome.INTERRUPTED)

    def start_engine() -> AbstractAsyncContextManager[Engine]:
        if choice.kind == "ray":
            progress.say("Starting Ray; this takes some seconds.")
        return open_engine(
            choice.kind,
            loaded,
            order.folder,
            secrets=secrets_of(loaded.mesh.models, os.environ, loaded.folder, loaded.allowed),
            address=choice.address,
            tell=lambda notice: progress.say(f"{notice}."),
        )

    with progress, on_signals(interrupted):
        stopped = stops_kept(Path(order.mesh), loaded, order.folder, progress.say)
        session = Session(order, loaded, start_engine, progress, stop, stops=stops, stopped=stopped)
        summary = await session.work()
        await session.add(await asyncio.to_thread(write_run_report, order.folder))
        return summary


@dataclass(frozen=True, slots=True)
class _EngineChoice:
    kind: EngineKind
    address: str | None


def check_use(use: str | None, names: frozenset[str]) -> None:
    """Raise MeshError when nothing in the mesh is called so."""
    if use is not None and use not in names:
        from difflib import get_close_matches

        near = get_close_matches(use, names, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names))}"
        raise MeshError("unknown-name", f"no model, plan or experiment is called {use!r}", remedy=remedy)
