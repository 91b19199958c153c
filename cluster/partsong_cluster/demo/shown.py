"""Shown: the demo on the terminal: progress while it works, tables and the request of several parts at its end."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from partsong.adapters.weights import KNOWN
from partsong.contracts import Answer
from partsong_cluster.batch.tally import Tally
from partsong_cluster.demo.parts import Part, Way
from partsong_cluster.demo.run import DemoResult, Show
from partsong_cluster.report import Live
from partsong_cluster.report.headline import headline
from partsong_cluster.report.proof_words import proof_words
from partsong_cluster.report.table import section_table
from partsong_cluster.report.words import counted, seconds

__all__ = ["Screen", "result_shown"]


class Screen(Show):
    """Shows progress: a bar for each way on a terminal, a line for each elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("  {task.description:<28}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar: TaskID | None = None
        self._part = ""

    def __enter__(self) -> "Screen":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """See Show.say."""
        self._console.print(Text(line, "dim"))

    def begin(self, part: Part, way: Way, rows: int) -> None:
        """See Show.begin."""
        if self._part != part.name:
            self._part = part.name
            self._console.print(Text(part.title, "bold"))
        if self._console.is_terminal:
            self._bar = self._bars.add_task(way.name, total=rows)
        else:
            self._console.print(f"  {way.name}: {counted(rows, 'row')}")

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """See Watcher.show."""
        if self._bar is not None:
            self._bars.update(self._bar, completed=tally.rows)

    @asynccontextmanager
    async def fetching(self, name: str) -> AsyncIterator[Callable[[int, str], None]]:
        """See Show.fetching."""
        weights = KNOWN[name]
        self.say(f"Fetching {weights.title}, {weights.size_bytes / 1e6:.0f} MB; its SHA-256 is checked.")
        bar = self._bars.add_task(name, total=round(weights.size_bytes / 1e6))
        yield lambda done_bytes, _doing: self._bars.update(bar, completed=round(done_bytes / 1e6))


def result_shown(result: DemoResult, report: Path, took_s: float) -> Group:
    """Return the demo's end: tables, the request, what was left out, where the report is."""
    return Group(*_parts(result, report, took_s))


def _parts(result: DemoResult, report: Path, took_s: float) -> Iterator[RenderableType]:
    for section in result.sections:
        yield Text()
        yield Text(section.title, "bold")
        yield Text(f"{section.about} {counted(section.rows, 'row')}.", "dim")
        yield Text()
        yield section_table(section)
        yield Text()
        for sentence in headline(section):
            yield Padding(Text(sentence), (0, 0, 0, 2))
    for proved in result.proofs:
        yield Text()
        yield Text(proved.title, "bold")
        yield from (Padding(Text(sentence), (0, 0, 0, 2)) for sentence in proof_words(proved.proof, proved.beside))
    if result.live is not None:
        yield from _live(result.live)
    for line in result.left_out:
        yield Text(f"Left out: {line}", "yellow")
    yield Text()
    if result.reused_ways:
        again = "everything" if not result.worked_ways else f"{result.reused_ways} of {result.reused_ways + result.worked_ways} runs"
        yield Text(f"From an earlier demo: {again}. Nothing of it was asked again; --fresh starts anew.", "dim")
    yield Text(f"Took {seconds(took_s)}.", "dim")
    yield Text.assemble("Report: ", (str(report), "bold"))


def _live(live: Live) -> Iterator[RenderableType]:
    yield Text()
    yield Text("One request of several parts", "bold")
    yield Padding(Text(live.request, "dim"), (0, 0, 1, 2))
    if not isinstance(live.reply, Answer):
        yield Text(f"  {live.reply.code}: {live.reply.message}", "red")
        return
    for part in live.reply.candidates:
        yield Padding(Text(part.source, "bold"), (0, 0, 0, 2))
        yield Padding(Text(part.text.strip()), (0, 0, 1, 4))
    calls = len(live.reply.bill)
    yield Padding(Text(f"{live.reply.stopped}; {calls} calls, {seconds(live.reply.latency_s)}", "dim"), (0, 0, 0, 2))
