"""Capability: the part of a run's report that says what each of its models is good at, where its rows tell."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from partsong.errors import PartsongError
from partsong.evaluation.intervals import Interval
from partsong.learning.knowledge import learn_installed
from partsong_cluster.report.cells import NOTHING, Cell, money_cell, seconds_cell
from partsong_cluster.report.contents import Capability, CapabilityCell, CapabilityRow, TookRow

if TYPE_CHECKING:
    from partsong.learning.usage import ModelUsage

__all__ = ["capability_of", "took_lines"]

_FEWEST = 30
"""Calls of a model below which nothing is said of it."""
_MOST_ROWS = 5000
"""Of larger runs the report says nothing here: it would wait for it; `partsong matrix` does not mind."""


def capability_of(folder: Path, summary: Mapping[str, Any]) -> Capability | None:
    """Return models by kinds of task; None where fewer than two models answered rows whose right answer is known, or the run is large."""
    asked = [name for name, told in summary["models"].items() if told["calls"] + told["reused"] >= _FEWEST]
    if len(asked) < 2 or not _FEWEST <= summary["rows"]["finished"] <= _MOST_ROWS:
        return None
    try:
        with learn_installed():
            from partsong_cluster.outcomes.matrix import matrix_of_runs
            from partsong_cluster.outcomes.runs import Reading

            found = matrix_of_runs([folder], Reading())
    except PartsongError:  # not installed, or no model's own replies: the report does without
        return None
    models = tuple(usage.model for usage in found.usage if usage.calls >= _FEWEST)
    if found.source == "agreement" or len(models) < 2:
        return None
    at = {(cell.model, cell.kind): cell for cell in found.cells}
    rows = []
    for kind in sorted({cell.kind for cell in found.cells}):
        cells = (at[model, kind] for model in models)
        row = tuple(CapabilityCell(right=c.accuracy, low=c.low, high=c.high, n=c.n) for c in cells)
        rows.append(CapabilityRow(kind=kind, cells=row))
    usage = {one.model: one for one in found.usage}
    return Capability(
        models=models,
        rows=tuple(rows),
        took=tuple(TookRow(name=name, cells=tuple(cell_of(usage[model]) for model in models)) for name, cell_of in took_lines()),
        found_in_words=found.kinds_from == "words",
        gaps=tuple(g.words for g in found.gaps),
    )


def took_lines() -> Sequence[tuple[str, Callable[["ModelUsage"], Cell]]]:
    """Return what is told of each model's calls, beside how often it is right: a name, and its cell."""
    return [
        ("$ per 1,000", lambda one: _usd(1000 * one.cost_usd, 1000 * one.cost_usd_low, 1000 * one.cost_usd_high)),
        ("p50", lambda one: _seconds(one.latency_p50_s, one.latency_p50_s_low, one.latency_p50_s_high)),
        ("p95", lambda one: _seconds(one.latency_p95_s, one.latency_p95_s_low, one.latency_p95_s_high)),
    ]


def _usd(value: float, low: float, high: float) -> Cell:
    return NOTHING if isnan(value) else money_cell(value, _within(low, high), "usd")


def _seconds(value: float, low: float, high: float) -> Cell:
    return NOTHING if isnan(value) else seconds_cell(value, _within(low, high))


def _within(low: float, high: float) -> Interval | None:
    return None if isnan(low) else Interval(low, high)
