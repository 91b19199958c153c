"""Progress: how a run is doing, drawn on a terminal, in plain lines elsewhere; on standard error, as it is no result."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from partsong_cluster.batch.tally import Tally
from partsong_cluster.report.words import counted
from partsong_cluster.terminal import as_shown

__all__ = ["LineProgress", "Pace", "Progress", "TerminalProgress", "progress_on"]

_RATE_OVER_S = 20.0
_LINE_EVERY_S = 5.0
_BAR_CELLS = 32


class Pace:
    """Rows per second over the last seconds, and from it how long the rest will take."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, rows: int) -> None:
        """So many rows are done now."""
        now_s = self._clock()
        self._seen.append((now_s, rows))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _RATE_OVER_S:
            self._seen.popleft()

    @property
    def rows_per_s(self) -> float:
        """0 until two moments have been seen."""
        if len(self._seen) < 2:
            return 0.0
        (began_s, before), (now_s, rows) = self._seen[0], self._seen[-1]
        return (rows - before) / (now_s - began_s) if now_s > began_s else 0.0

    def left_s(self, rows: int, fraction: float | None) -> float | None:
        """Return the seconds left, if the share of the input that is done tells."""
        if not fraction or not self.rows_per_s:
            return None
        return rows * (1 - fraction) / fraction / self.rows_per_s


class Progress:
    """A context that shows a run's state until it is left; this one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def say(self, line: str) -> None:
        """Say something once."""

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """See Watcher.show."""


class LineProgress(Progress):
    """A line every few seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._pace = Pace(clock)
        self._said_s = clock()

    def say(self, line: str) -> None:
        """See Progress.say."""
        self._console.print(as_shown(line), markup=False, highlight=False, soft_wrap=True)

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """See Watcher.show."""
        self._pace.saw(tally.rows)
        if self._clock() - self._said_s >= _LINE_EVERY_S:
            self._said_s = self._clock()
            facts = [*_pace_facts(tally, self._pace, fraction), f"{in_flight:,} in flight", *_sum_facts(tally)]
            self.say("  ".join([*facts, _models(tally)] if tally.models else facts))


class TerminalProgress(Progress):
    """A bar with the sums below it."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._pace = Pace(clock)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """See Progress.say."""
        self._console.print(as_shown(line), markup=False, highlight=False, soft_wrap=True)

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """See Watcher.show."""
        self._pace.saw(tally.rows)
        self._live.update(_drawn(tally, in_flight, fraction, self._pace))


def progress_on(console: Console, *, quiet: bool) -> Progress:
    """Return the progress that fits where it is shown."""
    if quiet:
        return Progress()
    return TerminalProgress(console) if console.is_terminal else LineProgress(console)


def _drawn(tally: Tally, in_flight: int, fraction: float | None, pace: Pace) -> RenderableType:
    bar = ProgressBar(total=1.0, completed=fraction or 0.0, width=_BAR_CELLS, pulse=fraction is None)
    head = Table.grid(padding=(0, 2))
    share = "" if fraction is None else f"{fraction:.0%}"
    head.add_row(bar, share, "  ".join(_pace_facts(tally, pace, fraction)), Text(f"{in_flight} in flight", "dim"))
    lines: list[RenderableType] = [head, Text("  ".join(_sum_facts(tally)))]
    if tally.models:
        lines.append(Text(_models(tally), "dim"))
    return Group(*lines)


def _pace_facts(tally: Tally, pace: Pace, fraction: float | None) -> list[str]:
    left_s = pace.left_s(tally.rows, fraction)
    facts = [counted(tally.rows, "row"), f"{pace.rows_per_s:,.1f}/s"]
    return [*facts, f"{_clock_time(left_s)} left"] if left_s is not None else facts


def _sum_facts(tally: Tally) -> list[str]:
    facts = [f"${tally.cost_usd:,.4f}"]
    facts += [f"{tally.retries:,} {'retry' if tally.retries == 1 else 'retries'}"] if tally.retries else []
    return [*facts, f"{tally.failed:,} failed"] if tally.failed else facts


def _models(tally: Tally) -> str:
    return "calls: " + ", ".join(f"{name} {model.calls:,}" for name, model in sorted(tally.models.items()))


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
