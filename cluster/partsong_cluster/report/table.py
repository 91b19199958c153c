"""Table: a section on the terminal: what is too wide for it stands below, under the ways' names again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
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


def section_table(section: Section) -> RenderableType:
    """Return what each way came to, below each figure its 95 % interval; the ways on the Pareto front carry a star."""
    columns = list(summary_columns(section))
    best = front_names(section) if len(section.lines) > 1 else frozenset()
    ways = [
        Text.assemble((plain(line.name), "bold" if line.name in best else ""), (" *" if line.name in best else "", "yellow"))
        for line in section.lines
    ]
    cells = [[cell_shown(one.cell(line)) for one in columns] for line in section.lines]
    return _Fitted([one.name for one in columns], ways, cells, "* nothing here is both cheaper and more often right" if best else None)


def baseline_tables(section: Section) -> Sequence[RenderableType]:
    """Return what a right answer costs, and what is gained on the best single model; below each figure its 95 % interval."""
    names = baseline_columns(section)
    own, beside = [name for name in names if name not in BESIDE], [name for name in names if name in BESIDE]
    return [_baseline_table(section, columns) for columns in (own, beside) if columns]


def _baseline_table(section: Section, columns: Sequence[str]) -> RenderableType:
    ways, shown = [], []
    for line in section.lines:
        cells = dict(zip(baseline_columns(section), baseline_cells(line, section), strict=True))
        told = [cells[name] for name in columns]
        if any(within for _, within in told):
            ways.append(Text(plain(line.name)))
            shown.append([cell_shown(cell) for cell in told])
    return _Fitted(columns, ways, shown)


def cell_shown(cell: Cell) -> Text:
    """Return a cell: what, and dim below it how sure that is."""
    value, within = cell
    return Text.assemble(value, *(("\n", (within, "dim")) if within else ()))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """As many columns beside each other as there is room for."""

    names: Sequence[str]
    ways: Sequence[Text]
    cells: Sequence[Sequence[Text]]
    """By way."""
    caption: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        start, count = 0, len(self.names)
        while start < count:
            ranges = ((end, gap) for end in range(count, start, -1) for gap in (2, 1))
            end, gap = next(one for one in ranges if one[0] == start + 1 or self._width(start, *one) <= options.max_width)
            if start:
                yield Text()
            yield self._table(start, end, gap)
            start = end
        if self.caption is not None:
            yield Text(self.caption, "table.caption")

    def _table(self, start: int, end: int, gap: int) -> Table:
        numbers = (Column(self.names[place], justify="right", no_wrap=True, min_width=self._widest(place)) for place in range(start, end))
        way = Column("way", overflow="fold", min_width=self._narrowest())
        table = Table(way, *numbers, box=None, padding=(0, gap, 0, 0), header_style="dim")
        for name, cells in zip(self.ways, self.cells, strict=True):
            table.add_row(name, *cells[start:end])
        return table

    def _width(self, start: int, end: int, gap: int) -> int:
        """Return the characters that these columns take at least with no figure cut."""
        return self._narrowest() + gap + sum(self._widest(place) + gap for place in range(start, end))

    def _narrowest(self) -> int:
        return min(max((way.cell_len for way in self.ways), default=0), _NARROWEST)

    def _widest(self, place: int) -> int:
        told = (Text(self.names[place]), *(cells[place] for cells in self.cells))
        return max(line.cell_len for one in told for line in one.split(allow_blank=True))
