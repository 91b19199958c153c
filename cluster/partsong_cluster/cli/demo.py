"""`partsong demo`: real models on real rows, what each way of combining them costs and how often it is right."""

import asyncio
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from partsong_cluster.batch.stop import Outcome, Stop, on_signals
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.demo import DemoOrder, DemoResult, ModelSet, run_demo
from partsong_cluster.demo.run import Show
from partsong_cluster.engines import EngineKind
from partsong_cluster.report import Fact, Report, write_report

__all__ = ["EXAMPLES", "demo"]

EXAMPLES = "Examples:  partsong demo  |  partsong demo --models small  |  partsong demo --fresh -o /tmp/demo"


def demo(
    models: Annotated[ModelSet, typer.Option(help="Weights of 98 MB, 590 MB or 1.7 GB; fetched once, checked by SHA-256.")] = "default",
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where runs and report are kept.", metavar="DIR")] = Path("runs/demo"),
    engine: Annotated[EngineKind, typer.Option(help="Where the work is done: over Ray, or in this process.")] = "ray",
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask everything again.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch/--no-fetch", help="Fetch weights that are not here.")] = True,
) -> None:
    """Run small models, specialised workers and recorded commercial models on labelled rows, in several ways, and compare.

    Needs no key and no server. A second run starts from what the first has left.
    """
    from partsong_cluster.demo.shown import Screen, result_shown

    began_s = time.monotonic()
    order = DemoOrder(folder, models, engine, fresh, fetch)
    stop = Stop()
    with Screen(Console(stderr=True, highlight=False)) as screen:
        result = asyncio.run(_worked(order, screen, stop))
    if result.interrupted:
        typer.echo("Stopped; what is done is kept, the same command goes on.", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED)
    took_s = time.monotonic() - began_s
    report = write_report(folder, _report(result, order, took_s))
    Console(highlight=False).print(result_shown(result, report, took_s))


async def _worked(order: DemoOrder, show: Show, stop: Stop) -> DemoResult:
    with on_signals(lambda: stop.ask(Outcome.INTERRUPTED)):
        return await run_demo(order, show, stop)


def _report(result: DemoResult, order: DemoOrder, took_s: float) -> Report:
    return Report(
        title="Does combining models pay?",
        lead="Labelled rows, answered by single models and by ways of combining them: how often each is right, what it costs, how long "
        "it takes.",
        sections=tuple(result.sections),
        proofs=tuple(result.proofs),
        live=result.live,
        left_out=tuple(result.left_out),
        facts=tuple(_facts(result, order, took_s)),
        took_s=took_s,
    )


def _facts(result: DemoResult, order: DemoOrder, took_s: float) -> list[Fact]:
    ways = result.worked_ways + result.reused_ways
    facts = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": f"{ways}, of which {result.reused_ways} were there from an earlier demo",
        "took": f"{took_s:.0f} s, weights included",
        "models": order.models,
        "engine": order.engine,
        "machine": f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {_version(name)}" for name in ("partsong", "ray", "xllamacpp"))
        + f", Python {platform.python_version()}",
        "folder": str(order.folder),
    }
    return [Fact(name=name, value=value) for name, value in facts.items()]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
