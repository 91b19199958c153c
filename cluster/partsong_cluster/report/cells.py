"""Cells: figures as tables tell them: what, and below it the 95 % interval, with n where that is not all of the line's rows."""

from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.intervals import Interval
from partsong.evaluation.summary import PlanSummary
from partsong_cluster.report.contents import CostUnit
from partsong_cluster.report.words import money, money_range, seconds, seconds_range, share, share_range

__all__ = [
    "NOTHING",
    "Cell",
    "calls_cell",
    "cost_cell",
    "latency_cells",
    "money_cell",
    "of_rows",
    "right_cell",
    "seconds_cell",
    "share_cell",
    "usd_cell",
]

Cell = tuple[str, str]
"""What is told, and the interval below it; empty where there is none."""

NOTHING: Cell = ("\u2013", "")
_TOO_FEW = "too few rows"


def share_cell(figure: Figure | None, rows: int) -> Cell:
    """Return a share of a line of so many rows."""
    if figure is None:
        return NOTHING
    return share(figure.value), share_range(figure) + of_rows(figure, rows)


def of_rows(figure: Figure, rows: int) -> str:
    """Return the figure's rows, where they are not all of the line's."""
    return f" ({figure.n:,})" if figure.n != rows else ""


def right_cell(summary: PlanSummary) -> Cell:
    """Return the share of graded rows that are right."""
    return share_cell(share_of(summary.right, summary.graded), summary.rows)


def cost_cell(summary: PlanSummary, unit: CostUnit) -> Cell:
    """Return what 1,000 rows cost; the column's name tells the unit."""
    if not summary.rows:
        return NOTHING
    if unit == "usd":
        return _bare(money_cell(summary.usd_per_1000, summary.usd_per_1000_interval, unit))
    return _bare(money_cell(summary.cpu_s_per_1000, summary.cpu_s_per_1000_interval, unit))


def usd_cell(figure: Figure) -> Cell:
    """Return a cost in dollars; the column's name tells the unit."""
    return _bare(money_cell(figure.value, Interval(figure.low, figure.high), "usd"))


def money_cell(value: float, within: Interval | None, unit: CostUnit) -> Cell:
    """Return a cost with its unit."""
    return money(value, unit), _TOO_FEW if within is None else money_range(within, unit)


def seconds_cell(value: float, within: Interval | None) -> Cell:
    """Return a time span."""
    return seconds(value), _TOO_FEW if within is None else seconds_range(within)


def calls_cell(summary: PlanSummary) -> Cell:
    """Return the calls of a row."""
    within = summary.calls_per_row_interval
    told = "" if within is None or within.low == within.high else f"{within.low:.2f}\u2013{within.high:.2f}"
    return (f"{summary.calls_per_row:.2f}", told) if summary.rows else NOTHING


def latency_cells(summary: PlanSummary) -> tuple[Cell, Cell]:
    """Return median and 95th percentile of the answered rows."""
    if summary.rows == summary.failed:
        return NOTHING, NOTHING
    median = seconds_cell(summary.latency_p50_s, summary.latency_p50_s_interval)
    return median, seconds_cell(summary.latency_p95_s, summary.latency_p95_s_interval)


def _bare(told: Cell) -> Cell:
    value, within = (part.removeprefix("$").removesuffix(" CPU s") for part in told)
    return value, within
