"""Shadow: rows that a challenger gets too, behind the answer: nobody waits for it, and whatever becomes of it touches no row.

A shadow is a row of a run of its own (`shadow_run`): its calls and its record are journalled as any row's, its dollars are held to a budget
of its own over all coordinators, and what the journal has of it is not asked again.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from partsong.contracts import Route, Row, Terms
from partsong.errors import BudgetError
from partsong.journal.port import JournalPort
from partsong.routing.experiments import Experiment, Shadow, shadow_run
from partsong.telemetry import Telemetry
from partsong.telemetry.counts import SHADOWS

__all__ = ["Shadows"]

_log = logging.getLogger(__name__)

_WEIGHT = 0.05
"""Of a live row's: where both ask one model, a shadow takes the permits that are left."""

Work = Callable[[Row, Route], Awaitable[object]]
"""Answers a row along a route, and records it."""


class Shadows:
    """All shadows of a mesh at one coordinator."""

    def __init__(
        self, experiments: Mapping[str, Experiment], work: Work, journal: JournalPort, forget: Callable[[str], None], telemetry: Telemetry
    ) -> None:
        """`forget` is called with the name of a shadow's run when no more of its rows will come."""
        self._all = {name: _Queue(name, one, work, journal, forget) for name, one in experiments.items() if isinstance(one, Shadow)}
        for name, queue in self._all.items():
            for outcome in _OUTCOMES:
                attributes = {"partsong.experiment": name, "partsong.outcome": outcome}
                telemetry.count(*SHADOWS, partial(queue.counted.__getitem__, outcome), attributes)

    def offer(self, row: Row, route: Route | None) -> None:
        """Take an answered row, if it is one of a shadow's, and there is room; returns at once."""
        queue = None if route is None else self._all.get(route.experiment)
        if queue is not None:
            queue.offer(row)

    def over(self, run: str) -> None:
        """No more rows of the run will come; those that are here are still worked."""
        for queue in self._all.values():
            queue.over(run)

    async def close(self) -> None:
        """Return when all that was taken is worked, or has had its time."""
        await asyncio.gather(*(queue.close() for queue in self._all.values()))


_OUTCOMES = ("answered", "dropped", "refused", "failed")


class _Queue:
    """One shadow's rows: those that wait, and those that are worked."""

    def __init__(self, name: str, shadow: Shadow, work: Work, journal: JournalPort, forget: Callable[[str], None]) -> None:
        self._name = name
        self._shadow = shadow
        self._work = work
        self._journal = journal
        self._forget = forget
        self._waiting: deque[Row] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rows = Counter[str]()
        self._over: set[str] = set()
        self._terms: dict[str, Terms] = {}
        self._told: set[type[Exception]] = set()
        self.counted = Counter[str]()
        """Rows by what became of them."""

    def offer(self, row: Row) -> None:
        """See Shadows.offer."""
        if not self._shadow.samples(self._name, row.task):
            return
        if len(self._waiting) >= self._shadow.waiting:
            self.counted["dropped"] += 1
            return
        self._over.discard(row.run)
        self._rows[row.run] += 1
        self._waiting.append(row)
        if len(self._tasks) < self._shadow.at_once:
            task = asyncio.create_task(self._work_off())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def over(self, run: str) -> None:
        """See Shadows.over."""
        self._over.add(run)
        self._end_if_over(run)

    async def close(self) -> None:
        """See Shadows.close."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._shadow.finish_within)
        self.counted["dropped"] += len(self._waiting)
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work_off(self) -> None:
        while self._waiting:
            row = self._waiting.popleft()
            try:
                self.counted[await self._outcome(row)] += 1
            finally:
                self._rows[row.run] -= 1
                self._end_if_over(row.run)

    async def _outcome(self, row: Row) -> str:
        try:
            await self._shadowed(row)
        except BudgetError:
            return "refused"
        except Exception as error:  # noqa: BLE001  the outermost line of a shadow: no row may hear of it
            self._tell(row, error)
            return "failed"
        return "answered"

    async def _shadowed(self, row: Row) -> None:
        run = shadow_run(row.run, self._name)
        if await self._journal.row(run, row.row) is not None:
            return
        held = tuple(await self._journal.calls(run, row.row, row.row))
        terms = await self._terms_of(run, row.terms)
        shadow = row.model_copy(update={"run": run, "held": held, "terms": terms, "traceparent": ""})
        await self._work(shadow, self._shadow.shadow_route(self._name))

    async def _terms_of(self, run: str, live: Terms) -> Terms:
        """Return the shadow's own terms: what its run spent before it was first seen here, and its budget."""
        if run not in self._terms:
            spent_usd = dict(await self._journal.spent(run, 0.0))
            budget_usd, weight = self._shadow.usd_per_run, _WEIGHT * live.weight
            self._terms[run] = Terms(weight=weight, budget_usd=budget_usd, spent_usd=spent_usd, today_usd=live.today_usd)
        return self._terms[run]

    def _tell(self, row: Row, error: Exception) -> None:
        """Log what keeps rows from being shadowed, once for each kind."""
        if type(error) not in self._told:
            self._told.add(type(error))
            _log.error("%s cannot shadow row %s, nor others that fail alike", self._name, row.row, exc_info=error)

    def _end_if_over(self, run: str) -> None:
        if run in self._over and not self._rows[run]:
            self._over.discard(run)
            del self._rows[run]
            self._terms.pop(shadow_run(run, self._name), None)
            self._forget(shadow_run(run, self._name))
