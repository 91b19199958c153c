"""Table: a section on the terminal, within eighty columns: what never differs or never happened takes no room."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.table import Column, Table
from rich.text import Text

from partsong_cluster.report.baseline import BESIDE, baseline_cells, baseline_columns
from partsong_cluster.report.contents import PlanLine, Section
from partsong_cluster.report.headline import front_names
from partsong_cluster.report.words import money, percent, seconds, share
from partsong_cluster.terminal import plain

__all__ = ["baseline_tables", "section_table"]

_NOTHING = "\u2013"
_NARROWEST = 16
"""Characters that a name gets at least, where it is that long."""
_MANY_COLUMNS = 8


class _Shown(NamedTuple):
    name: str
    cell: Callable[[PlanLine], str]


def section_table(section: Section) -> Table:
    """Return what each way came to; the ways on the Pareto front carry a star."""
    columns = list(_columns(section))
    table = _table(section, [one.name for one in columns])
    best = front_names(section) if len(section.lines) > 1 else frozenset()
    for line in section.lines:
        name = Text.assemble((plain(line.name), "bold" if line.name in best else ""), (" *" if line.name in best else "", "yellow"))
        table.add_row(name, *(one.cell(line) for one in columns))
    if best:
        table.caption = "* nothing here is both cheaper and more often right"
        table.caption_justify = "left"
    return table


def baseline_tables(section: Section) -> list[Table]:
    """Return what a right answer costs, and what is gained on the best single model; below each figure its 95 % interval."""
    names = baseline_columns(section)
    own, beside = [name for name in names if name not in BESIDE], [name for name in names if name in BESIDE]
    return [_baseline_table(section, columns) for columns in (own, beside) if columns]


def _baseline_table(section: Section, columns: Sequence[str]) -> Table:
    table = _table(section, columns)
    for line in section.lines:
        cells = dict(zip(baseline_columns(section), baseline_cells(line, section), strict=True))
        told = [cells[name] for name in columns]
        if any(within for _, within in told):
            table.add_row(Text(plain(line.name)), *(Text.assemble(value, "\n", (within, "dim")) for value, within in told))
    return table


def _table(section: Section, names: Sequence[str]) -> Table:
    longest = max(len(line.name) for line in section.lines)
    gap = 1 if len(names) >= _MANY_COLUMNS else 2
    numbers = (Column(name, justify="right", no_wrap=True) for name in names)
    return Table(
        Column("way", overflow="fold", min_width=min(longest, _NARROWEST)), *numbers, box=None, padding=(0, gap, 0, 0), header_style="dim"
    )


def _columns(section: Section) -> Iterator[_Shown]:
    summaries = [line.summary for line in section.lines]
    if len({one.rows for one in summaries}) > 1 or len(summaries) == 1:
        yield _Shown("rows", lambda line: f"{line.summary.rows:,}")
    if any(one.not_covered for one in summaries):
        yield _Shown("not\ncovered", lambda line: f"{line.summary.not_covered:,}")
    if any(one.failed for one in summaries):
        yield _Shown("failed", lambda line: f"{line.summary.failed:,}")
    if any(one.graded for one in summaries):
        yield _Shown("right", percent)
        yield _Shown("95 %\ninterval", _interval)
    cost = "$ per\n1,000" if section.unit == "usd" else "CPU s per\n1,000"
    yield _Shown(cost, lambda line: money(line.cost_per_1000(section.unit), section.unit).replace(" CPU s", "").replace("$", ""))
    if any(one.calls_per_row != 1 for one in summaries):
        yield _Shown("calls\na row", lambda line: f"{line.summary.calls_per_row:.2f}")
    if section.shows_latency:
        yield _Shown("p50", lambda line: seconds(line.summary.latency_p50_s))
        yield _Shown("p95", lambda line: seconds(line.summary.latency_p95_s))
    if section.strong:
        yield _Shown(f"reached\n{section.strong}", lambda line: _NOTHING if line.strong_share is None else share(line.strong_share))


def _interval(line: PlanLine) -> str:
    interval = line.summary.accuracy_interval
    return _NOTHING if interval is None else f"{interval.low * 100:.1f} to {interval.high * 100:.1f}"
