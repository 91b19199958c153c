"""ModelPool: the Ray shell of the pools of one system.

All pools of a system live in one process: a pool is a few counters, a process is a second of start and 60 MB (docs/architecture.md).
It holds nothing that its members could not tell again: callers what permits they hold, the staff which workers there are.

The pools of a lasting system hold an epoch. Pools that the store does not confirm grant nothing: every member's life with them ends, and
who joins again waits until they are confirmed. Their successors lease when every caller has told what it holds, or when callers that did
not must have stopped, and then count as spent whatever these may have used.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import ray
from ray.exceptions import RayError

from partsong.contracts import ModelSpec
from partsong.errors import FencedError, PartsongError
from partsong.pool.built import built_from
from partsong.pool.limiter import Ahead, Leased, Limiter, LimitInstruction, Refused, Standing
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import DrainWorker, Pool, PoolInstruction, StartWorker
from partsong.telemetry.levels import NEWS_WAITING, WAIT_P95, WORKERS
from partsong.work.clock import Clock
from partsong.work.metering import Metering
from partsong.work.tenure import Tenure, TermState
from partsong.work.watched import watch_tenure
from partsong_actors.beside import beside
from partsong_actors.drains import Drain, Drains
from partsong_actors.journal import JournalClient
from partsong_actors.memory_watch import end_without_memory
from partsong_actors.news import STAFF, Lease, Member, PoolNews, Recruit, Staffing, Welcome, Wish, WorkerReport
from partsong_actors.present import callers_of, present, remember, remember_callers
from partsong_actors.setup import Setup

__all__ = ["ModelPool"]

_REPORTS_WITHIN_S = 10.0
"""How long restarted pools wait for every caller to say what it holds before they lease again."""
_TICKS_EVERY_S = 1.0
_CLAIMS_AGAIN_AFTER_S = 1.0
_LEAVES_LATE_S = 10.0
"""How much longer than its model's time-out a call may be at a worker that is drained; then whoever made it is dead or deaf."""
_DAY_S = 86_400.0

_log = logging.getLogger(__name__)


class _ModelPool:
    """Carries out what the pools decide."""

    def __init__(self, setup: Setup, callers: Sequence[str], journal: str) -> None:
        """`callers` are the names of all that will join, `journal` is the name of the journal's actor."""
        end_without_memory()
        setup.check_version()
        now = present(setup)
        self._changed = now is not setup
        self._setup = setup = now
        mesh = self._mesh = setup.unpacked()
        self._clock = Clock()
        self._pools = {name: _pool_of(spec) for name, spec in mesh.models.items()}
        self._recruits: dict[str, dict[str, Recruit]] = {name: {} for name in mesh.models}
        self._drains = Drains()
        self._failed: dict[str, PartsongError] = {}
        self._members: dict[str, Member] = {}
        self._callers = {*callers, *callers_of(setup)}
        self._journal = JournalClient(setup.around.actor(journal))
        self._all_heard = asyncio.Event()
        self._remembering = asyncio.Lock()  # what Ray's head keeps last is what is so
        self._reborn: bool = ray.get_runtime_context().was_current_actor_reconstructed
        self._unheard = set(self._callers) if self._reborn else set()
        self._metering = Metering(
            Limiter(mesh.models, mesh.accounts), self._clock, self._hand_out, held=self._reborn or setup.system.lasting
        )
        self._tenure = self._tenure_of(setup)
        self._beginning: asyncio.Task[None] | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._telemetry = setup.telemetry(mesh.telemetry, "pools")
        self._metering.watched(self._telemetry)
        watch_tenure(self._telemetry, "pools", self._tenure)
        self._telemetry.gauge(*NEWS_WAITING, lambda: sum(member.news.qsize() for member in list(self._members.values())))
        for name in mesh.models:
            self._watch(name)

    @ray.method
    async def join(self, caller: str, life: str, born: str, leases: Mapping[str, Lease], standings: Sequence[Standing]) -> Welcome:
        """A caller is here, for the first time, again, or in place of one that died; `born` names its process."""
        await self._begun()
        told = await self._with_spent(standings) if self._reborn else standings
        if caller not in self._callers:
            async with self._remembering:
                await asyncio.to_thread(remember_callers, self._setup, {*self._callers, caller})
                self._callers.add(caller)
        self._enter(caller, life)
        self._metering.join(caller, born, told, dollars_in_terms=self._reborn)
        for drain in self._drains.joined(caller):
            self._ask_to_leave(caller, drain)
        for model, pool in self._pools.items():
            if self._changed:
                self._tell(caller, self._spec_news(model))
            if pool.taking:
                self._tell(caller, self._workers_news(model))
            if model in self._failed:
                self._tell(caller, PoolNews(model, "failed", error=self._failed[model]))
            lease = leases.get(model, Lease(0, 0))
            self._carry_out(model, pool.join(caller, lease.held, lease.wanted, self._clock.now_s()))
        self._unheard.discard(caller)
        if not self._unheard:
            self._all_heard.set()
        return Welcome() if self._tenure is None else Welcome(self._tenure.epoch.number, self._alone_for_s)

    @ray.method
    async def exchange(self, caller: str, life: str, wishes: Sequence[Wish]) -> None:
        """Take a caller's wishes."""
        if not self._lives(caller, life):
            return
        for wish in wishes:
            self._take(caller, wish)

    @ray.method
    async def leave(self, caller: str, life: str) -> None:
        """A caller ends, and nothing of it is in flight: nobody need wait for it any more."""
        if not self._lives(caller, life):
            return
        del self._members[caller]
        self._metering.leave(caller)
        for model, pool in self._pools.items():
            self._carry_out(model, pool.leave(caller))
        self._drains.gone(caller)
        self._end_drained()
        async with self._remembering:
            self._callers.discard(caller)
            await asyncio.to_thread(remember_callers, self._setup, frozenset(self._callers))

    @ray.method
    async def staff(self, life: str, staffing: Mapping[str, Staffing]) -> None:
        """The staff is here with its workers. Without workers nothing is leased: so restarted pools hear first what all callers hold."""
        await self._begun()
        await self._heard_all()
        self._metering.open()
        self._enter(STAFF, life)
        if self._changed:
            self._tell(STAFF, PoolNews("", "change", setup=self._setup))
        now_s = self._clock.now_s()
        there = {one.key for told in staffing.values() for one in told.recruits}
        self._drains.keep(there)
        for model, told in staffing.items():
            if model not in self._pools:  # it was taken out of the mesh, by pools that did not live to see its workers end
                for one in told.recruits:
                    self._tell(STAFF, PoolNews(model, "end", key=one.key))
                continue
            known = [replace(one, leaving=True) if one.key in self._drains else one for one in told.recruits]
            self._recruits[model] = {one.key: one for one in known}
            ready, leaving = [one for one in known if not one.leaving], [one for one in known if one.leaving]
            self._carry_out(
                model,
                self._pools[model].staffed([one.hand(now_s) for one in ready], [one.hand(now_s) for one in leaving], told.starting, now_s),
            )
            if ready:
                self._failed.pop(model, None)
            self._tell_callers(self._workers_news(model))
            for one in leaving:
                self._drain(model, one)
            if told.failed:
                self._fail(model, told.failed)

    @ray.method
    async def reported(self, life: str, reports: Sequence[WorkerReport]) -> None:
        """The staff tells what became of workers."""
        if self._lives(STAFF, life):
            for report in reports:
                if report.model in self._pools:
                    self._note(report)

    @ray.method
    async def news(self, member: str, life: str) -> Sequence[PoolNews] | None:
        """Return what the member should know, as soon as there is any; None when this life is over, or unknown to restarted pools."""
        if not self._lives(member, life):
            return None
        queue = self._members[member].news
        news = [await queue.get()]
        while not queue.empty():
            news.append(queue.get_nowait())
        if self._tenure is not None and not self._tenure.held:
            return None  # grants of pools that may have successors
        return None if None in news else [one for one in news if one is not None]

    @ray.method
    async def change(self, setup: Setup) -> None:
        """Go over to another mesh of the same system: pools grow, drain and replace their workers one by one, and limits hold at once."""
        await self._begun()
        async with self._remembering:
            await asyncio.to_thread(remember, setup)
            self._go_over_to(setup)

    def _go_over_to(self, setup: Setup) -> None:
        mesh, now_s = setup.unpacked(), self._clock.now_s()
        self._setup, self._mesh, self._changed = setup, mesh, True
        self._metering.change(mesh.models, mesh.accounts)
        self._tell(STAFF, PoolNews("", "change", setup=setup.lean))
        for model, spec in mesh.models.items():
            if model in self._pools:
                orders = self._pools[model].change(spec.workers, spec.concurrency, spec.scale, built_from(spec), now_s)
            else:
                self._pools[model], self._recruits[model], orders = _pool_of(spec), {}, ()
                self._watch(model)
                orders = [order for caller in self._members if caller != STAFF for order in self._pools[model].join(caller, 0, 0, now_s)]
            self._failed.pop(model, None)
            self._tell_callers(self._spec_news(model))
            self._carry_out(model, orders)
        for model in set(self._pools) - set(mesh.models):
            self._carry_out(model, self._pools[model].remove())
            self._tell_callers(PoolNews(model, "spec"))
            self._forget_if_removed(model)

    async def _begun(self) -> None:
        """Return when these pools may act; the process ends when others have taken their place."""
        if self._beginning is None:
            self._beginning = beside(self._begin())
        await asyncio.shield(self._beginning)
        if self._tenure is None:
            return
        try:
            await self._tenure.confirmed()
        except FencedError:
            self._end("lost")

    async def _begin(self) -> None:
        self._beside.append(beside(self._ticking()))
        if self._tenure is None:
            return
        while True:
            try:
                await self._tenure.begin()
                break
            except (PartsongError, RayError):
                _log.exception("the pools cannot claim their epoch; they try again")
                await asyncio.sleep(_CLAIMS_AGAIN_AFTER_S)
        self._beside.append(beside(self._tenure.keep()))
        self._reborn = self._tenure.epoch.number > 1
        self._unheard = set(self._callers) if self._reborn else set()

    def _tenure_of(self, setup: Setup) -> Tenure | None:
        health = setup.system.health
        return (
            Tenure(
                setup.around.pools,
                self._journal,
                self._clock,
                tenure_s=health.tenure_s,
                confirm_every_s=health.confirm_every_s,
                turned=self._end,
            )
            if setup.system.lasting
            else None
        )

    def _end(self, state: TermState) -> None:
        """Leave every member to the successors, or until the store confirms these pools again; what is lost for good ends."""
        if state == "lost":
            _log.error("these pools have successors, and end")
            os._exit(1)
        if state == "unconfirmed":
            for member in self._members.values():
                member.news.put_nowait(None)
            self._members.clear()

    @property
    def _alone_for_s(self) -> float:
        return self._setup.system.health.tenure_s / 2

    async def _heard_all(self) -> None:
        """Wait for every caller to tell what it holds; count as spent what those that do not tell may have used."""
        if not self._unheard:
            return
        within_s = _REPORTS_WITHIN_S if self._tenure is None else self._setup.system.health.tenure_s + self._alone_for_s
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._all_heard.wait()
        if self._unheard:
            _log.warning("not heard of: %s", ", ".join(sorted(self._unheard)))
            self._unheard.clear()
            self._metering.presume(max(spec.timeout for spec in self._mesh.models.values()))

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(_TICKS_EVERY_S)
            now_s = self._clock.now_s()
            for model, pool in self._pools.items():
                self._carry_out(model, pool.tick(now_s))
                if model in self._failed and not pool.wanted:  # nobody has asked for so long that the next call may try again
                    del self._failed[model]
                    self._tell_callers(PoolNews(model, "again"))
            self._end_drained()

    async def _with_spent(self, standings: Sequence[Standing]) -> Sequence[Standing]:
        """Return them with what the journal says was spent: restarted pools know nothing of callers that died before."""
        if not any(told.terms.budget_usd is not None or told.terms.spent_usd or told.used.usd for told in standings):
            return standings
        midnight_s = time.time() // _DAY_S * _DAY_S
        today = dict(await self._journal.spent(None, midnight_s))
        spent = {run: dict(await self._journal.spent(run, 0.0)) for run in {told.run for told in standings}}
        return [replace(told, terms=told.terms.model_copy(update={"spent_usd": spent[told.run], "today_usd": today})) for told in standings]

    def _take(self, caller: str, wish: Wish) -> None:
        if wish.notice is not None:
            self._tell(STAFF, PoolNews(wish.model, "notice", notice=wish.notice))
            return
        if wish.left:
            self._drains.left(caller, wish.left)
            self._end_drained()
            return
        if (pool := self._pools.get(wish.model)) is None:
            return
        now_s = self._clock.now_s()
        if wish.waited is not None:
            pool.heard(caller, wish.waited, now_s)
            self._carry_out(wish.model, pool.tick(now_s))
        if wish.give_back:
            self._carry_out(wish.model, pool.give_back(caller, wish.give_back))
        if wish.want:
            self._carry_out(wish.model, pool.want(caller, wish.want, now_s))
        if wish.purse is not None:
            self._metering.take(caller, wish.purse)

    def _note(self, report: WorkerReport) -> None:
        model, key, now_s = report.model, report.key, self._clock.now_s()
        pool = self._pools[model]
        match report.kind:
            case "ready":
                assert report.recruit is not None
                if key in self._drains:
                    return
                self._recruits[model][key] = report.recruit
                self._failed.pop(model, None)
                orders = pool.worker_ready(report.recruit.hand(now_s), now_s)
                self._tell_callers(self._workers_news(model))
                self._carry_out(model, orders)
            case "failed":
                self._carry_out(model, pool.start_failed(now_s))
                if report.error is not None:
                    self._fail(model, report.error)
            case "given-up":
                self._carry_out(model, pool.start_given_up(now_s))
            case "no-room":
                self._carry_out(model, pool.no_room(now_s))
            case "away":
                self._carry_out(model, pool.worker_away(key, now_s))
            case "leaves":
                self._carry_out(model, pool.worker_leaves([key], now_s))
            case "gone":
                self._recruits[model].pop(key, None)
                self._drains.forget(key)
                self._carry_out(model, pool.worker_gone(key, now_s))
                self._tell_callers(self._workers_news(model))
        self._forget_if_removed(model)

    def _forget_if_removed(self, model: str) -> None:
        """Forget a model that is no longer in the mesh when its last worker has ended."""
        if model not in self._mesh.models and not self._recruits[model] and not self._pools[model].starting:
            del self._pools[model], self._recruits[model]

    def _lives(self, member: str, life: str) -> bool:
        return member in self._members and self._members[member].life == life

    def _enter(self, member: str, life: str) -> None:
        if member in self._members:
            self._members[member].news.put_nowait(None)
        self._members[member] = Member(life)

    def _carry_out(self, model: str, instructions: Sequence[PoolInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(caller=caller, count=count):
                    self._tell(caller, PoolNews(model, "granted", count))
                case Recall(caller=caller, count=count):
                    self._tell(caller, PoolNews(model, "recalled", count))
                case KeepIdle(caller=caller, keep=keep):
                    self._tell(caller, PoolNews(model, "keep", int(keep)))
                case StartWorker():
                    self._tell(STAFF, PoolNews(model, "start"))
                case DrainWorker(key=key):
                    self._drain(model, self._recruits[model][key])

    def _drain(self, model: str, recruit: Recruit) -> None:
        """Have every caller send it no more calls and say when none of theirs is there; then it is ended."""
        spec = self._mesh.models.get(model)
        until_s = self._clock.now_s() + (spec.timeout if spec is not None else _DAY_S) + _LEAVES_LATE_S
        callers = {member for member in self._members if member != STAFF}
        drain = Drain(model, replace(recruit, leaving=True), until_s, callers)
        self._drains.begin(drain)
        self._tell(STAFF, PoolNews(model, "drain", key=recruit.key))
        self._tell_callers(self._workers_news(model))
        for caller in callers:
            self._ask_to_leave(caller, drain)
        self._end_drained()

    def _ask_to_leave(self, caller: str, drain: Drain) -> None:
        self._tell(caller, PoolNews(drain.model, "leave", recruits=(drain.recruit,)))

    def _end_drained(self) -> None:
        for drain in self._drains.over(self._clock.now_s()):
            self._tell(STAFF, PoolNews(drain.model, "end", key=drain.recruit.key))

    def _workers_news(self, model: str) -> PoolNews:
        recruits = self._recruits[model]
        return PoolNews(model, "workers", recruits=tuple(recruits[key] for key in self._pools[model].taking))

    def _spec_news(self, model: str) -> PoolNews:
        return PoolNews(model, "spec", spec=self._mesh.models.get(model), limited=model in self._mesh.models and self._mesh.limits(model))

    def _hand_out(self, instruction: LimitInstruction) -> None:
        purpose = instruction.purpose
        match instruction:
            case Leased(count=count):
                self._tell(purpose.caller, PoolNews(purpose.model, "leased", count, run=purpose.run))
            case Ahead(amounts=amounts, count=count):
                self._tell(purpose.caller, PoolNews(purpose.model, "ahead", count, run=purpose.run, amounts=amounts))
            case Refused(failure=failure):
                self._tell(purpose.caller, PoolNews(purpose.model, "refused", run=purpose.run, failure=failure))

    def _fail(self, model: str, error: PartsongError) -> None:
        if self._pools[model].hopeless:
            self._failed[model] = error
            self._tell_callers(PoolNews(model, "failed", error=error))

    def _tell(self, member: str, news: PoolNews) -> None:
        """Callers that are told anything have joined; what the staff is not here to hear is ordered anew when it joins."""
        if member in self._members:
            self._members[member].news.put_nowait(news)

    def _tell_callers(self, news: PoolNews) -> None:
        for member in self._members:
            if member != STAFF:
                self._tell(member, news)

    def _watch(self, model: str) -> None:
        about = {"partsong.model": model}
        for state in ("wanted", "ready", "starting", "draining"):
            self._telemetry.gauge(*WORKERS, partial(self._counted, model, state), about | {"partsong.state": state})
        self._telemetry.gauge(*WAIT_P95, partial(self._p95_s, model), about)

    def _counted(self, model: str, state: str) -> int | None:
        pool = self._pools.get(model)
        return None if pool is None else int(getattr(pool, state))

    def _p95_s(self, model: str) -> float | None:
        pool = self._pools.get(model)
        return None if pool is None else pool.p95_s


def _pool_of(spec: ModelSpec) -> Pool:
    return Pool(spec.workers, spec.concurrency, looks_ahead=True, scale=spec.scale, built=built_from(spec))


ModelPool = ray.remote(_ModelPool)
