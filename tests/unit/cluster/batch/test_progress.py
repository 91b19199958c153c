"""Progress: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

import io

from partsong_cluster.batch.progress import LineProgress, Progress, TerminalProgress, progress_on
from partsong_cluster.batch.tally import Tally
from rich.console import Console

from partsong.contracts import Answer, BillLine, Failure, FailureCode


def tally(rows: int) -> Tally:
    sums = Tally()
    for _ in range(rows):
        sums.add(Answer(text="x", bill=(BillLine(step="1", model="mini", cost_usd=0.01, attempts=2),)))
    sums.add(Failure(code=FailureCode.TIMEOUT, message=""))
    return sums


class Screen:
    """A console that keeps what it shows, and a clock set by hand."""

    def __init__(self, *, terminal: bool) -> None:
        self.shown = io.StringIO()
        self.console = Console(file=self.shown, force_terminal=terminal, width=200, color_system=None)
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s


def test_where_there_is_no_terminal_a_line_is_printed_every_few_seconds():
    screen = Screen(terminal=False)
    progress = LineProgress(screen.console, screen.clock)
    for second in range(12):
        screen.now_s = second
        progress.show(tally(second * 10), 8, 0.5)
    assert screen.shown.getvalue().splitlines() == [
        "51 rows  10.0/s  0:05 left  8 in flight  $0.5000  50 retries  1 failed  calls: mini 50",
        "101 rows  10.0/s  0:10 left  8 in flight  $1.0000  100 retries  1 failed  calls: mini 100",
    ]


def test_what_is_in_flight_is_told_before_the_first_row_is_finished():
    screen = Screen(terminal=False)
    progress = LineProgress(screen.console, screen.clock)
    screen.now_s = 5.0
    progress.show(Tally(), 8, 0.0)
    assert screen.shown.getvalue().splitlines() == ["0 rows  0.0/s  8 in flight  $0.0000"]


def test_a_terminal_shows_a_bar_that_goes_away():
    screen = Screen(terminal=True)
    with TerminalProgress(screen.console, screen.clock) as progress:
        progress.say("Starting Ray")
        progress.show(tally(10), 8, 0.25)
    assert "Starting Ray" in screen.shown.getvalue()
    assert "25%  11 rows" in screen.shown.getvalue()
    assert "8 in flight" in screen.shown.getvalue()


def test_progress_fits_where_it_is_shown():
    assert type(progress_on(Screen(terminal=True).console, quiet=False)) is TerminalProgress
    assert type(progress_on(Screen(terminal=False).console, quiet=False)) is LineProgress
    assert type(progress_on(Screen(terminal=True).console, quiet=True)) is Progress
