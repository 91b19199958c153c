"""Under way: rows being worked here; who asks for one that is, waits for it with those who asked before.

So rows outlive whoever asked for them: a job that is taken over by another process finds its rows at work, and takes their outcomes; those
that were finished in between too.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from partsong.contracts import Row, RowOutcome

__all__ = ["RowsUnderWay"]


_MOST_RECENT = 100_000
"""Rows that a coordinator finishes in minutes at full speed: longer than a job is without anybody who leads it."""


@dataclass(slots=True)
class _Work:
    task: asyncio.Future[RowOutcome]
    askers: int = 0


class RowsUnderWay:
    """Works each row once, however many ask for it at the same time, or soon after."""

    def __init__(
        self,
        work: Callable[[Row], Awaitable[RowOutcome]],
        recorded: Callable[[Row], Awaitable[RowOutcome | None]],
        most_recent: int = _MOST_RECENT,
    ) -> None:
        """`recorded` looks a finished row up; the `most_recent` ones are known to be."""
        self._work = work
        self._recorded = recorded
        self._most_recent = most_recent
        self._rows: dict[str, dict[int, _Work]] = {}
        self._recent: OrderedDict[tuple[str, int], None] = OrderedDict()

    def of(self, run: str) -> Sequence[int]:
        """Return the run's rows that are under way, or were until lately."""
        return [*self._rows.get(run, ()), *(row for other, row in self._recent if other == run)]

    def any_of(self, run: str) -> bool:
        """Whether rows of the run are under way."""
        return run in self._rows

    async def answer(self, row: Row) -> RowOutcome:
        """Return the row's outcome; when all who ask for it are cancelled, so is its work."""
        if (row.run, row.row) in self._recent and (recorded := await self._recorded(row)) is not None:
            return recorded
        rows = self._rows.setdefault(row.run, {})
        work = rows.get(row.row)
        if work is None:
            work = rows[row.row] = _Work(asyncio.ensure_future(self._work(row)))
        work.askers += 1
        try:
            outcome = await asyncio.shield(work.task)
            self._remember(row)
            return outcome
        finally:
            work.askers -= 1
            if not work.askers:
                work.task.cancel()
            if work.task.done() or not work.askers:
                self._drop(row, work)

    def _remember(self, row: Row) -> None:
        self._recent[row.run, row.row] = None
        if len(self._recent) > self._most_recent:
            self._recent.popitem(last=False)

    def _drop(self, row: Row, work: _Work) -> None:
        """Forget it: what is being cancelled is nothing to wait for."""
        rows = self._rows.get(row.run, {})
        if rows.get(row.row) is work:
            del rows[row.row]
        if not rows:
            self._rows.pop(row.run, None)
