"""Coordinator: takes a row through route, plan and journal; holds nothing that the journal could not give back."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial

from partsong.contracts import Failure, FailureCode, Reply, Route, Row, RowOutcome, RowRecord
from partsong.errors import BudgetError, PartsongError, most_telling
from partsong.journal.port import JournalPort
from partsong.learning.knowledge import Knowledge
from partsong.mesh import Mesh
from partsong.plans.allowance import Allowance
from partsong.plans.port import Step
from partsong.routing.router import Router
from partsong.telemetry import Span, Telemetry
from partsong.telemetry.attributes import Attribute
from partsong.telemetry.counts import RETRIES
from partsong.telemetry.levels import BREAKER, CALLS_AT_ONCE, CALLS_IN_FLIGHT, CALLS_LIMITED, CALLS_WAITING, ROWS_UNDER_WAY
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.row import RowPort, RowWork, Shop
from partsong.work.shadow import Shadows
from partsong.work.synthesizer import Merger

__all__ = ["Coordinator"]

_log = logging.getLogger(__name__)


class Coordinator:
    """Answers rows, many at a time."""

    def __init__(self, shop: Shop, router: Router, knowledge: Knowledge | None = None) -> None:
        self._shop = shop
        self._router = router
        self._knowledge = knowledge
        self._under_way = 0
        self._shadows = Shadows(router.experiments, self._shadowed, shop.journal, self._forget, shop.telemetry)

    @classmethod
    def of(
        cls, mesh: Mesh, callers: Mapping[str, Caller], merger: Merger, journal: JournalPort, telemetry: Telemetry, clock: Clock
    ) -> "Coordinator":
        """Return the coordinator of a mesh's rows, its queues watched."""
        for_gate = None if mesh.gate is None else mesh.knowledge  # no other route goes by what a prompt means
        coordinator = cls(Shop.of(mesh, callers, merger, journal, telemetry, clock), mesh.router(), for_gate)
        telemetry.gauge(*ROWS_UNDER_WAY, lambda: coordinator._under_way)
        for caller in callers.values():
            model = {"partsong.model": caller.name}
            telemetry.gauge(*CALLS_WAITING, partial(_waiting, caller), model)
            telemetry.gauge(*CALLS_LIMITED, partial(_limited, caller), model)
            telemetry.gauge(*CALLS_IN_FLIGHT, partial(_in_flight, caller), model)
            telemetry.gauge(*CALLS_AT_ONCE, partial(_at_once, caller), model)
            telemetry.gauge(*BREAKER, partial(_breaker, caller), model)
            telemetry.count(*RETRIES, partial(_retried, caller), model)
        return coordinator

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """Answer one row; when this returns its calls and its record are durable."""
        attributes: dict[str, Attribute] = {"partsong.run": row.run, "partsong.row": row.row, "partsong.custom_id": row.task.id}
        self._under_way += 1
        try:
            if self._knowledge is not None:
                await self._knowledge.embed(row.task.text)
            outcome = await self._along("row", attributes, row, self._router.decide(row.task, row.shares), on_text)
        finally:
            self._under_way -= 1
        self._shadows.offer(row, outcome.reply.route)
        return outcome

    def over(self, run: str) -> None:
        """Forget a run that is over."""
        self._forget(run)
        self._shadows.over(run)

    async def close(self) -> None:
        """Return when the shadows of answered rows have ended; rows are asked no more."""
        await self._shadows.close()

    def _forget(self, run: str) -> None:
        for caller in self._shop.callers.values():
            caller.purse.forget(run)

    async def _shadowed(self, row: Row, route: Route) -> RowOutcome:
        """Answer a row's shadow; its trace is no passage of the row's, and does not bear its name."""
        return await self._along("shadow", {"partsong.run": row.run, "partsong.experiment": route.experiment}, row, route)

    async def _along(
        self,
        span_name: str,
        attributes: dict[str, Attribute],
        row: Row,
        route: Route | Failure,
        on_text: Callable[[str], None] | None = None,
    ) -> RowOutcome:
        """Answer the row along the route, and record it."""
        with self._shop.telemetry.span(span_name, row.traceparent, attributes) as span:
            reply = await self._answered(row, route, span, on_text)
            span.settled(reply)
        return RowOutcome.model_construct(row=row.row, custom_id=row.task.id, reply=reply)

    async def _answered(self, row: Row, route: Route | Failure, span: Span, on_text: Callable[[str], None] | None) -> Reply:
        began_s = self._shop.clock.now_s()
        limits = row.task.constraints
        deadline_s = math.inf if limits.deadline_s is None else began_s + limits.deadline_s
        held = {(call.step, call.ask_hash): call for call in row.held}
        work = RowWork(row, self._shop.journal, Allowance(limits, began_s), deadline_s, held=held)
        reply = route if isinstance(route, Failure) else await self._routed(route, work, span, on_text)
        if work.out_of_budget is not None:
            await work.keep()
            raise work.out_of_budget.with_traceback(None)
        if work.cannot_start is not None and isinstance(reply, Failure) and reply.code in _NOT_RESCUED:
            await work.keep()
            raise work.cannot_start.with_traceback(None)
        reply = _closed(reply, route, work, self._shop.clock.now_s() - began_s, span.trace_id)
        with self._shop.telemetry.span("journal", span.traceparent, {}) as kept:
            await work.close(self._record(row, reply), kept.traceparent)
        return reply

    async def _routed(self, route: Route, work: RowWork, span: Span, on_text: Callable[[str], None] | None) -> Reply:
        port = RowPort(self._shop, work, span, on_text)
        limit_s = work.row.task.constraints.deadline_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await port.ask(route.use, work.row.task, Step(route.use), final=True)
        except BudgetError as error:
            return Failure(code=FailureCode.RUN_BUDGET, message=error.problems[0].what, where=route.use)
        except PartsongError:
            raise
        except Exception as error:  # the outermost line of a row: a broken plan costs its row, not the run
            cause = most_telling(error)
            if work.out_of_budget is not None:
                return Failure(code=FailureCode.RUN_BUDGET, message="the run's budget is spent", where=route.use)
            if isinstance(cause, PartsongError):
                raise cause from error
            if isinstance(error, TimeoutError) and limit.expired():
                return Failure(code=FailureCode.DEADLINE, message=f"no answer within the row's deadline of {limit_s:g} s", where=route.use)
            _log.exception("plan %s raised on row %s", route.use, work.row.row)
            return Failure(code=FailureCode.INTERNAL, message=f"the plan raised {type(cause).__name__}; see the log", where=route.use)

    def _record(self, row: Row, reply: Reply) -> RowRecord:
        return RowRecord.model_construct(
            run=row.run,
            row=row.row,
            custom_id=row.task.id,
            task=row.task,
            reply=reply,
            line=row.line,
            source=row.source,
            raw="",
            at_s=self._shop.clock.unix_s(),
        )


_NOT_RESCUED = frozenset({FailureCode.CANNOT_START, FailureCode.NO_QUORUM})
"""A row with one of these, of whose models one cannot start, was neither fallen back from nor tolerated: most others would fail alike, so
the run stops, to be resumed when the model is mended."""


def _waiting(caller: Caller) -> int:
    return caller.share.waiting


def _limited(caller: Caller) -> int:
    return caller.purse.waiting


def _in_flight(caller: Caller) -> int:
    return caller.share.busy


def _at_once(caller: Caller) -> int | None:
    return caller.at_once


def _retried(caller: Caller) -> int:
    return caller.retried


def _breaker(caller: Caller) -> int | None:
    return None if caller.breaker_state is None else _BREAKER_LEVELS[caller.breaker_state]


_BREAKER_LEVELS = {"closed": 0, "half-open": 1, "open": 2}


def _closed(reply: Reply, route: Route | Failure, work: RowWork, latency_s: float, trace_id: str) -> Reply:
    """Return the reply with its bill and route; an answer also with its time and trace."""
    bill = tuple(work.bill)
    if isinstance(reply, Failure):
        return reply.model_copy(update={"bill": bill, "route": None if isinstance(route, Failure) else route})
    assert isinstance(route, Route)
    return reply.model_copy(update={"bill": bill, "route": route, "latency_s": latency_s, "trace_id": trace_id})
