"""Under way: rows being worked here; who asks for one that is, waits for it with those who asked before.

So rows outlive whoever asked for them: a job that is taken over by another process finds its rows at work, and takes their outcomes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from partsong.contracts import Row, RowOutcome

__all__ = ["RowsUnderWay"]


@dataclass(slots=True)
class _Work:
    task: asyncio.Future[RowOutcome]
    askers: int = 0


class RowsUnderWay:
    """Works each row once, however many ask for it at the same time."""

    def __init__(self, work: Callable[[Row], Awaitable[RowOutcome]]) -> None:
        self._work = work
        self._rows: dict[str, dict[int, _Work]] = {}

    def of(self, run: str) -> Sequence[int]:
        """Return the run's rows that are under way."""
        return list(self._rows.get(run, ()))

    async def answer(self, row: Row) -> RowOutcome:
        """Return the row's outcome; when all who ask for it are cancelled, so is its work."""
        rows = self._rows.setdefault(row.run, {})
        work = rows.get(row.row)
        if work is None:
            work = rows[row.row] = _Work(asyncio.ensure_future(self._work(row)))
        work.askers += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.askers -= 1
            if not work.askers:
                work.task.cancel()
            if work.task.done() or not work.askers:
                self._drop(row, work)

    def _drop(self, row: Row, work: _Work) -> None:
        """Forget it: what is being cancelled is nothing to wait for."""
        rows = self._rows.get(row.run, {})
        if rows.get(row.row) is work:
            del rows[row.row]
        if not rows:
            self._rows.pop(row.run, None)
