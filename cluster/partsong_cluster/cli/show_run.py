"""What a run came to, and what a dry run foresees, for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from partsong.pool.forecast import ASSUMED_COMPLETION_TOKENS
from partsong_cluster.batch.dry_run import DryRun
from partsong_cluster.report.words import counted
from partsong_cluster.terminal import plain

__all__ = ["forecast_shown", "summary_shown"]

_WHY = {
    "complete": "complete",
    "interrupted": "interrupted; what was finished is kept",
    "budget": "stopped: the next call could have passed a budget",
    "deadline": "stopped: the deadline passed",
}


def summary_shown(summary: Mapping[str, Any], place: str) -> Group:
    """Return a run's summary; `place` is where its results are."""
    return Group(*_summary_parts(summary, place))


def forecast_shown(forecast: DryRun) -> Group:
    """Return what a dry run foresees."""
    return Group(*_forecast_parts(forecast))


def _summary_parts(summary: Mapping[str, Any], place: str) -> Iterator[RenderableType]:
    rows, latency = summary["rows"], summary["latency_s"]
    pace = rows["finished"] / summary["duration_s"] if summary["duration_s"] else 0.0
    yield Text(_WHY[summary["outcome"]], "bold" if summary["outcome"] == "complete" else "bold yellow")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_row("rows", f"{rows['answered']:,} answered, {rows['failed']:,} failed{_failures(rows['failures'])}")
    grid.add_row("time", f"{summary['duration_s']:,.1f} s, {pace:,.1f} rows/s{_sessions(summary['sessions'])}")
    grid.add_row("cost", _cost(summary))
    grid.add_row("tokens", f"{summary['tokens']['prompt']:,} in, {summary['tokens']['completion']:,} out")
    if latency["p50"] is not None:
        grid.add_row("latency", f"p50 {latency['p50']:.2f} s, p95 {latency['p95']:.2f} s, longest {latency['max']:.2f} s, waits included")
    yield grid
    yield _models(summary["models"])
    if summary["unused_fields"]:
        listed = ", ".join(f"{name} ({counted(count, 'row')})" for name, count in summary["unused_fields"].items())
        yield Text(plain(f"These fields of the requests changed nothing: {listed}"), "yellow")
    yield Text(plain(place), "dim")


def _cost(summary: Mapping[str, Any]) -> str:
    parts = [f"${summary['cost_usd']:,.4f}"]
    if summary["possible_usd"]:
        parts.append(f"up to ${summary['possible_usd']:,.4f} more for rows not done yet and requests that broke off")
    if summary["cpu_s"]:
        parts.append(f"{summary['cpu_s']:,.1f} CPU s")
    return ", ".join(parts)


def _failures(failures: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{code} {count:,}' for code, count in failures.items())})" if failures else ""


def _sessions(count: int) -> str:
    return f", in {count} sessions" if count > 1 else ""


def _models(models: Mapping[str, Mapping[str, Any]]) -> Table:
    numbers = ("calls", "reused", "retries", "failed", "cost", "CPU s")
    table = Table("model", *(Column(name, justify="right") for name in numbers), box=None, pad_edge=False, header_style="dim")
    for name, model in models.items():
        counts = (f"{model[key]:,}" for key in ("calls", "reused", "retries", "failed"))
        table.add_row(Text(name), *counts, f"${model['cost_usd']:,.4f}", f"{model['cpu_s']:,.1f}")
    return table


def _forecast_parts(forecast: DryRun) -> Iterator[RenderableType]:
    yield Text(f"{counted(forecast.rows, 'row')}, at most ${forecast.most_usd:,.4f}; nothing was called", "bold")
    if forecast.routes:
        numbers = ("rows", "prompt tokens", "at most")
        table = Table("route", *(Column(name, justify="right") for name in numbers), "why", box=None, pad_edge=False, header_style="dim")
        for name, route in sorted(forecast.routes.items()):
            why = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(route.reasons.items(), key=lambda r: -r[1])[:5])
            table.add_row(Text(name), f"{route.rows:,}", f"{route.prompt_tokens:,}", f"${route.most_usd:,.4f}", Text(plain(why)))
        yield table
    if forecast.models:
        yield Text("calls at most: " + ", ".join(f"{name} {calls:,}" for name, calls in sorted(forecast.models.items())))
    yield Text(f"Counted: every call a plan may make, max_tokens (else {ASSUMED_COMPLETION_TOKENS:,}) tokens a reply, no retries.", "dim")
    if forecast.bad:
        yield Text(f"{counted(forecast.bad, 'row')} cannot be answered:", "bold yellow")
        yield from (Text(plain(f"  {line}")) for line in forecast.bad_rows)
        if forecast.bad > len(forecast.bad_rows):
            yield Text(f"  and {forecast.bad - len(forecast.bad_rows):,} more")
