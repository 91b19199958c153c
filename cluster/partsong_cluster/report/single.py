"""Single: the report of one `partsong run`, read back from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from partsong.evaluation.figure import share_of
from partsong_cluster.batch.finished import finished_rows, manifest_of, plans_of
from partsong_cluster.report.billed import as_billed
from partsong_cluster.report.capability import capability_of
from partsong_cluster.report.contents import CostUnit, Fact, ModelLine, Report
from partsong_cluster.report.experiments import standings_of
from partsong_cluster.report.gather import PlanRun, section_of
from partsong_cluster.report.page import write_report
from partsong_cluster.report.runs import Marker
from partsong_cluster.report.standing_words import standing_words
from partsong_cluster.report.words import counted, seconds, share, share_range

__all__ = ["write_run_report"]

_ROUTED = "routed"


def write_run_report(folder: Path) -> Path:
    """Write `report.html` into the run's folder and return its path; its `summary.json` must be there."""
    manifest = manifest_of(folder)
    summary: dict[str, Any] = from_json((folder / "summary.json").read_bytes())
    name = _name(manifest.use, summary["routes"])
    unit: CostUnit = "cpu_s" if summary["cost_usd"] == 0 and summary["cpu_s"] > 0 else "usd"
    about = "each row goes where the routes send it" if name == _ROUTED else f"{name} answers every row"
    mark = Marker()
    mark.hear(folder)
    plans = plans_of(folder)
    run = PlanRun(name, about, lambda: (as_billed(record, plans) for record in finished_rows(folder)))
    section = section_of(
        "The run",
        f"Input {manifest.input}, mesh {manifest.mesh}.",
        unit,
        [run],
        traces=folder,
        models=_models(summary["models"]),
        grade=mark,
        edit=mark.edit,
        notes=[f"{one.name}: {' '.join(standing_words(one))}" for one in standings_of([folder])],
    )
    lead = _lead(summary)
    report = Report(
        title=f"Run {folder.name}", lead=lead, sections=(section,), capability=capability_of(folder, summary), facts=_facts(summary)
    )
    return write_report(folder, report)


def _name(use: str | None, routes: Mapping[str, Any]) -> str:
    """Return what answers: what all rows were told to use, or the one model or plan that the routes chose."""
    if use is not None:
        return use
    return next(iter(routes)) if len(routes) == 1 else _ROUTED


def _models(told: Mapping[str, Mapping[str, Any]]) -> list[ModelLine]:
    return [ModelLine(name=name, **{key: counts[key] for key in ModelLine.model_fields if key != "name"}) for name, counts in told.items()]


def _lead(summary: dict[str, Any]) -> str:
    rows = summary["rows"]
    ended = "" if summary["outcome"] == "complete" else f" It has not run to its end ({summary['outcome']}); the same command goes on."
    return f"{counted(rows['answered'], 'row')} answered, {rows['failed']:,} failed, in {seconds(summary['duration_s'])}.{ended}"


def _facts(summary: dict[str, Any]) -> tuple[Fact, ...]:
    told = {
        "started": summary["started"],
        "took": f"{seconds(summary['duration_s'])} in {counted(summary['sessions'], 'session')}",
        "waited": _waited(summary["latency_s"]),
        "mesh": f"{summary['mesh']} ({summary['mesh_hash'][:12]})",
        "input": summary["input"],
        "paid in this run": f"${summary['cost_usd']:,.4f}, {summary['cpu_s']:,.1f} CPU s",
        "calls": f"{summary['calls']:,}, {summary['retries']:,} retries",
        "climbed a tier": _climbed(summary["routes"]),
        "tokens": f"{summary['tokens']['prompt']:,} in, {summary['tokens']['completion']:,} out",
        "versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    }
    return tuple(Fact(name=name, value=str(value)) for name, value in told.items() if value)


def _waited(latency_s: Mapping[str, float | None]) -> str:
    """Return how long rows were on their way, waits for their turn included; empty when none was answered."""
    p50, p95 = latency_s["p50"], latency_s["p95"]
    return (
        ""
        if p50 is None or p95 is None
        else f"{seconds(p50)} in the median, {seconds(p95)} at p95: what each answer took, and the wait for it"
    )


def _climbed(routes: Mapping[str, Mapping[str, int]]) -> str:
    """Return the share of answered rows that went past their first tier; empty when none did."""
    rows, climbed = (sum(route[key] for route in routes.values()) for key in ("rows", "escalated"))
    found = share_of(climbed, rows)
    return f"{counted(climbed, 'row')}, {share(found.value)} ({share_range(found)}) of those answered" if climbed and found else ""
