"""Caller: one model call as a plan wants it: its turn, its worst case reserved, a worker, attempts until it is answered or failed for good.

The one call policy, for plain and streamed calls and every adapter. What decides are machines of `partsong/pool`: breaker, adaptive limit,
retry policy and budget, hedge. All of them are this caller's own, as each client's are in Finagle and Envoy; what must be exact over all
callers (permits, rates, dollars) is leased through `Share` and `Purse`.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from partsong.contracts import Call, Completion, Failure, FailureCode, ModelSpec, Task, Terms, Usage
from partsong.errors import PartsongError
from partsong.pool.adaptive import AdaptiveLimit
from partsong.pool.breaker import Breaker, Closed, Opened, Paused, State, Transition
from partsong.pool.forecast import Forecast
from partsong.pool.hedge import Hedge
from partsong.pool.meter import NOTHING, Amounts
from partsong.pool.purse import Purse, Reservation
from partsong.pool.retry import RetryPolicy
from partsong.pool.retry_budget import RetryBudget
from partsong.pool.share import NoWorkerError, Share
from partsong.pool.waits import Waited
from partsong.work import told
from partsong.work.clock import Clock
from partsong.work.hedged import Hedged
from partsong.work.notices import Tell
from partsong.work.quarantine import DEATHS, Quarantine
from partsong.work.seats import Seats, WorkerHandle
from partsong.work.tenure import Tenure

__all__ = ["Caller", "Request", "Tries"]

_LATER = frozenset({FailureCode.RATE_LIMITED, FailureCode.OVERLOADED})
"""The provider works and asks to come again later."""

_BUSY = frozenset({FailureCode.RATE_LIMITED, FailureCode.OVERLOADED, FailureCode.TIMEOUT})
"""What tells the adaptive limit that fewer calls should be made at once."""

_READ_AND_BROKEN = frozenset(
    {
        FailureCode.STREAM_BROKEN,
        FailureCode.MALFORMED_REPLY,
        FailureCode.CONNECTION_LOST,
        FailureCode.TIMEOUT,
        FailureCode.DEADLINE,
        FailureCode.TOO_LARGE,
    }
)
"""Failures after the provider began to answer: it may bill them. A request that was sent and met the deadline timed out."""

_RETRIES_PER_S = 10.0
"""What the retry budget grants whatever was answered (Finagle's default): rows that wait when an outage ends are soon through."""

_DEATH_PAUSE_S = 0.05
_AT_ONCE_S = 0.1
"""How long a hedge waits for a permit and its worst case: a message to the pool and back."""

_NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Request:
    """What a row asks of a model, and on what terms."""

    task: Task
    step: str
    run: str = ""
    terms: Terms = _NO_TERMS
    deadline_s: float = math.inf
    """On the clock's scale."""
    traceparent: str = ""
    patient: bool = True
    """Whether there is nobody else to ask: then the call waits while the model is given a rest, instead of failing."""
    on_text: Callable[[str], None] | None = None
    worst: Usage | None = None
    """What an attempt may take at most; forecast when not given."""


@dataclass(slots=True)
class Tries:
    """What a call has come to; filled as it goes, so that one that is cancelled has told what it took."""

    attempts: int = 0
    began_s: float | None = None
    hedged: Hedged | None = None
    """The latest attempt, where it may be hedged."""
    lost_usd: float = 0.0
    """What failed attempts are known to have cost."""
    possible_usd: float = 0.0
    """What attempts that may have reached the provider, but told no usage, can have cost at most."""
    counted: int = 0
    """Attempts that count against `retries`."""
    deaths: int = 0
    """Workers that died with it in flight."""
    put_off: int = 0
    """How often the provider asked to come later, or was out and the breaker knew it; and when first."""
    put_off_s: float = math.inf
    shown: bool = False
    """Whether text has been handed on: what was shown cannot be begun again unseen."""
    cannot_start: PartsongError | None = None
    """Why no worker of the model can start, where that is the failure."""


class Caller:
    """Calls one model through its workers."""

    def __init__(
        self, name: str, spec: ModelSpec, share: Share, purse: Purse, clock: Clock, tell: Tell, most_in_flight: int | None = None
    ) -> None:
        """`most_in_flight` is how many calls the adaptive limit lets through at most; by default what all workers can make at once."""
        self.name = name
        self.spec = spec
        self.share = share
        self.purse = purse
        self.forecast = Forecast(spec.price)
        self.gate: Tenure | None = None
        """What must be held for a call to be made; None where nobody can take its place unseen."""
        self.retried = 0
        """Attempts after a call's first, so far."""
        self._clock = clock
        self._tell = tell
        self._policy = RetryPolicy(spec.retries)
        self._retries = RetryBudget(spec.retry_share, _RETRIES_PER_S)
        self._breaker = None if spec.breaker == "off" else Breaker(spec.breaker)
        self._patience_s = 0.0 if spec.breaker == "off" else spec.breaker.patience
        self._seats = Seats(None if spec.breaker == "off" else spec.breaker, clock.dice)
        self._most_in_flight = most_in_flight or spec.workers.max * spec.concurrency
        self._limit = AdaptiveLimit(self._most_in_flight) if spec.adaptive else None
        self._hedge = None if spec.hedge is None else Hedge(spec.hedge.after, spec.hedge.share)
        self._quarantine = Quarantine()
        self._in_flight = 0
        self._locked_out: Failure | None = None
        self._back = asyncio.Event()

    def use(self, workers: Sequence[WorkerHandle], near: Sequence[WorkerHandle] = ()) -> None:
        """Send calls to these workers from now on, to those of `near` first; calls in flight stay where they are."""
        self._seats.use(workers, near, self.spec.concurrency)

    def change(self, spec: ModelSpec, most_in_flight: int) -> None:
        """The model's entry is another from now on; calls under way keep to the old one until their next attempt."""
        before, self.spec = self.spec, spec
        self._policy = RetryPolicy(spec.retries)
        if spec.retry_share != before.retry_share:
            self._retries = RetryBudget(spec.retry_share, _RETRIES_PER_S)
        if spec.price != before.price:
            self.forecast = Forecast(spec.price)
        if spec.breaker != before.breaker:
            self._breaker = None if spec.breaker == "off" else Breaker(spec.breaker)
            self._patience_s = 0.0 if spec.breaker == "off" else spec.breaker.patience
            self._seats.change(None if spec.breaker == "off" else spec.breaker)
        if spec.hedge != before.hedge:
            self._hedge = None if spec.hedge is None else Hedge(spec.hedge.after, spec.hedge.share)
        if (spec.adaptive, most_in_flight) != (before.adaptive, self._most_in_flight):
            self._most_in_flight = most_in_flight
            self._limit = AdaptiveLimit(most_in_flight) if spec.adaptive else None
            self.share.hold_to(math.inf if self._limit is None else self._limit.limit)

    def waited(self) -> Waited:
        """Return how calls waited for a worker since this was last asked; while a rate or a budget is used up, none waits for that."""
        waited = self.share.waited()
        return replace(waited, waiting=0, oldest_s=0.0, waits={}) if self.purse.waiting else waited

    @property
    def breaker_state(self) -> State | None:
        """What the model's breaker does with calls; None without one."""
        return None if self._breaker is None else self._breaker.state

    @property
    def at_once(self) -> int | None:
        """How many calls the adaptive limit lets out at once; None without one."""
        return None if self._limit is None else self._limit.limit

    async def call(self, request: Request, tries: Tries) -> Completion | Failure:
        """Ask until answered or failed for good; what it took stands in `tries`. Raises what the pool's loss raises."""
        if self._hedge is not None:
            self._hedge.called()
        while True:
            reply = await (self._once(request, tries) if self._hedge is None else self._tried(self._hedge, request, tries))
            if isinstance(reply, Completion):
                return reply
            wait_s = await self._wait_s(reply, request, tries)
            if wait_s is None:
                if not request.patient:
                    self._tell(told.goes_on(self.name, reply))
                return reply if tries.deaths < DEATHS else told.given_up(reply, tries.deaths)
            await self._clock.sleep(wait_s)
            self.retried += 1

    async def _wait_s(self, failure: Failure, request: Request, tries: Tries) -> float | None:
        """Return how long to wait before the next attempt; None when there is to be none."""
        now_s = self._clock.now_s()
        if tries.shown or not failure.retryable:
            return None
        if failure.code is FailureCode.WORKER_LOST and failure.sent == "maybe":
            tries.deaths += 1
            return None if tries.deaths >= DEATHS else _DEATH_PAUSE_S
        wait_s = self._backoff_s(failure, request, tries, now_s)
        if wait_s is None or (not request.patient and not self._may_retry(failure, now_s)):
            return None
        self._tell(told.trouble(self.name, failure))
        return wait_s if not request.patient else await self._within_budget(failure, wait_s)

    def _backoff_s(self, failure: Failure, request: Request, tries: Tries, now_s: float) -> float | None:
        """Return how long to wait. While patience lasts, what no call is to blame for, and will pass, is none of its retries."""
        left_s = request.deadline_s - now_s
        passes = failure.code in _LATER or (self._breaker is not None and self._breaker.noticed(failure))
        if passes and request.patient and self.spec.retries:
            tries.put_off_s = min(tries.put_off_s, now_s)
            tries.put_off += 1
            if now_s - tries.put_off_s < self._patience_s:
                return self._policy.pause_s(failure, tries.put_off, left_s, self._clock.dice)
        tries.counted += 1
        return self._policy.wait_s(failure, tries.counted, left_s, self._clock.dice)

    def _may_retry(self, failure: Failure, now_s: float) -> bool:
        """Withdraw a retry from the model's budget; what was never sent needs none."""
        return failure.sent == "no" or self._retries.withdraw(now_s)

    async def _within_budget(self, failure: Failure, wait_s: float) -> float:
        """Wait until the model's budget has a retry; return what is left to wait then."""
        while not self._may_retry(failure, now_s := self._clock.now_s()):
            pause_s = max(0.05, self._retries.ready_at_s(now_s) - now_s)
            await self._clock.sleep(pause_s)
            wait_s = max(0.0, wait_s - pause_s)
        return wait_s

    async def _tried(self, hedge: Hedge, request: Request, tries: Tries) -> Completion | Failure:
        """Make one attempt, and a second request beside it when the first takes long (a hedge); what a stream shows is one reply's."""
        if request.on_text or tries.deaths:
            return await self._once(request, tries)
        hedged = tries.hedged = Hedged(hedge, self._clock.now_s)
        try:
            return await hedged.reply(self._once(request, tries), partial(self._beside, hedge, request, tries))
        finally:
            tries.lost_usd += hedged.lost_usd

    async def _beside(self, hedge: Hedge, request: Request, tries: Tries) -> Completion | Failure:
        """Make the hedge if a permit and its worst case are to be had at once: it takes no other call's turn."""
        if self.share.waiting or self.purse.waiting:
            return told.unavailable(self.name, "no hedge while calls wait")
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                await self.share.acquire(request.run, request.terms.weight)
        except (TimeoutError, NoWorkerError):
            return told.unavailable(self.name, "no hedge without a free permit")
        try:
            reply = await self._reserved_at_once(hedge, request, tries)
        finally:
            self.share.release()
        return reply or told.unavailable(self.name, "no hedge while the model is given a rest or its limits are used up")

    async def _reserved_at_once(self, hedge: Hedge, request: Request, tries: Tries) -> Completion | Failure | None:
        """Make the hedge with its worst case reserved, if it can be at once; only then is it one of the hedges that may be made."""
        worst = request.worst or self.forecast.worst(request.task)
        if not self.purse.limits(request.terms):
            return await self._admitted(request, tries, worst) if hedge.spend() else None
        try:
            async with asyncio.timeout(_AT_ONCE_S):
                reservation = await self.purse.reserve(request.run, request.terms, self.forecast.amounts(worst))
        except TimeoutError:
            return None
        if isinstance(reservation, Failure):
            return reservation
        if not hedge.spend():
            self.purse.settle(reservation, NOTHING)
            return None
        return await self._settled(request, tries, worst, reservation)

    async def _once(self, request: Request, tries: Tries) -> Completion | Failure:
        """Make one attempt, when the model takes calls and with a permit."""
        breaker, now_s = self._breaker, self._clock.now_s()
        while True:
            # a closed breaker's admission takes no probe, and need not be abandoned: the ordinary call asks no more than this
            if breaker is not None and (breaker.state != "closed" or breaker.admit(now_s).refused):
                failure = await self._rested(breaker, request, now_s + self._patience_s)
                if failure is not None:
                    return failure
            try:
                await self.share.acquire(request.run, request.terms.weight)
            except NoWorkerError as error:
                tries.cannot_start = error.cause
                return told.cannot_start(self.name, error.cause)
            try:
                reply = await self._reserved(request, tries)
            finally:
                self.share.release()
            if reply is not None:
                return reply

    async def _rested(self, breaker: Breaker, request: Request, until_s: float) -> Failure | None:
        """Return when the breaker lets calls through; the failure when that takes too long, or another can be asked instead."""
        while True:
            now_s = self._clock.now_s()
            admission = breaker.admit(now_s)
            breaker.abandon(admission)
            self._heed(admission.changes)
            if not admission.refused:
                return None
            if self._locked_out is not None:
                return told.locked_out(self.name, self._locked_out)
            if not request.patient or now_s >= until_s:
                return told.unavailable(self.name, "not asked: the model is given a rest after too many failures")
            retry_at_s = admission.retry_at_s if admission.retry_at_s is not None else now_s
            await self._until_back(min(retry_at_s, until_s) - now_s)

    async def _until_back(self, pause_s: float) -> None:
        """Wait, no longer than until the model is back; who waits comes back spread out."""
        waits = asyncio.ensure_future(self._back.wait())
        sleeps = asyncio.ensure_future(self._clock.sleep(max(0.0, pause_s) * (1.0 + 0.2 * self._clock.dice()) + 0.001))
        try:
            await asyncio.wait((waits, sleeps), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waits.cancel()
            sleeps.cancel()

    async def _reserved(self, request: Request, tries: Tries) -> Completion | Failure | None:
        """Make the attempt with its worst case reserved; None when the breaker opened meanwhile."""
        worst = request.worst or self.forecast.worst(request.task)
        if not self.purse.limits(request.terms):
            return await self._admitted(request, tries, worst)
        reservation = await self.purse.reserve(request.run, request.terms, self.forecast.amounts(worst))
        return reservation if isinstance(reservation, Failure) else await self._settled(request, tries, worst, reservation)

    async def _settled(self, request: Request, tries: Tries, worst: Usage, reservation: Reservation) -> Completion | Failure | None:
        """Make the attempt, and settle what was reserved for it."""
        used, age_s, made = self.forecast.amounts(worst), 0.0, tries.attempts
        try:
            reply = await self._admitted(request, tries, worst)
            used = NOTHING if reply is None else self._used(reply, worst, tries.shown)
            age_s = reply.timing.total_s if isinstance(reply, Completion) else 0.0
            return reply
        finally:
            self.purse.settle(reservation, used if tries.attempts > made else NOTHING, age_s)

    async def _admitted(self, request: Request, tries: Tries, worst: Usage) -> Completion | Failure | None:
        """Make the attempt, if the breaker lets it through, and let every machine learn from it."""
        breaker, began_s, made = self._breaker, self._clock.now_s(), tries.attempts
        admission = None if breaker is None else breaker.admit(began_s)
        if admission is not None and admission.changes:
            self._heed(admission.changes)
        if admission is not None and admission.refused:
            return None
        tries.began_s = began_s if tries.began_s is None else tries.began_s
        self._in_flight += 1
        try:
            reply = await self._attempted(request, tries)
        except BaseException:
            if breaker is not None and admission is not None:
                breaker.abandon(admission)
            if tries.attempts > made:
                tries.possible_usd += self.forecast.usd(worst)
            raise
        finally:
            self._in_flight -= 1
        now_s = self._clock.now_s()
        failure = reply if isinstance(reply, Failure) else None
        if failure is not None:
            tries.lost_usd += failure.cost_usd
            if not failure.cost_usd and _may_be_billed(failure, tries.shown):
                tries.possible_usd += self.forecast.usd(worst)
        self._learn(request, reply, now_s - began_s, now_s)
        if breaker is not None and admission is not None:
            self._heed(breaker.settle(admission, failure, now_s - began_s, now_s), failure)
        return reply

    async def _attempted(self, request: Request, tries: Tries) -> Completion | Failure:
        """Make the attempt when no suspect of a worker's death has to be alone."""
        deaths = tries.deaths
        if not self._quarantine.try_enter(deaths):
            await self._quarantine.enter(deaths)
        try:
            return await self._asked(request, tries)
        finally:
            self._quarantine.leave(deaths)

    async def _asked(self, request: Request, tries: Tries) -> Completion | Failure:
        """Ask one of the workers."""
        if self.gate is not None and not self.gate.held:
            await self.gate.confirmed()
        now_s = self._clock.now_s()
        left_s = request.deadline_s - now_s
        if left_s <= 0.0:
            return told.too_late(self.name)
        taken = self._seats.take(now_s)
        if taken is None:
            return told.no_worker(self.name)
        seat, admission = taken
        tries.attempts += 1
        if tries.hedged is not None:
            tries.hedged.leave(now_s)
        limit_s = min(self.spec.timeout, left_s)
        call = Call(model=self.name, task=request.task, step=request.step, timeout_s=limit_s, traceparent=request.traceparent)
        shown = partial(_show, request.on_text, tries) if request.on_text else None
        seat.in_flight += 1
        try:
            reply = await seat.worker.ask(call, shown)
        except BaseException:
            if seat.breaker is not None and admission is not None:
                seat.breaker.abandon(admission)
            raise
        finally:
            seat.in_flight -= 1
        failure, ended_s = reply if isinstance(reply, Failure) else None, self._clock.now_s()
        if failure is not None and failure.code is FailureCode.TIMEOUT and ended_s >= request.deadline_s:
            reply = failure = told.ran_out(failure)  # the row's own limit ran out, not the model's: nobody's fault
        self._seats.settle(seat, admission, failure, ended_s - now_s, ended_s)
        return reply

    def _learn(self, request: Request, reply: Completion | Failure, took_s: float, now_s: float) -> None:
        if isinstance(reply, Completion):
            self.forecast.saw(request.task, reply.usage)
            self._retries.deposit(now_s)
        if self._limit is None:
            return
        if isinstance(reply, Completion):
            self._limit.settle(reply.timing.total_s, reply.usage.completion_tokens, "ok", self._in_flight + 1, now_s)
        else:
            self._limit.settle(took_s, 0, "overloaded" if reply.code in _BUSY else "ignored", self._in_flight + 1, now_s)
        self.share.hold_to(self._limit.limit)

    def _used(self, reply: Completion | Failure, worst: Usage, shown: bool) -> Amounts:
        """Return what an attempt counts for; one that may have been billed unseen counts as feared."""
        if isinstance(reply, Completion):
            usage = reply.usage
            return Amounts(1.0, usage.prompt_tokens, usage.completion_tokens, reply.cost_usd)
        if reply.sent == "no":
            return NOTHING
        if reply.cost_usd or not _may_be_billed(reply, shown):
            return Amounts(1.0, worst.prompt_tokens, 0.0, reply.cost_usd)
        return self.forecast.amounts(worst)

    def _heed(self, changes: Sequence[Transition], failure: Failure | None = None) -> None:
        """Act on the breaker's changes, and tell them; `failure` is what the call came to that brought them about."""
        for change in changes:
            match change:
                case Opened(reason=reason):
                    self._locked_out = failure if reason == "locked-out" else None
                    self._tell(told.rests(self.name, change, failure, self._clock.now_s()))
                case Closed():
                    self._locked_out = None
                    self._back.set()
                    self._back = asyncio.Event()  # who waits from now on, for a pause say, waits for the next time
                    self._tell(told.back(self.name))
                case Paused():
                    self._tell(told.asks_pause(self.name, change, self._clock.now_s()))
                case _:
                    pass


def _show(on_text: Callable[[str], None], tries: Tries, text: str) -> None:
    tries.shown = tries.shown or bool(text)
    on_text(text)


def _may_be_billed(failure: Failure, shown: bool) -> bool:
    """Whether it may stand on the provider's bill, though it told no usage: what broke while text came surely had tokens."""
    return failure.sent == "maybe" or (failure.sent == "yes" and (shown or failure.code in _READ_AND_BROKEN))
