"""The matrix on the terminal: kinds down, models across, in as many blocks as the width asks for."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from partsong.learning.matrix import Cell
from partsong.learning.tabled import AGREEMENT
from partsong.learning.usage import ModelUsage
from partsong_cluster.outcomes.matrix import Matrix
from partsong_cluster.report.capability import took_lines
from partsong_cluster.report.table import cell_shown
from partsong_cluster.report.words import counted
from partsong_cluster.terminal import plain

__all__ = ["matrix_shown"]

_COLUMN = 17
_WIDEST_KIND = 28
_NOTHING = "\u2013"


def matrix_shown(found: Matrix, width: int) -> Group:
    """Return the matrix for a terminal so many characters wide."""
    return Group(*_parts(found, width))


def _parts(found: Matrix, width: int) -> Iterator[RenderableType]:
    models = [usage.model for usage in found.usage]
    names = min(_WIDEST_KIND, max(len("$ per 1,000"), *(len(cell.kind) for cell in found.cells)))
    across = max(1, (width - names - 2) // _COLUMN)
    yield Text(plain(f"{counted(found.rows, 'row')}; what is right: by {found.source}"), "bold")
    if found.kinds_from == "words":
        yield Text("The rows name no kind of task: these were found in the words of the prompts.", "dim")
    for start in range(0, len(models), across):
        yield Text()
        yield _block(found.cells, found.usage[start : start + across], "kind (estimates)" if found.source == AGREEMENT else "kind")
    yield Text(
        "Share right, shrunk towards the model's mean where rows are few. Below each figure its 95 % interval; in brackets, rows.", "dim"
    )
    yield Text()
    yield from (Padding(Text(plain(f"Gap: {gap.words}.")), (0, 0, 0, 2)) for gap in found.gaps)
    yield from (Text(plain(f"! {warning}"), "yellow") for warning in found.warnings)


def _block(cells: Sequence[Cell], models: Sequence[ModelUsage], first: str) -> Table:
    columns = (Column(plain(one.model), justify="right", overflow="fold", max_width=_COLUMN - 2) for one in models)
    table = Table(Column(first, overflow="fold", max_width=_WIDEST_KIND), *columns, box=None, pad_edge=False, header_style="dim")
    at = {(cell.model, cell.kind): cell for cell in cells}
    for kind in sorted({cell.kind for cell in cells}):
        table.add_row(Text(plain(kind)), *(_cell(at[one.model, kind]) for one in models))
    table.add_section()
    for name, figure_of in took_lines():
        table.add_row(Text(name, "dim"), *(cell_shown(figure_of(one)) for one in models))
    return table


def _cell(cell: Cell) -> Text:
    if not cell.n:
        return Text(_NOTHING, "dim")
    return cell_shown((f"{100 * cell.accuracy:.0f} %", f"{100 * cell.low:.0f}\u2013{100 * cell.high:.0f} ({cell.n:,})"))
