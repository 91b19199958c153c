"""Table: a section on the terminal, within eighty columns."""

from collections.abc import Sequence

from rich.table import Column, Table
from rich.text import Text

from partsong_cluster.report.baseline import BESIDE, baseline_cells, baseline_columns
from partsong_cluster.report.cells import Cell
from partsong_cluster.report.columns import summary_columns
from partsong_cluster.report.contents import Section
from partsong_cluster.report.headline import front_names
from partsong_cluster.terminal import plain

__all__ = ["baseline_tables", "cell_shown", "section_table"]

_NARROWEST = 16
"""Characters that a name gets at least, where it is that long."""
_MANY_COLUMNS = 8


def section_table(section: Section) -> Table:
    """Return what each way came to, below each figure its 95 % interval; the ways on the Pareto front carry a star."""
    columns = list(summary_columns(section))
    table = _table(section, [one.name for one in columns])
    best = front_names(section) if len(section.lines) > 1 else frozenset()
    for line in section.lines:
        name = Text.assemble((plain(line.name), "bold" if line.name in best else ""), (" *" if line.name in best else "", "yellow"))
        table.add_row(name, *(cell_shown(one.cell(line)) for one in columns))
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
            table.add_row(Text(plain(line.name)), *(map(cell_shown, told)))
    return table


def cell_shown(cell: Cell) -> Text:
    """Return a cell: what, and dim below it how sure that is."""
    value, within = cell
    return Text.assemble(value, *(("\n", (within, "dim")) if within else ()))


def _table(section: Section, names: Sequence[str]) -> Table:
    longest = max(len(line.name) for line in section.lines)
    gap = 1 if len(names) >= _MANY_COLUMNS else 2
    numbers = (Column(name, justify="right", no_wrap=True) for name in names)
    return Table(
        Column("way", overflow="fold", min_width=min(longest, _NARROWEST)), *numbers, box=None, padding=(0, gap, 0, 0), header_style="dim"
    )
