"""Baseline: the figures beside the best single model as cells of a table, for the page and the terminal."""

from collections.abc import Iterator, Sequence
from math import isfinite

from partsong.evaluation.baseline import Against
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.intervals import Interval
from partsong_cluster.report.cells import NOTHING, Cell, of_rows, share_cell
from partsong_cluster.report.contents import CostUnit, PlanLine, Section
from partsong_cluster.report.words import money, money_range, points

__all__ = ["BESIDE", "baseline_cells", "baseline_columns"]


def baseline_columns(section: Section) -> Sequence[str]:
    """Return the columns' names; those that no way has a figure for are left out."""
    return [name for name, _ in _shown(section, section.lines[0])]


def baseline_cells(line: PlanLine, section: Section) -> Sequence[Cell]:
    """Return the way's cells under those names."""
    return [cell for _, cell in _shown(section, line)]


def _shown(section: Section, line: PlanLine) -> Iterator[tuple[str, Cell]]:
    told = [dict(_cells(one, section.unit)) for one in section.lines]
    for name, cell in _cells(line, section.unit):
        if any(cells[name] != NOTHING for cells in told) and (section.shows_latency or name != _FASTER):
            yield name, cell


_FASTER = "time, of best"
BESIDE = frozenset({"right, in points", "p", "cost, of best", _FASTER})
"""Columns that compare with the best single model; the others are a way's own."""


def _cells(line: PlanLine, unit: CostUnit) -> Iterator[tuple[str, Cell]]:
    own, beside, summary = line.figures, line.against_best, line.summary
    climbed = share_of(summary.escalated, summary.rows - summary.failed) if summary.escalated else None
    yield "1,000 right cost", NOTHING if own is None else _in_money(own.cost_per_1000_right, unit, summary.rows)
    yield "done", NOTHING if own is None else share_cell(own.success, summary.rows)
    yield "routing accuracy", NOTHING if own is None else share_cell(own.routing, summary.rows)
    yield "climbed a tier", share_cell(climbed, summary.rows)
    yield "edited", NOTHING if line.edits is None else share_cell(line.edits.edited, summary.rows)
    yield "edit size", NOTHING if line.edits is None else share_cell(line.edits.size, summary.rows)
    yield "right, in points", NOTHING if beside is None else _gained(beside, summary.rows)
    yield "p", NOTHING if beside is None or beside.p_holm is None else (f"{beside.p_holm:.2g}", "")
    yield "cost, of best", NOTHING if beside is None else _left_over(beside.saved, summary.rows)
    yield _FASTER, NOTHING if beside is None else _left_over(beside.faster, summary.rows)


def _gained(beside: Against, rows: int) -> Cell:
    gain = beside.gain
    return NOTHING if gain is None else (points(gain.value), f"{points(gain.low)} to {points(gain.high)}{of_rows(gain, rows)}")


def _left_over(saved: Figure | None, rows: int) -> Cell:
    """Return what is left of the best single model's cost or time: 40 % when 60 % is saved."""
    if saved is None:
        return NOTHING
    return f"{(1 - saved.value) * 100:.0f} %", f"{(1 - saved.high) * 100:.0f}\u2013{(1 - saved.low) * 100:.0f}{of_rows(saved, rows)}"


def _in_money(figure: Figure | None, unit: CostUnit, rows: int) -> Cell:
    if figure is None:
        return NOTHING
    within = money_range(Interval(figure.low, figure.high), unit) if isfinite(figure.high) else f"{money(figure.low, unit)} or more"
    return money(figure.value, unit), within.replace(" CPU s", "") + of_rows(figure, rows)
