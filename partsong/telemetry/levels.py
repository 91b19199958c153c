"""Levels: depths of queues, told by whoever has one through `Telemetry.gauge`."""

from typing import NamedTuple

__all__ = ["CALLS_WAITING", "JOURNAL_PENDING", "LEVELS", "ROWS_UNDER_WAY", "Level"]


class Level(NamedTuple):
    """What is told of one; a line of the reference page."""

    name: str
    unit: str
    description: str


ROWS_UNDER_WAY = Level("partsong.rows.under_way", "{row}", "Rows that a coordinator is at work on.")
CALLS_WAITING = Level("partsong.calls.waiting", "{call}", "Calls at a coordinator that wait for a permit, by partsong.model.")
JOURNAL_PENDING = Level("partsong.journal.pending", "{record}", "Records that wait for the journal's next transaction.")

LEVELS = (ROWS_UNDER_WAY, CALLS_WAITING, JOURNAL_PENDING)
