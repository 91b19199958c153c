"""Watched: what is told of a journal, wherever it is."""

from collections.abc import Callable

from partsong.journal.journal import Journal
from partsong.telemetry import Telemetry
from partsong.telemetry.counts import JOURNAL_RECORDS, JOURNAL_TRANSACTIONS
from partsong.telemetry.levels import JOURNAL_LOOKUPS, JOURNAL_OLDEST, JOURNAL_PENDING

__all__ = ["watch_journal"]


def watch_journal(telemetry: Telemetry, journal: Callable[[], Journal | None]) -> None:
    """Tell what waits for the journal and what it has written; there may be none yet."""

    def told(read: Callable[[Journal], float]) -> Callable[[], float]:
        return lambda: 0 if (opened := journal()) is None else read(opened)

    telemetry.gauge(*JOURNAL_PENDING, told(lambda opened: opened.pending_records))
    telemetry.gauge(*JOURNAL_LOOKUPS, told(lambda opened: opened.pending_lookups))
    telemetry.gauge(*JOURNAL_OLDEST, told(lambda opened: opened.oldest_s))
    telemetry.count(*JOURNAL_RECORDS, told(lambda opened: opened.durable_records))
    telemetry.count(*JOURNAL_TRANSACTIONS, told(lambda opened: opened.transactions))
