"""`partsong trace RUN ROW`: the tree of one row's spans with time bars."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from partsong.contracts import Answer
from partsong.telemetry.tree import RowTrace, SpanNode, read_trace, trace_files
from partsong_cluster.batch.finished import finished_rows, manifest_of
from partsong_cluster.terminal import in_json, plain

__all__ = ["drawn", "trace"]

_BAR_CELLS = 28
_NARROW_BAR_CELLS = 14
_NARROW_COLUMNS = 110
_SHARED = "traces"


def trace(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    row: Annotated[str, typer.Argument(help="The row's custom id, or its number.", metavar="ROW")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the tree as JSON.")] = False,
) -> None:
    """Draw what one row went through: plans, calls, retries, merges, with the time each took."""
    found = _read(run, row)
    if as_json:
        typer.echo(in_json(found.model_dump_json(indent=2)))
    else:
        console = Console()
        console.print(drawn(found, _NARROW_BAR_CELLS if console.width < _NARROW_COLUMNS else _BAR_CELLS))


def _read(run: Path, row: str) -> RowTrace:
    """Return the row's trace from the run's folder, or from `traces` beside it, which the runs of a demo share."""
    shared = run.resolve().parent / _SHARED
    if trace_files(run):
        return read_trace(run, row)
    manifest_of(run)
    return read_trace(shared, row, _trace_id(run, row)) if trace_files(shared) else read_trace(run, row)


def _trace_id(run: Path, row: str) -> str | None:
    """Return which of the traces of rows called so is this run's; None when the run does not say."""
    named = {record.custom_id: record for record in finished_rows(run) if row in (record.custom_id, str(record.row))}
    record = named.get(row) or next(iter(named.values()), None)
    return (record.reply.trace_id or None) if record is not None and isinstance(record.reply, Answer) else None


def drawn(found: RowTrace, bar_cells: int = _BAR_CELLS) -> Group:
    """Return the tree for the terminal."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    on_several = len(found.nodes) > 1
    table.add_column("span", no_wrap=True, overflow="ellipsis", ratio=3)
    if on_several:
        table.add_column("node", no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True, width=bar_cells)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("", overflow="fold", ratio=3)
    for root in found.roots:
        for name, node in _branches(root):
            where = [Text(plain(node.node), "dim")] if on_several else []
            table.add_row(name, *where, _bar(node, found.duration_s, bar_cells), _took(node.duration_s), _facts(node))
    return Group(_headline(found), table)


def _headline(found: RowTrace) -> Text:
    name = found.custom_id or (f"row {found.row}" if found.row is not None else "row")
    facts = [f"row {found.row}"] if found.custom_id and found.row is not None else []
    facts += [_took(found.duration_s), f"trace {found.trace_id}"]
    if found.earlier_traces:
        facts.append(f"{found.earlier_traces} earlier, of an interrupted run")
    line = Text.assemble((plain(name), "bold"), ("  " + " · ".join(facts), "dim"))
    if found.is_torn:
        line.append("\nspans between these are missing: lost with their process, or not sent yet", "yellow")
    for service, skew_s in found.skews.items():
        off = f"{_took(abs(skew_s))} {'behind' if skew_s > 0 else 'ahead'}"
        line.append(f"\nclocks differ: {plain(service)}'s is at least {off}; its times are as it told them", "yellow")
    return line


def _branches(node: SpanNode, guides: str = "", branch: str = "", beneath: str = "") -> Iterator[tuple[Text, SpanNode]]:
    """Yield the span and all beneath it, each with its name behind the lines of the tree."""
    yield Text.assemble((guides + branch, "dim"), (plain(node.name), "red" if node.error else "")), node
    for child in node.children:
        last = child is node.children[-1]
        yield from _branches(child, guides + beneath, "└─ " if last else "├─ ", "   " if last else "│  ")


def _bar(node: SpanNode, total_s: float, cells: int) -> Text:
    if total_s <= 0:
        return Text("━" * cells, _colour(node))
    begin = min(cells - 1, int(node.start_s / total_s * cells))
    length = max(1, round(node.duration_s / total_s * cells))
    return Text.assemble(" " * begin, ("━" * min(length, cells - begin), _colour(node)))


def _colour(node: SpanNode) -> str:
    if node.error:
        return "red"
    if node.attributes.get("partsong.cancelled"):
        return "yellow"
    return "cyan" if "gen_ai.request.model" in node.attributes else "blue"


def _facts(node: SpanNode) -> Text:
    told = node.attributes
    facts: list[str] = []
    answered_by, asked = told.get("gen_ai.response.model"), told.get("gen_ai.request.model")
    if answered_by and answered_by != asked:
        facts.append(str(answered_by))
    prompt_tokens, completion_tokens = told.get("gen_ai.usage.input_tokens"), told.get("gen_ai.usage.output_tokens")
    if prompt_tokens or completion_tokens:
        facts.append(f"{prompt_tokens or 0} → {completion_tokens or 0} tokens")
    facts += [f"${cost:.6f}".rstrip("0").rstrip(".") for cost in [told.get("partsong.cost_usd")] if isinstance(cost, float) and cost]
    attempts = told.get("partsong.attempts")
    if isinstance(attempts, int) and attempts > 1:
        facts.append(f"{attempts} attempts")
    tiers = told.get("partsong.tiers")
    facts += [" → ".join(map(str, tiers))] if isinstance(tiers, list) and node.name != "row" else []
    facts += [str(told[key]) for key in ("partsong.route", "partsong.stopped") if told.get(key)]
    if told.get("partsong.cancelled"):
        facts.append("cancelled")
    if node.skew_s:
        facts.append(f"clock {_took(abs(node.skew_s))} {'behind' if node.skew_s > 0 else 'ahead'}")
    line = Text(plain(" · ".join(facts)), "dim")
    if node.error:
        code = told.get("error.type")
        line.append((" · " if facts else "") + plain(f"{code}: {node.error}" if code and code != node.error else node.error), "red")
    return line


def _took(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"
