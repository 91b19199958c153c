"""`partsong jobs`: jobs of a cluster: list, show, follow, stop, resume, fetch; by the HTTP address of Ray's job API and nothing else."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from partsong.errors import RunError
from partsong.telemetry.tree import GATHERED
from partsong_cluster.address import DASHBOARD
from partsong_cluster.batch.attempts import Attempts
from partsong_cluster.batch.folder import MANIFEST, SNAPSHOT
from partsong_cluster.batch.progress import progress_on
from partsong_cluster.batch.remote_errors import remote_errors
from partsong_cluster.batch.remote_options import remote_options
from partsong_cluster.batch.remote_results import gathered
from partsong_cluster.batch.stop import Stop
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.cli.show_run import summary_shown
from partsong_cluster.jobs.cluster import Cluster, Job
from partsong_cluster.jobs.events import Event
from partsong_cluster.jobs.follow import Follower
from partsong_cluster.jobs.taken_up import again, anew, ask_to_stop
from partsong_cluster.jobs.taken_up import forget as forget_job
from partsong_cluster.terminal import as_read, as_shown, plain

__all__ = ["Address", "app", "followed"]

app = typer.Typer(
    name="jobs",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Jobs of a cluster: list, show, follow, stop, resume, forget them and fetch their results.",
)

Address = Annotated[
    str, typer.Option("--address", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job API: Ray's dashboard.", metavar="URL")
]
Run = Annotated[str, typer.Argument(help="The run, as `jobs ls` shows it, the beginning of it, or the job's name.", metavar="JOB")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]

_LISTED = ("run", "name", "tenant", "state", "started", "output")
_READ_COLUMNS = 10_000
"""More than a line has: a program, or a file, gets all of it."""


@app.command("ls", epilog="Examples:  partsong jobs ls  |  partsong jobs ls --address http://head:8265 --json")
def list_jobs(address: Address = DASHBOARD, as_json: AsJson = False) -> None:
    """List the jobs that the cluster knows, the newest first."""
    jobs = [*reversed(Cluster(address).jobs())]
    if as_json:
        typer.echo(json.dumps([_facts(job) for job in jobs], indent=2))
        return
    if not jobs:
        typer.echo("no jobs; `partsong submit` makes one")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in _LISTED:
        table.add_column(heading, overflow="fold")
    for job in jobs:
        facts = _facts(job)
        table.add_row(*(Text(plain(str(facts[key]))) for key in _LISTED))
    _console().print(table)


@app.command(epilog="Examples:  partsong jobs show 3f2a  |  partsong jobs show nightly --json")
def show(job: Run, address: Address = DASHBOARD, as_json: AsJson = False) -> None:
    """Show a job: what it was given, how it is doing, what it has cost."""
    cluster = Cluster(address)
    found = cluster.job(job)
    events = _events(cluster, found)
    facts = _facts(found) | {"rows": None, "cost_usd": None, "summary": None, "error": None} | _doing(events)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for key in ("run", "name", "tenant", "state", "mesh", "input", "output", "system", "started", "rows", "cost_usd"):
        if facts.get(key) is not None:
            grid.add_row(key, Text(plain(str(facts[key]))))
    console = _console()
    console.print(grid)
    if facts["summary"] is not None:
        console.print(summary_shown(facts["summary"], facts["output"]))
    if facts["error"] is not None:
        console.print(Text(as_shown(facts["error"]), "red"))


@app.command(epilog="Example:  partsong jobs logs 3f2a")
def logs(job: Run, address: Address = DASHBOARD) -> None:
    """Print all that the job's watcher has printed, as it stands in Ray's log."""
    cluster = Cluster(address)
    typer.echo(as_read(cluster.log(cluster.job(job))), nl=False)


@app.command(epilog="Examples:  partsong jobs follow 3f2a  |  partsong jobs follow nightly --address http://head:8265")
def follow(job: Run, address: Address = DASHBOARD, as_json: AsJson = False) -> None:
    """Show a job's progress until it is over, as `partsong run` shows it: rows, pace, time left, cost. Ctrl-C leaves the job alone.

    A lost connection is tried again; a job that has lost its watcher, with the cluster's head, is given a new one.

    Exit code: the run's own, as `partsong run` has them; 7: the job failed as a whole, or no cluster answers.
    """
    cluster = Cluster(address)
    raise typer.Exit(followed(cluster, cluster.job(job).run, as_json=as_json))


@app.command(epilog="Examples:  partsong jobs stop 3f2a  |  partsong jobs stop 3f2a --now")
def stop(
    job: Run,
    address: Address = DASHBOARD,
    now: Annotated[bool, typer.Option("--now", help="At once: rows in flight are dropped, and asked again when it is resumed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a job: rows in flight finish, what is done is kept, `jobs resume` goes on. The second time it is stopped at once."""
    cluster = Cluster(address)
    found = cluster.job(job)
    if not found.is_watched and not found.is_lost:
        raise RunError("not-running", f"the job is not running: {found.state}", remedy="`partsong jobs resume` goes on with it")
    asked_before = any(event.kind == "say" and event.line.startswith("Stopping") for event in _events(cluster, found))
    if now or asked_before or found.is_lost:
        ask_to_stop(cluster, found, at_once=now or asked_before)
    else:
        cluster.end_watching(found)
    told = "stopping at once" if now or asked_before else "stopping: rows in flight finish; a second time stops at once"
    typer.echo(json.dumps({"run": found.run, "at_once": now or asked_before}) if as_json else told)


@app.command(epilog="Examples:  partsong jobs resume 3f2a --follow  |  partsong jobs resume nightly --accept-changes")
def resume(
    job: Run,
    address: Address = DASHBOARD,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on though the input changed; finished rows stay as they are.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its progress until it is over.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a job where it stopped: what was paid is not paid again.

    On a cluster that does not know the job, the one that it ran on being lost, name the whole run on the machine that submitted it: it goes
    on from what its store holds.
    """
    cluster = Cluster(address)
    flags = ["--accept-changes"] if accept_changes else []
    if (found := cluster.known(job)) is None:
        run, submitted = job, anew(cluster, job, flags=flags)
    elif found.is_watched:
        raise RunError("is-running", "the job is running", remedy="`partsong jobs follow` shows it")
    else:
        goes_on = flags if found.is_lost and not flags else ["--go-on", *flags]  # one that was only unwatched may have ended since
        run, submitted = found.run, again(cluster, found, flags=goes_on)
    typer.echo(json.dumps({"run": run, "job": submitted}) if as_json else f"resumed {run}")
    if follow:
        raise typer.Exit(followed(cluster, run, as_json=as_json))


@app.command(epilog="Examples:  partsong jobs forget 3f2a  |  partsong jobs forget nightly --yes --json")
def forget(
    job: Run,
    address: Address = DASHBOARD,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is kept of a job: its records in the store, this machine's copy of its files, Ray's record of it. Its results stay.

    It cannot be resumed then, and its answers are no longer in the cache; what it spent still counts to the store's total. A job that is at
    work is refused.

    Exit code 0: forgotten; 1: you said no; 6: it is at work, or no job is called so; 7: no cluster answers.
    """
    cluster = Cluster(address)
    found = cluster.job(job)
    if found.is_watched:
        raise RunError("is-running", "the job is running", remedy="`partsong jobs stop` first")
    if not yes and not typer.confirm(
        f"Forget {found.run} ({found.told.get('name', '')}, {found.state})? It cannot be resumed then.", err=True
    ):
        raise typer.Exit(1)
    typer.echo("Deleting its records from the store; this takes as long as the run is large.", err=True)
    asyncio.run(forget_job(cluster, found))
    typer.echo(
        json.dumps({"run": found.run, "forgotten": True})
        if as_json
        else f"forgot {found.run}; its results are still at {found.told['output']}"
    )


@app.command(epilog="Examples:  partsong jobs results 3f2a -o out  |  partsong jobs results 3f2a --place")
def results(
    job: Run,
    address: Address = DASHBOARD,
    folder: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to download to.", metavar="DIR")] = None,
    place: Annotated[bool, typer.Option("--place", help="Only print where they are.")] = False,
) -> None:
    """Download a job's results, with this machine's own credentials, or print where they are.

    `run.json` and `mesh.json` are there from the start: with them DIR is a run's folder, and `compare`, `learn`, `experiment show` and
    others read what the store has recorded, also while the job is at work. Exit code 6: nothing is there yet.
    """
    found = Cluster(address).job(job)
    url = found.told["output"]
    if place or folder is None:
        typer.echo(url)
        return
    written = asyncio.run(Attempts(url, Stop(), lambda notice: typer.echo(f"{notice}.", err=True), 0.0).make(_downloaded, url, folder))
    if not written:
        raise RunError("no-results", "nothing is there yet", remedy="files appear when the run is complete; `partsong jobs follow` waits")
    for path in written:
        typer.echo(path)
    if not any(path.name in _RESULTS for path in written):
        typer.echo("Results appear when the run is complete; until then its store is what can be read.", err=True)


def followed(cluster: Cluster, run: str, *, as_json: bool) -> int:
    """Follow a job to its end, print what it came to, and return the exit code."""
    progress = progress_on(Console(stderr=True, highlight=False), quiet=as_json)

    def watch_again(job: Job) -> None:
        again(cluster, job)

    try:
        with progress:
            last = asyncio.run(Follower(cluster, run, progress, watch_again).until_over())
    except KeyboardInterrupt:
        typer.echo(f"The job goes on. To see it again:  partsong jobs follow {run}", err=True)
        return ExitCode.INTERRUPTED
    if last.kind == "error":
        raise last.error()
    output = cluster.job(run).told.get("output", "")
    if as_json:
        typer.echo(json.dumps(last.summary, indent=2))
    else:
        Console(highlight=False).print(summary_shown(last.summary, output))
    return last.code


def _console() -> Console:
    """Return where tables are printed: whole lines for a program or a file; a terminal has as many columns as it has."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _READ_COLUMNS)


def _facts(job: Job) -> dict[str, Any]:
    told = {key: job.told.get(key, "") for key in ("name", "tenant", "mesh", "input", "output", "system")}
    return {"run": job.run, **told, "state": job.state, "started": job.started, "watchers": [one.submission_id for one in job.watchers]}


def _events(cluster: Cluster, job: Job) -> list[Event]:
    return [event for line in cluster.log(job).splitlines() if (event := Event.read(line)) is not None]


def _doing(events: list[Event]) -> dict[str, Any]:
    """Return how the run is doing, by the last that was told."""
    doing: dict[str, Any] = {}
    for event in events:
        match event.kind:
            case "progress":
                tally = event.read_tally()
                share = "" if event.fraction is None else f" ({event.fraction:.0%})"
                doing |= {"rows": f"{tally.rows:,}{share}, {tally.failed:,} failed", "cost_usd": round(tally.cost_usd, 6)}
            case "end":
                doing |= {"rows": None, "cost_usd": None, "summary": event.summary}
            case "error":
                doing |= {"error": str(event.error())}
            case "say":
                pass
    return doing


_RESULTS = ("output.jsonl", "errors.jsonl", "output.parquet", "summary.json", "report.html")


def _downloaded(url: str, folder: Path) -> list[Path]:
    import fsspec

    with remote_errors(url):
        fs, place = fsspec.core.url_to_fs(url, **remote_options(url))
        fs.invalidate_cache()
        there = [f"{place}/{name}" for name in (MANIFEST, SNAPSHOT, *_RESULTS) if fs.exists(f"{place}/{name}")]
        written = [_fetched(fs, path, folder) for path in there]
        written += [_fetched(fs, path, folder / GATHERED) for path in gathered(fs, place)]
    return written


def _fetched(fs: Any, path: str, folder: Path) -> Path:
    """Return the file in the folder, which has all of it or none."""
    folder.mkdir(parents=True, exist_ok=True)
    name = path.rpartition("/")[2]
    draft = folder / f".{name}.part"
    fs.get_file(path, str(draft))
    return draft.replace(folder / name)
