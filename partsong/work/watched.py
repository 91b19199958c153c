"""Watched: what is told of a journal and of a tenure, whoever has them."""

from collections.abc import Callable

from partsong.errors import EngineError
from partsong.journal.journal import Journal
from partsong.telemetry import Telemetry
from partsong.telemetry.counts import JOURNAL_RECORDS, JOURNAL_TRANSACTIONS
from partsong.telemetry.levels import EPOCH, JOURNAL_LOOKUPS, JOURNAL_OLDEST, JOURNAL_PENDING, TENURE
from partsong.work.tenure import Tenure

__all__ = ["watch_journal", "watch_tenure"]


def watch_journal(telemetry: Telemetry, journal: Callable[[], Journal | None]) -> None:
    """Tell what waits for the journal and what it has written; there may be none yet."""

    def told(read: Callable[[Journal], float]) -> Callable[[], float]:
        return lambda: 0 if (opened := journal()) is None else read(opened)

    telemetry.gauge(*JOURNAL_PENDING, told(lambda opened: opened.pending_records))
    telemetry.gauge(*JOURNAL_LOOKUPS, told(lambda opened: opened.pending_lookups))
    telemetry.gauge(*JOURNAL_OLDEST, told(lambda opened: opened.oldest_s))
    telemetry.count(*JOURNAL_RECORDS, told(lambda opened: opened.durable_records))
    telemetry.count(*JOURNAL_TRANSACTIONS, told(lambda opened: opened.transactions))


def watch_tenure(telemetry: Telemetry, of: str, tenure: Tenure | None) -> None:
    """Tell which epoch is held, and whether it is confirmed; `of` is the actor's own name, without its system's."""
    if tenure is None:
        return
    about = {"partsong.of": of}
    telemetry.gauge(*EPOCH, lambda: _number(tenure), about)
    telemetry.gauge(*TENURE, lambda: int(tenure.held), about)


def _number(tenure: Tenure) -> int | None:
    try:
        return tenure.epoch.number
    except EngineError:  # not claimed yet
        return None
