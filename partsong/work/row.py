"""Row: the port of one row at work; it keeps the row's bill, its limits, and what the journal holds of it already."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    Usage,
)
from partsong.errors import PartsongError
from partsong.journal.port import JournalPort
from partsong.merging.rule import MergeRule
from partsong.mesh import Mesh
from partsong.plans.allowance import Allowance
from partsong.plans.plan import Plan
from partsong.plans.port import Step
from partsong.plans.structured import validated
from partsong.telemetry import Span, Telemetry
from partsong.work.asked import Fingerprint
from partsong.work.caller import Called, Caller
from partsong.work.clock import Clock
from partsong.work.synthesizer import Merger

__all__ = ["RowPort", "RowWork", "Shop"]

Outcome = Literal["answered", "failed", "journal", "cache"]


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

    @classmethod
    def of(
        cls, mesh: Mesh, callers: Mapping[str, Caller], merger: Merger, journal: JournalPort, telemetry: Telemetry, clock: Clock
    ) -> "Shop":
        """Return the shop of a mesh."""
        fingerprints = {name: Fingerprint(spec) for name, spec in mesh.models.items()}
        return cls(mesh.models, mesh.plans, callers, fingerprints, merger, journal, telemetry, clock, mesh.store.cache)


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

    def record(self, record: CallRecord) -> None:
        """Have the journal keep a finished call, at the latest when this turn of the event loop is over."""
        self.unwritten.append(record)
        if len(self.unwritten) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    async def close(self, record: RowRecord) -> None:
        """Return when the row's record and all its calls are durable: a row whose last call just ended needs one append."""
        unwritten, self.unwritten = self.unwritten, []
        await self.journal.append([*unwritten, record])
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
            merged = await self.shop.merger.merge(MergeWork(rule=rule.entry(), candidates=tuple(candidates), replies=replies))
            span.settled(merged)
            return merged

    def skilled(self, skill: str) -> Sequence[str]:
        """See Port.skilled."""
        return [name for name, spec in self.shop.models.items() if skill in spec.skills]

    async def _model(self, name: str, task: Task, step: Step, on_text: Callable[[str], None] | None) -> Reply:
        """Ask the model, then its fallbacks in order while there is no completion."""
        reply: Reply = Failure(code=FailureCode.UNSUPPORTED, message="no model takes what the task contains", where=name)
        for model in (name, *self.shop.models[name].fallbacks):
            if refused := _unsupported(self.shop.models[model], model, task.part_types):
                reply = refused if model == name else reply
                continue
            place = step if model == name else step / f"else-{model}"
            reply = await self._validated(model, task, place, on_text)
            if isinstance(reply, Answer) or reply.code in _NO_FALLBACK:
                break
        return reply

    async def _validated(self, model: str, task: Task, step: Step, on_text: Callable[[str], None] | None) -> Reply:
        reply = await self._completion(model, task, step, on_text)

        async def ask_again(repair: Task) -> Reply:
            return await self._completion(model, repair, step / "repair", None)

        return await validated(reply, task, ask_again)

    async def _completion(self, model: str, task: Task, step: Step, on_text: Callable[[str], None] | None) -> Reply:
        ask_hash = self.shop.fingerprints[model].of(task)
        known = await self._known(model, step, ask_hash)
        if known is not None:
            if on_text and isinstance(known, Completion):
                on_text(known.text)
            return _answer(model, known)
        spec = self.shop.models[model]
        worst_tokens = _worst_tokens(task)
        worst_usd = spec.price.cost_usd(worst_tokens) if spec.price else 0.0
        now_s = self.shop.clock.now_s()
        if refusal := self.work.allowance.refusal(worst_usd, worst_tokens.total_tokens, now_s):
            return refusal
        with self.work.allowance.reserved(worst_usd, worst_tokens.total_tokens):
            called = await self._called(model, task, step, on_text)
        self.work.cannot_start = called.cannot_start or self.work.cannot_start
        self._record(model, step, ask_hash, called)
        return _answer(model, called.reply)

    async def _known(self, model: str, step: Step, ask_hash: bytes) -> Completion | Failure | None:
        """Return what the journal holds of this very call, from this run or, with the cache on, from an earlier one."""
        held = self.work.held.get((step.path, ask_hash))
        if held is not None:
            self._bill(_line(model, step, held.reply, outcome="journal"))
            return held.reply
        if self.shop.cache:
            cached = (await self.shop.journal.cached([ask_hash])).get(ask_hash)
            if cached is not None:
                self._bill(_line(model, step, cached, outcome="cache"))
                return cached
        return None

    async def _called(self, model: str, task: Task, step: Step, on_text: Callable[[str], None] | None) -> Called:
        began_s = self.shop.clock.now_s()
        try:
            with self.shop.telemetry.span(f"call {model}", self.span.traceparent, {"partsong.step": step.path}) as span:
                called = await self.shop.callers[model].call(task, step.path, self.work.deadline_s, span.traceparent, on_text)
                span.set({"partsong.attempts": called.attempts})
                return called
        except asyncio.CancelledError:
            took_s = self.shop.clock.now_s() - began_s
            self._bill(BillLine(step=step.path, model=model, latency_s=took_s, outcome="cancelled"))
            raise

    def _record(self, model: str, step: Step, ask_hash: bytes, called: Called) -> None:
        reply = called.reply
        line = _line(model, step, reply, outcome="answered" if isinstance(reply, Completion) else "failed")
        self._bill(
            line.model_copy(
                update={"attempts": called.attempts, "latency_s": called.latency_s, "cost_usd": line.cost_usd + called.lost_usd}
            )
        )
        if isinstance(reply, Failure) and (reply.retryable or called.cannot_start):
            return  # a later try may fare better: nothing to hold on to
        record = CallRecord(
            run=self.work.row.run,
            row=self.work.row.row,
            step=step.path,
            ask_hash=ask_hash,
            model=model,
            reply=reply,
            attempts=called.attempts,
            at_s=self.shop.clock.unix_s(),
        )
        self.work.record(record)

    def _bill(self, line: BillLine) -> None:
        self.work.bill.append(line)
        self.work.allowance.spend(line)


_NO_FALLBACK = frozenset({FailureCode.DEADLINE, FailureCode.ROW_BUDGET, FailureCode.RUN_BUDGET, FailureCode.INVALID_ANSWER})
"""Failures that no other model would mend, or that another model may not mend behind the plan's back."""


def _unsupported(spec: ModelSpec, model: str, parts: frozenset[PartType]) -> Failure | None:
    if extra := parts.difference(spec.accepts):
        listed = ", ".join(sorted(extra))
        return Failure(
            code=FailureCode.UNSUPPORTED,
            message=f"{model} takes {', '.join(spec.accepts)}, not {listed}; route such rows to a model that `accepts` them",
            where=model,
        )
    return None


def _worst_tokens(task: Task) -> Usage:
    """Return what a call may take at most: four characters a prompt token, and the reply as long as allowed (1,024 when unlimited)."""
    prompt = sum(len(message.text) for message in task.messages) // 4 + 1
    return Usage(prompt_tokens=prompt, completion_tokens=task.sampling.max_tokens or 1024, estimated=True)


def _line(model: str, step: Step, reply: Completion | Failure, *, outcome: Outcome) -> BillLine:
    if isinstance(reply, Failure):
        return BillLine.model_construct(step=step.path, model=model, outcome=outcome, failure=reply.code, cost_usd=reply.cost_usd)
    return BillLine.model_construct(
        step=step.path,
        model=model,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        cpu_s=reply.timing.cpu_s,
        latency_s=reply.timing.total_s,
        outcome=outcome,
    )


def _answer(model: str, reply: Completion | Failure) -> Reply:
    return reply if isinstance(reply, Failure) else Answer.of(model, reply)
