"""Drawn: the view for a terminal."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from partsong_cluster.terminal import plain
from partsong_cluster.top.view import JobView, ModelView, NodeView, SystemView, View

__all__ = ["drawn"]

_BAR_CELLS = 16
_SLOW_JOURNAL_S = 5.0
_NEARLY = 0.9
_MANY_FAIL = 0.1

T = TypeVar("T")
_WIDE_COLUMNS = 120
"""From this width on all columns are shown."""


class _Column(NamedTuple, Generic[T]):
    heading: str
    cell: Callable[[T], str | Text]
    wide: bool = False
    """Whether it is left out where there is little room."""


def drawn(view: View, width: int, *, keys: bool = False) -> RenderableType:
    """Return all of it for so many columns; `keys` says which keys there are."""
    parts: list[RenderableType] = [_system(system) for system in view.systems] or [
        Text("no Partsong system tells anything yet: none runs, or one is starting", "dim")
    ]
    if view.systems and not view.models and not view.jobs:
        parts.append(Text("starting: models and jobs are shown as soon as they tell anything", "dim"))
    wide = width >= _WIDE_COLUMNS
    parts += _table("models", _MODELS, view.models, wide=wide) + _table("jobs", _JOBS, view.jobs, wide=wide)
    parts += _table("nodes", _NODES, view.nodes, wide=wide)
    parts += [Text(f"{plain(one)} does not answer", "yellow") for one in view.unreachable]
    if keys:
        over = f"rates over {view.over_s:.0f} s" if view.over_s else "rates come with the next reading"
        parts += [Text(f"\nq quits · {over}", "dim")]
    return Group(*parts)


def _system(one: SystemView) -> Text:
    late = one.journal_oldest_s > _SLOW_JOURNAL_S
    head = Text.assemble(
        (plain(one.system), "bold"),
        f"  {one.rows_per_s:,.1f} rows/s  {one.under_way:,} under way  {_usd(one.usd_per_min)}/min",
        ("  journal ", "dim"),
        f"{one.journal_per_s:,.0f} records/s, {one.journal_pending:,} waiting",
        (f", oldest {one.journal_oldest_s:.0f} s", "bold red") if late else "",
    )
    if one.unconfirmed:
        head.append(f"\n  not confirmed by the store: {plain(', '.join(one.unconfirmed))}", "bold red")
    return head


def _table(title: str, columns: Sequence[_Column[T]], rows: Sequence[T], *, wide: bool) -> list[RenderableType]:
    if not rows:
        return []
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    shown = [column for column in columns if wide or not column.wide]
    for number, column in enumerate(shown):
        table.add_column(column.heading, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*[column.cell(row) for column in shown])
    return [Text(f"\n{title}", "bold cyan"), table]


def _workers(one: ModelView) -> str | Text:
    if one.ready is None:
        return "-"
    more = [f"+{one.starting}" if one.starting else "", f"-{one.draining}" if one.draining else ""]
    return Text(" ".join([str(one.ready), *filter(None, more)]), "red" if not one.ready and one.waiting else "")


def _breaker(one: ModelView) -> str | Text:
    return Text(one.breaker, {"closed": "green", "half-open": "yellow"}.get(one.breaker, "bold red")) if one.breaker else "-"


def _share(value: float | None, *, bad_from: float) -> str | Text:
    return "-" if value is None else Text(f"{value:.0%}", "red" if value >= bad_from else "")


def _limit(one: ModelView) -> str | Text:
    if one.limit is None or one.limit_used is None:
        return "-"
    return Text(f"{plain(one.limit)} {one.limit_used:.0%}", "yellow" if one.limit_used >= _NEARLY else "")


def _done(one: JobView) -> str | Text:
    if one.share is None:
        return "-"
    cells = round(min(1.0, one.share) * _BAR_CELLS)
    return Text.assemble(("━" * cells, "cyan"), ("━" * (_BAR_CELLS - cells), "bright_black"), f" {one.share:4.0%}")


def _left(one: JobView) -> str:
    if one.left_s is None:
        return "-"
    minutes, seconds = divmod(round(one.left_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _usd(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:,.4f}"


def _span(value_s: float | None) -> str:
    if value_s is None:
        return "-"
    return f"{value_s * 1e3:.0f} ms" if value_s < 1 else f"{value_s:.1f} s"


_MODELS: Sequence[_Column[ModelView]] = (
    _Column("model", lambda one: plain(one.model)),
    _Column("workers", _workers),
    _Column("in flight", lambda one: f"{one.in_flight:,}"),
    _Column("waiting", lambda one: f"{one.waiting:,}"),
    _Column("limited", lambda one: f"{one.limited:,}", wide=True),
    _Column("p95 wait", lambda one: _span(one.wait_p95_s)),
    _Column("calls/s", lambda one: f"{one.calls_per_s:,.1f}"),
    _Column("retries/s", lambda one: f"{one.retries_per_s:,.1f}", wide=True),
    _Column("failing", lambda one: _share(one.failed_share, bad_from=_MANY_FAIL)),
    _Column("breaker", _breaker),
    _Column("tightest limit", _limit, wide=True),
    _Column("cost/min", lambda one: _usd(one.usd_per_min)),
    _Column("system", lambda one: Text(plain(one.system), "dim"), wide=True),
)
_JOBS: Sequence[_Column[JobView]] = (
    _Column("job", lambda one: plain(one.job)),
    _Column("done", _done),
    _Column("answered", lambda one: f"{one.answered:,}"),
    _Column("failed", lambda one: Text(f"{one.failed:,}", "red" if one.failed else "")),
    _Column("rows/s", lambda one: f"{one.rows_per_s:,.1f}"),
    _Column("left", _left),
    _Column("cost", lambda one: _usd(one.cost_usd)),
    _Column("of budget", lambda one: _share(one.budget_used, bad_from=_NEARLY), wide=True),
    _Column("system", lambda one: Text(plain(one.system), "dim"), wide=True),
)
_NODES: Sequence[_Column[NodeView]] = (
    _Column("node", lambda one: plain(one.node)),
    _Column("processes", lambda one: f"{one.processes:,}"),
    _Column("cpu", lambda one: "-" if one.cpu_percent is None else f"{one.cpu_percent:.0f}%"),
    _Column("memory", lambda one: _share(one.memory_used, bad_from=_NEARLY)),
    _Column("disk", lambda one: _share(one.disk_used, bad_from=_NEARLY)),
)
