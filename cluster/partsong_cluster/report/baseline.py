"""Baseline: the figures beside the best single model as cells of a table, for the page and the terminal."""

from collections.abc import Iterator, Sequence
from math import isfinite

from partsong.evaluation.baseline import Against
from partsong.evaluation.figure import Figure, share_of
from partsong_cluster.report.contents import CostUnit, PlanLine, Section
from partsong_cluster.report.words import money, points, share

__all__ = ["BESIDE", "Cell", "baseline_cells", "baseline_columns"]

Cell = tuple[str, str]
"""What is told, and the interval below it; empty where there is none."""

_NOTHING: Cell = ("\u2013", "")


def baseline_columns(section: Section) -> Sequence[str]:
    """Return the columns' names; those that no way has a figure for are left out."""
    return [name for name, _ in _shown(section, section.lines[0])]


def baseline_cells(line: PlanLine, section: Section) -> Sequence[Cell]:
    """Return the way's cells under those names."""
    return [cell for _, cell in _shown(section, line)]


def _shown(section: Section, line: PlanLine) -> Iterator[tuple[str, Cell]]:
    told = [dict(_cells(one, section.unit)) for one in section.lines]
    for name, cell in _cells(line, section.unit):
        if any(cells[name] != _NOTHING for cells in told) and (section.shows_latency or name != _FASTER):
            yield name, cell


_FASTER = "time, of best"
BESIDE = frozenset({"right, in points", "p", "cost, of best", _FASTER})
"""Columns that compare with the best single model; the others are a way's own."""


def _cells(line: PlanLine, unit: CostUnit) -> Iterator[tuple[str, Cell]]:
    own, beside = line.figures, line.against_best
    answered = line.summary.rows - line.summary.failed
    yield "1,000 right cost", _NOTHING if own is None else _in_money(own.cost_per_1000_right, unit)
    yield "done", _NOTHING if own is None else _in_per_cent(own.success)
    yield "routing accuracy", _NOTHING if own is None else _in_per_cent(own.routing)
    yield "climbed a tier", _in_per_cent(share_of(line.summary.escalated, answered)) if line.summary.escalated else _NOTHING
    yield "right, in points", _NOTHING if beside is None else _gained(beside)
    yield "p", _NOTHING if beside is None or beside.p_holm is None else (f"{beside.p_holm:.2g}", "")
    yield "cost, of best", _NOTHING if beside is None else _left_over(beside.saved)
    yield _FASTER, _NOTHING if beside is None else _left_over(beside.faster)


def _gained(beside: Against) -> Cell:
    return _NOTHING if beside.gain is None else (points(beside.gain.value), f"{points(beside.gain.low)} to {points(beside.gain.high)}")


def _in_per_cent(figure: Figure | None) -> Cell:
    return _NOTHING if figure is None else (share(figure.value), f"{figure.low * 100:.0f} to {figure.high * 100:.0f}")


def _left_over(saved: Figure | None) -> Cell:
    """Return what is left of the best single model's cost or time: 40 % when 60 % is saved."""
    if saved is None:
        return _NOTHING
    return f"{(1 - saved.value) * 100:.0f} %", f"{(1 - saved.high) * 100:.0f} to {(1 - saved.low) * 100:.0f}"


def _in_money(figure: Figure | None, unit: CostUnit) -> Cell:
    if figure is None:
        return _NOTHING
    upper = money(figure.high, unit) if isfinite(figure.high) else "any"
    return money(figure.value, unit), f"{money(figure.low, unit)} to {upper}".replace(" CPU s", "")
