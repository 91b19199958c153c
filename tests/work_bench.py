"""A coordinator at work in a test's own process: scripted workers, a journal in a list, no mesh file."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from partsong.contracts import (
    Call,
    CallRecord,
    Completion,
    Constraints,
    Failure,
    Limits,
    ModelSpec,
    Reply,
    Row,
    RowRecord,
    Task,
    Terms,
    Timing,
)
from partsong.plans.plan import Plan
from partsong.pool.limiter import Leased, Limiter, LimitInstruction, Refused
from partsong.pool.purse import Purse, PurseWish
from partsong.pool.share import Share
from partsong.routing.router import Router
from partsong.telemetry import Telemetry
from partsong.work.asked import Fingerprint
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.coordinator import Coordinator
from partsong.work.metering import Metering
from partsong.work.notices import Tell
from partsong.work.row import Shop
from partsong.work.synthesizer import Synthesizer


def completion(text: str) -> Completion:
    return Completion(text=text, model="m-1", timing=Timing(total_s=0.0))


@dataclass
class ScriptedWorker:
    """Gives its replies in turn, the last one for ever; raises what is an exception."""

    replies: Sequence[Completion | Failure | Exception]
    calls: list[Call] = field(default_factory=list)

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        self.calls.append(call)
        reply = self.replies[min(len(self.calls), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class ListJournal:
    """Keeps records in a list; look-ups of the cache raise what they are told to."""

    records: list[Any] = field(default_factory=list)
    cache_error: Exception | None = None

    async def append(self, records: Sequence[Any], under: Sequence[Any] = (), traceparent: str = "") -> None:
        self.records += records

    async def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        if self.cache_error is not None:
            raise self.cache_error
        return {}

    @property
    def calls(self) -> list[CallRecord]:
        return [record for record in self.records if isinstance(record, CallRecord)]

    @property
    def rows(self) -> list[RowRecord]:
        return [record for record in self.records if isinstance(record, RowRecord)]


def free_share() -> Share:
    """A share that gets every permit it asks for."""
    share: Share

    def exchange(want: int, give_back: int) -> None:
        if want:
            share.granted(want)

    share = Share(exchange, time.monotonic)
    return share


def free_purse() -> Purse:
    """A purse that gets whatever it asks for."""
    purse: Purse

    def exchange(wish: PurseWish) -> None:
        if wish.needs:
            purse.leased(wish.run, len(wish.needs))

    purse = Purse("model", exchange, metered=False, looks_ahead=False, now_s=lambda: 0.0)
    return purse


def caller_of(
    spec: ModelSpec, *, share: Share | None = None, purse: Purse | None = None, clock: Clock | None = None, tell: Tell | None = None
) -> Caller:
    """A caller without workers yet."""
    return Caller("model", spec, share or free_share(), purse or free_purse(), clock or Clock(), tell or (lambda notice: None))


class LimitedBench:
    """A caller of one model whose limits hold."""

    def __init__(self, spec: ModelSpec, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self.metering = Metering(Limiter({"model": spec}, {}), clock, self._hand_out)
        metered = spec.limits != Limits()
        purse = Purse("model", partial(self.metering.take, "test"), metered=metered, looks_ahead=False, now_s=clock.now_s)
        self.caller = caller_of(spec, purse=purse, clock=clock)

    def _hand_out(self, instruction: LimitInstruction) -> None:
        match instruction:
            case Leased(purpose=purpose, count=count):
                self.caller.purse.leased(purpose.run, count)
            case Refused(purpose=purpose, failure=failure):
                self.caller.purse.refused(purpose.run, failure)


def caller(*replies: Completion | Failure | Exception, clock: Clock | None = None, tell: Tell | None = None, **fields: Any) -> Caller:
    """A caller of a model with one scripted worker."""
    made = caller_of(ModelSpec(adapter="scripted", **fields), clock=clock, tell=tell)
    made.use([ScriptedWorker(replies)])
    return made


@dataclass
class Bench:
    """Models by what their workers say, plans by name."""

    models: Mapping[str, Caller]
    plans: Mapping[str, Plan] = field(default_factory=dict)
    journal: ListJournal = field(default_factory=ListJournal)
    cache: bool = False
    fallbacks: bool = True

    async def answer(
        self,
        use: str,
        prompt: str = "Hello",
        *,
        held: Sequence[CallRecord] = (),
        deadline_s: float | None = None,
        terms: Terms | None = None,
        on_text: Callable[[str], None] | None = None,
        **fields: Any,
    ) -> Reply:
        """`fields` are the task's own; its constraints besides the deadline among them."""
        specs = {name: caller.spec for name, caller in self.models.items()}
        prints = {name: Fingerprint(spec) for name, spec in specs.items()}
        journal: Any = self.journal
        shop = Shop(specs, self.plans, self.models, prints, Synthesizer(), journal, Telemetry.off(), Clock(), self.cache, self.fallbacks)
        task = Task.of(prompt, use=use).model_copy(update={"constraints": Constraints(deadline_s=deadline_s), **fields})
        row = Row(run="run", row=0, task=task, held=tuple(held), terms=terms or Terms())
        return (await Coordinator(shop, Router([*self.models, *self.plans])).answer(row, on_text)).reply
