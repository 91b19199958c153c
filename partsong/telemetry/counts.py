"""Counts: what only ever rises, told by whoever counts it through `Telemetry.count`; read when metrics are sent, as levels are."""

from typing import NamedTuple

__all__ = ["COUNTS", "JOURNAL_RECORDS", "JOURNAL_TRANSACTIONS", "RETRIES", "SHADOWS", "Count"]


class Count(NamedTuple):
    """What is counted; a line of the reference page."""

    name: str
    unit: str
    description: str


RETRIES = Count("partsong.calls.retried", "{call}", "Attempts after a call's first, by partsong.model.")
JOURNAL_RECORDS = Count("partsong.journal.records", "{record}", "Records that the journal has made durable.")
JOURNAL_TRANSACTIONS = Count(
    "partsong.journal.transactions", "{transaction}", "Transactions of the journal; each holds all that waited for it."
)
SHADOWS = Count(
    "partsong.shadows",
    "{row}",
    "Rows of a shadow, by partsong.experiment and partsong.outcome: answered, dropped (no room, no time), refused (its budget), failed.",
)

COUNTS = (RETRIES, JOURNAL_RECORDS, JOURNAL_TRANSACTIONS, SHADOWS)
