"""Columns: what a section tells of each way, for the page and the terminal: what never differs or never happened takes no room."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from partsong_cluster.report.cells import Cell, calls_cell, cost_cell, latency_cells, right_cell, share_cell
from partsong_cluster.report.contents import PlanLine, Section

__all__ = ["SummaryColumn", "summary_columns"]


class SummaryColumn(NamedTuple):
    """One of the columns; its name may have two lines."""

    name: str
    cell: Callable[[PlanLine], Cell]


def summary_columns(section: Section) -> Iterator[SummaryColumn]:
    """Yield the columns of a section."""
    summaries = [line.summary for line in section.lines]
    if len({one.rows for one in summaries}) > 1 or len(summaries) == 1:
        yield SummaryColumn("rows", lambda line: (f"{line.summary.rows:,}", ""))
    if any(one.not_covered for one in summaries):
        yield SummaryColumn("not\ncovered", lambda line: (f"{line.summary.not_covered:,}", ""))
    if any(one.failed for one in summaries):
        yield SummaryColumn("failed", lambda line: (f"{line.summary.failed:,}", ""))
    if any(one.graded for one in summaries):
        yield SummaryColumn("right", lambda line: right_cell(line.summary))
    cost = "$ per\n1,000" if section.unit == "usd" else "CPU s per\n1,000"
    yield SummaryColumn(cost, lambda line: cost_cell(line.summary, section.unit))
    if any(one.calls_per_row != 1 for one in summaries):
        yield SummaryColumn("calls\na row", lambda line: calls_cell(line.summary))
    if section.shows_latency:
        yield SummaryColumn("p50", lambda line: latency_cells(line.summary)[0])
        yield SummaryColumn("p95", lambda line: latency_cells(line.summary)[1])
    if section.strong:
        yield SummaryColumn(f"reached\n{section.strong}", lambda line: share_cell(line.strong_share, line.summary.rows))
