"""Single: the report of one `partsong run`, read back from its folder."""

from pathlib import Path
from typing import Any

from pydantic_core import from_json

from partsong_cluster.batch.finished import finished_rows, manifest_of
from partsong_cluster.report.contents import CostUnit, Fact, Report
from partsong_cluster.report.gather import PlanRun, section_of
from partsong_cluster.report.page import write_report
from partsong_cluster.report.words import seconds

__all__ = ["write_run_report"]


def write_run_report(folder: Path) -> Path:
    """Write `report.html` into the run's folder and return its path; its `summary.json` must be there."""
    manifest = manifest_of(folder)
    summary: dict[str, Any] = from_json((folder / "summary.json").read_bytes())
    name = manifest.use or "routed"
    unit: CostUnit = "cpu_s" if summary["cost_usd"] == 0 and summary["cpu_s"] > 0 else "usd"
    about = f"{manifest.use} answers every row" if manifest.use else "each row goes where the routes send it"
    run = PlanRun(name, about, lambda: finished_rows(folder))
    section = section_of("The run", f"Input {manifest.input}, mesh {manifest.mesh}.", unit, [run], traces=folder)
    lead = _lead(summary)
    return write_report(folder, Report(title=f"Run {folder.name}", lead=lead, sections=(section,), facts=_facts(summary)))


def _lead(summary: dict[str, Any]) -> str:
    rows = summary["rows"]
    ended = "" if summary["outcome"] == "complete" else f" It has not run to its end ({summary['outcome']}); the same command goes on."
    return f"{rows['answered']:,} rows answered, {rows['failed']:,} failed, in {seconds(summary['duration_s'])}.{ended}"


def _facts(summary: dict[str, Any]) -> tuple[Fact, ...]:
    told = {
        "started": summary["started"],
        "took": f"{seconds(summary['duration_s'])} in {summary['sessions']} session(s)",
        "mesh": f"{summary['mesh']} ({summary['mesh_hash'][:12]})",
        "input": summary["input"],
        "paid in this run": f"${summary['cost_usd']:,.4f}, {summary['cpu_s']:,.1f} CPU s",
        "calls": f"{summary['calls']:,}, {summary['retries']:,} retries",
        "tokens": f"{summary['tokens']['prompt']:,} in, {summary['tokens']['completion']:,} out",
        "versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    }
    return tuple(Fact(name=name, value=str(value)) for name, value in told.items())
