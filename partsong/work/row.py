"""Row: the port of one row at work; it keeps the row's bill, its limits, and what the journal holds of it already."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from partsong.contracts import (
    Answer,
    BillLine,
    CallRecord,
    Candidate,
    Completion,
    Failure,
    FailureCode,
    MergeWork,
    ModelSpec,
    PartType,
    Reply,
    Row,
    RowRecord,
    Task,
)
from partsong.errors import BudgetError, PartsongError
from partsong.journal.port import JournalPort
from partsong.merging.rule import MergeRule
from partsong.mesh import Mesh
from partsong.plans.allowance import Allowance
from partsong.plans.plan import Plan
from partsong.plans.port import Step
from partsong.plans.structured import validated
from partsong.telemetry import Span, Telemetry
from partsong.work.asked import Fingerprint
from partsong.work.caller import Caller, Request, Tries
from partsong.work.clock import Clock
from partsong.work.synthesizer import Merger

__all__ = ["RowPort", "RowWork", "Shop"]

Outcome = Literal["answered", "failed", "cancelled", "journal", "cache"]


@dataclass(frozen=True, slots=True)
class Shop:
    """What every row at work here shares."""

    models: Mapping[str, ModelSpec]
    plans: Mapping[str, Plan]
    callers: Mapping[str, Caller]
    fingerprints: Mapping[str, Fingerprint]
    merger: Merger
    journal: JournalPort
    telemetry: Telemetry
    clock: Clock
    cache: bool = False
    """Whether completions of earlier runs in the same store may answer."""
    fallbacks: bool = True
    """Whether the mesh lets models fall back on others."""

    @classmethod
    def of(
        cls, mesh: Mesh, callers: Mapping[str, Caller], merger: Merger, journal: JournalPort, telemetry: Telemetry, clock: Clock
    ) -> "Shop":
        """Return the shop of a mesh."""
        fingerprints = {name: Fingerprint(spec, name) for name, spec in mesh.models.items()}
        return cls(mesh.models, mesh.plans, callers, fingerprints, merger, journal, telemetry, clock, mesh.store.cache, mesh.fallbacks)


@dataclass(slots=True)
class RowWork:
    """One row's soft state: what it has spent and recorded so far."""

    row: Row
    journal: JournalPort
    allowance: Allowance
    deadline_s: float
    bill: list[BillLine] = field(default_factory=list)
    unwritten: list[CallRecord] = field(default_factory=list)
    appends: list[asyncio.Task[None]] = field(default_factory=list)
    held: Mapping[tuple[str, bytes], CallRecord] = field(default_factory=dict)
    """What the journal has of the row's calls, by step and what was asked there."""
    cannot_start: PartsongError | None = None
    """Why the workers of a model that the row asked cannot start."""
    out_of_budget: BudgetError | None = None
    """What the run's budget refused the row."""
    _in_flight: int = 0
    _landed: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Count a call while it is in flight."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._landed.set()

    async def stopped(self, message: str) -> BudgetError:
        """Return the error that ends the row for want of money, when its calls in flight have ended: they are paid for and shall count."""
        remedy = "the same command with a larger budget goes on from here"
        self.out_of_budget = self.out_of_budget or BudgetError("run-budget", message, remedy=remedy)
        while self._in_flight:
            self._landed.clear()
            await self._landed.wait()
        return self.out_of_budget

    def record(self, record: CallRecord) -> None:
        """Have the journal keep a finished call, at the latest when this turn of the event loop is over."""
        self.unwritten.append(record)
        if len(self.unwritten) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    async def close(self, record: RowRecord, traceparent: str) -> None:
        """Return when the row's record and all its calls are durable: a row whose last call just ended needs one append.

        `traceparent` is the W3C trace context of the span that waits for it.
        """
        unwritten, self.unwritten = self.unwritten, []
        await self.journal.append([*unwritten, record], traceparent=traceparent)
        await asyncio.gather(*self.appends)

    async def keep(self) -> None:
        """Return when all calls so far are durable: of a row that is to be resumed."""
        self._write()
        await asyncio.gather(*self.appends)

    def _write(self) -> None:
        if self.unwritten:
            unwritten, self.unwritten = self.unwritten, []
            self.appends.append(asyncio.ensure_future(self.journal.append(unwritten)))


@dataclass(frozen=True, slots=True)
class RowPort:
    """The port that a plan sees, at one place in the tree of spans."""

    shop: Shop
    work: RowWork
    span: Span
    on_text: Callable[[str], None] | None = None

    async def ask(self, name: str, task: Task, step: Step, *, final: bool = False) -> Answer | Failure:
        """See Port.ask."""
        on_text = self.on_text if final else None
        plan = self.shop.plans.get(name)
        if plan is None:
            return await self._model(name, task, step, on_text)
        with self.shop.telemetry.span(
            f"plan {name}", self.span.traceparent, {"partsong.plan": plan.kind, "partsong.step": step.path}
        ) as span:
            reply = await plan.answer(task, step, RowPort(self.shop, self.work, span, on_text))
            span.settled(reply)
            return reply

    async def merge(self, rule: MergeRule, task: Task, candidates: Sequence[Candidate], step: Step) -> Answer | Failure:
        """See Port.merge."""
        with self.shop.telemetry.span(f"merge {rule.kind}", self.span.traceparent, {"partsong.step": step.path}) as span:
            port = RowPort(self.shop, self.work, span)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(port.ask(q.name, q.task, step / q.part)) for q in rule.questions(task, candidates)]
            replies = tuple(question.result() for question in asked)
            work = MergeWork(rule=rule.entry(), candidates=tuple(candidates), replies=replies, traceparent=span.traceparent)
            merged = await self.shop.merger.merge(work)
            span.settled(merged)
            return merged

    def skilled(self, skill: str) -> Sequence[str]:
        """See Port.skilled."""
        return [name for name, spec in self.shop.models.items() if skill in spec.skills]

    async def _model(self, name: str, task: Task, step: Step, on_text: Callable[[str], None] | None) -> Reply:
        """Ask the model, then its fallbacks in order while there is no completion."""
        models = self.shop.models
        allowed = self.shop.fallbacks and task.constraints.fallbacks
        asked = [model for model in (name, *(models[name].fallbacks if allowed else ())) if not _lacking(models[model], task.part_types)]
        if not asked:
            return _unsupported(models[name], name, task.part_types)
        stream = None if on_text is None else _Stream(on_text)
        reply: Reply = _NOBODY_ASKED
        for number, model in enumerate(asked):
            if stream is not None and stream.any:
                if models[asked[number - 1]].stream_failure == "error":
                    break
                stream.begin_again(model)
            place = step if model == name else step / f"else-{model}"
            reply = await self._validated(model, task, place, stream, patient=number == len(asked) - 1)
            if isinstance(reply, Answer) or reply.code in _NO_FALLBACK:
                break
        if isinstance(reply, Answer) and reply.source != name:
            reply = reply.model_copy(update={"fallback_for": name, "begun_again": stream is not None and stream.begun_again})
        return reply

    async def _validated(self, model: str, task: Task, step: Step, on_text: Callable[[str], None] | None, *, patient: bool) -> Reply:
        reply = await self._completion(model, task, step, on_text, patient=patient)

        async def ask_again(repair: Task) -> Reply:
            return await self._completion(model, repair, step / "repair", None, patient=patient)

        return await validated(reply, task, ask_again)

    async def _completion(self, model: str, task: Task, step: Step, on_text: Callable[[str], None] | None, *, patient: bool) -> Reply:
        ask_hash = self.shop.fingerprints[model].of(task)
        replayed = self.work.row.terms.replayed
        known = None if replayed else await self._known(model, step, ask_hash)
        if known is not None:
            if on_text and isinstance(known, Completion):
                on_text(known.text)
            return _answer(model, known)
        if self.work.out_of_budget is not None:
            raise await self.work.stopped("")
        caller = self.shop.callers[model]
        worst = caller.forecast.worst(task)
        worst_usd = caller.forecast.usd(worst)
        now_s = self.shop.clock.now_s()
        if refusal := self.work.allowance.refusal(worst_usd, worst.total_tokens, now_s):
            return refusal
        row = self.work.row
        request = Request(task, step.path, row.run, row.terms, self.work.deadline_s, "", patient, on_text, worst)
        with self.work.allowance.reserved(worst_usd, worst.total_tokens):
            recorded = await self._known(model, step, ask_hash) if replayed else None
            reply = recorded or await self._called(model, request, ask_hash)
        if isinstance(reply, Failure) and reply.code is FailureCode.RUN_BUDGET:
            raise await self.work.stopped(reply.message)
        return _answer(model, reply)

    async def _known(self, model: str, step: Step, ask_hash: bytes) -> Completion | Failure | None:
        """Return what the journal holds of this very call, from this run or, with the cache on, from an earlier one."""
        held = self.work.held.get((step.path, ask_hash))
        if held is not None:
            line = _line(model, step.path, held.reply, outcome="journal")
            self._bill(line.model_copy(update={"cost_usd": held.cost_usd, "possible_usd": held.possible_usd}))
            return held.reply
        if self.shop.cache:
            cached = (await self.shop.journal.cached([ask_hash])).get(ask_hash)
            if cached is not None:
                self._bill(_line(model, step.path, cached, outcome="cache"))
                return cached
        return None

    async def _called(self, model: str, request: Request, ask_hash: bytes) -> Completion | Failure:
        """Make the call; whatever becomes of it, what it took goes to the bill and the journal."""
        tries = Tries()
        reply: Completion | Failure = _CANCELLED
        try:
            with (
                self.work.calling(),
                self.shop.telemetry.span(f"call {model}", self.span.traceparent, {"partsong.step": request.step}) as span,
            ):
                reply = await self.shop.callers[model].call(replace(request, traceparent=span.traceparent), tries)
                span.set({"partsong.attempts": tries.attempts})
        finally:
            self.work.cannot_start = tries.cannot_start or self.work.cannot_start
            self._settle(model, request.step, ask_hash, reply, tries)
        return reply

    def _settle(self, model: str, step: str, ask_hash: bytes, reply: Completion | Failure, tries: Tries) -> None:
        answered = isinstance(reply, Completion)
        cost_usd = tries.lost_usd + (reply.cost_usd if isinstance(reply, Completion) else 0.0)
        now_s = self.shop.clock.now_s()
        line = _line(model, step, reply, outcome="answered" if answered else "cancelled" if reply is _CANCELLED else "failed")
        self._bill(
            line.model_copy(
                update={
                    "attempts": tries.attempts,
                    "latency_s": 0.0 if tries.began_s is None else now_s - tries.began_s,
                    "cost_usd": cost_usd,
                    "possible_usd": tries.possible_usd,
                }
            )
        )
        settled = isinstance(reply, Completion) or not (reply.retryable or tries.cannot_start or reply.code in _MAY_PASS)
        if not settled and not cost_usd and not tries.possible_usd:
            return  # a later try may fare better: nothing to hold on to
        record = CallRecord(
            run=self.work.row.run,
            row=self.work.row.row,
            step=step,
            ask_hash=ask_hash,
            model=model,
            reply=reply,
            attempts=tries.attempts,
            settled=settled,
            cost_usd=cost_usd,
            possible_usd=tries.possible_usd,
            at_s=self.shop.clock.unix_s(),
        )
        self.work.record(record)

    def _bill(self, line: BillLine) -> None:
        self.work.bill.append(line)
        self.work.allowance.spend(line, replayed=self.work.row.terms.replayed)


class _Stream:
    """Hands a reply's text on, and says when it begins again."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self.any = False
        self.begun_again = False

    def __call__(self, text: str) -> None:
        self.any = self.any or bool(text)
        self._on_text(text)

    def begin_again(self, model: str) -> None:
        """The text so far is void; another model's follows."""
        self.any, self.begun_again = False, True
        self._on_text(f"\n\n[{model} begins again:]\n\n")


_NOBODY_ASKED = Failure(code=FailureCode.UNSUPPORTED, message="no model takes what the task contains")

_CANCELLED = Failure(code=FailureCode.CANCELLED, message="the call was stopped before it was answered", sent="maybe")

_MAY_PASS = frozenset({FailureCode.UNAVAILABLE, FailureCode.DEADLINE, FailureCode.RUN_BUDGET, FailureCode.CANCELLED})
"""Failures that say nothing of what was asked: a resumed row asks again."""

_NO_FALLBACK = frozenset({FailureCode.DEADLINE, FailureCode.ROW_BUDGET, FailureCode.RUN_BUDGET, FailureCode.INVALID_ANSWER})
"""Failures that no other model would mend, or that another model may not mend behind the plan's back."""


def _lacking(spec: ModelSpec, parts: frozenset[PartType]) -> frozenset[PartType]:
    return parts.difference(spec.accepts)


def _unsupported(spec: ModelSpec, model: str, parts: frozenset[PartType]) -> Failure:
    listed = ", ".join(sorted(_lacking(spec, parts)))
    message = f"{model} takes {', '.join(spec.accepts)}, not {listed}; route such rows to a model that `accepts` them"
    return Failure(code=FailureCode.UNSUPPORTED, message=message, where=model)


def _line(model: str, step: str, reply: Completion | Failure, *, outcome: Outcome) -> BillLine:
    if isinstance(reply, Failure):
        return BillLine.model_construct(step=step, model=model, outcome=outcome, failure=reply.code, cost_usd=reply.cost_usd)
    return BillLine.model_construct(
        step=step,
        model=model,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        cpu_s=reply.timing.cpu_s,
        latency_s=reply.timing.total_s,
        answer_s=reply.timing.total_s,
        outcome=outcome,
    )


def _answer(model: str, reply: Completion | Failure) -> Reply:
    return reply if isinstance(reply, Failure) else Answer.of(model, reply)
