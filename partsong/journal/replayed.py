"""Replayed: the store of a replay: it answers from other runs' journals, and keeps no row for an answer that lacked a call there."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from partsong.contracts import BillLine, Completion, Failure, FailureCode, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Record, Store

__all__ = ["Recorded", "ReplayedStore"]

Recorded = tuple[Store, Collection[str]]
"""A store, and the runs in it that are replayed: their calls come before those that others made of the same questions."""


class ReplayedStore(SqliteStore):
    """An SQLite store whose cache is elsewhere."""

    recorded: Sequence[Recorded] = ()
    """Where completions come from, the first that has one; closed with this store."""
    asked: Callable[[int, str], bool]
    """Whether a run that is replayed asked this model about this row: the stores hold calls of other runs too."""
    timely: Callable[[RowRecord], RowRecord]
    """Returns a row as it would have ended by its deadline."""

    @classmethod
    def over(
        cls, path: Path, recorded: Sequence[Recorded], asked: Callable[[int, str], bool], timely: Callable[[RowRecord], RowRecord]
    ) -> Self:
        """Make the replay's own file; what is asked is looked up in the recorded stores."""
        store = cls.open(path)
        store.recorded, store.asked, store.timely = recorded, asked, timely
        return store

    def cached(self, ask_hashes: Sequence[bytes], of: Collection[str] = ()) -> Mapping[bytes, Completion]:
        """See Store.cached."""
        found: dict[bytes, Completion] = {}
        for store, runs in self.recorded:
            found |= store.cached([ask_hash for ask_hash in ask_hashes if ask_hash not in found], runs)
        return found

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        """See Store.append; a plan may climb past a call that is not there or vote without it, and its answer would be a guess."""
        super().append([self._told(record) if isinstance(record, RowRecord) else record for record in records], under)

    def close(self) -> None:
        """See Store.close."""
        super().close()
        for store, _ in self.recorded:
            store.close()

    def _told(self, record: RowRecord) -> RowRecord:
        record = self.timely(record)
        missing = sorted({line.model for line in record.reply.bill if self._lacks(record.row, line)})
        if not missing:
            return record
        names = ", ".join(missing)
        message = f"the recorded runs hold no such call of {names}; record one, or replay a plan that does without it"
        route = record.reply.route
        failure = Failure(code=FailureCode.NOT_COVERED, message=message, where=names, bill=record.reply.bill, route=route)
        return record.model_copy(update={"reply": failure})

    def _lacks(self, row: int, line: BillLine) -> bool:
        return line.failure == FailureCode.NOT_COVERED or (line.outcome == "cache" and not self.asked(row, line.model))
