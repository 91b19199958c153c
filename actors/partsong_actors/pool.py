"""ModelPool: the Ray shell of the pools of one engine, and the face that coordinators use.

All pools of an engine live in one process: a pool is a few counters, a process is a second of start and 60 MB (docs/architecture.md).
It holds nothing that its members could not tell again: callers what permits they hold, the staff which workers there are.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import ray
from ray.actor import ActorProxy

from partsong.contracts import Failure, ModelSpec, Notice
from partsong.errors import EngineError, PartsongError
from partsong.mesh import Mesh
from partsong.pool.limiter import Ahead, Leased, Limiter, LimitInstruction, Refused, Standing
from partsong.pool.meter import NOTHING, Amounts
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import Pool, PoolInstruction
from partsong.pool.purse import Purse, PurseWish
from partsong.pool.share import Share
from partsong.telemetry.levels import NEWS_WAITING
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.metering import Metering
from partsong.work.notices import Notices
from partsong_actors.coalesce import Coalescer
from partsong_actors.journal import JournalClient
from partsong_actors.membership import Membership
from partsong_actors.memory_watch import end_without_memory
from partsong_actors.remote_worker import RemoteWorker
from partsong_actors.setup import Setup
from partsong_actors.worker import _ModelWorker

__all__ = ["STAFF", "Lease", "ModelPool", "PoolClient", "PoolNews", "Staffing"]

STAFF = "staff"
"""The member that starts workers."""

_REPORTS_WITHIN_S = 10.0
"""How long restarted pools wait for every caller to say what it holds before they lease again."""

_TIDIES_EVERY_S = 1.0
_DAY_S = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a caller that joins holds of a model's permits, and how many more it wants."""

    held: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Staffing:
    """A model's workers, as the staff that joins knows them."""

    ready: "tuple[ActorProxy[_ModelWorker], ...]"
    starting: int
    failed: PartsongError | None


@dataclass(frozen=True, slots=True)
class PoolNews:
    """What the pools tell one member."""

    model: str
    kind: Literal["granted", "recalled", "keep", "workers", "failed", "start", "leased", "ahead", "refused", "notice"]
    count: int = 0
    run: str = ""
    amounts: Amounts = NOTHING
    failure: Failure | None = None
    notice: Notice | None = None
    workers: "tuple[ActorProxy[_ModelWorker], ...]" = ()
    error: PartsongError | None = None


@dataclass(frozen=True, slots=True)
class _Wish:
    """A caller wants permits of a model, or gives some back; wants amounts of what is limited; or has something to tell the user."""

    life: str
    model: str
    want: int = 0
    give_back: int = 0
    purse: PurseWish | None = None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    """A party as the pools see it; None among its news says that this life is over."""

    life: str
    news: "asyncio.Queue[PoolNews | None]" = field(default_factory=asyncio.Queue)


def calls_ahead(spec: ModelSpec) -> int:
    """Return how many calls may be on their way to a worker besides those it makes."""
    return spec.concurrency // 2


class _ModelPool:
    """Carries out what the pools decide."""

    def __init__(self, setup: Setup, callers: Sequence[str], journal: str) -> None:
        """`callers` are the names of all that will join, `journal` is the name of the journal's actor."""
        end_without_memory()
        mesh = setup.unpacked()
        specs = mesh.models
        self._pools = {name: Pool(spec.workers, spec.concurrency, ahead=calls_ahead(spec)) for name, spec in specs.items()}
        self._workers: dict[str, tuple[ActorProxy[_ModelWorker], ...]] = dict.fromkeys(specs, ())
        self._failed: dict[str, PartsongError] = {}
        self._members: dict[str, _Member] = {}
        self._reborn: bool = ray.get_runtime_context().was_current_actor_reconstructed
        self._unheard = set(callers) if self._reborn else set()
        self._journal_name = journal
        self._all_heard = asyncio.Event()
        self._metering = Metering(Limiter(specs, mesh.accounts), Clock(), self._hand_out, held=self._reborn)
        self._telemetry = setup.telemetry(mesh.telemetry, "pools")
        self._metering.watched(self._telemetry)
        self._telemetry.gauge(*NEWS_WAITING, lambda: sum(member.news.qsize() for member in list(self._members.values())))

    @ray.method
    async def join(self, caller: str, life: str, born: str, leases: Mapping[str, Lease], standings: Sequence[Standing]) -> None:
        """A caller is here, for the first time, again, or in place of one that died; `born` names its process."""
        told = await self._with_spent(standings) if self._reborn else standings
        self._enter(caller, life)
        self._metering.join(caller, born, told, dollars_in_terms=self._reborn)
        for model, pool in self._pools.items():
            if self._workers[model]:
                self._tell(caller, PoolNews(model, "workers", workers=self._workers[model]))
            if model in self._failed:
                self._tell(caller, PoolNews(model, "failed", error=self._failed[model]))
            lease = leases.get(model, Lease(0, 0))
            if lease.wanted:
                self._carry_out(model, pool.begin())
            self._carry_out(model, pool.join(caller, lease.held, lease.wanted))
        self._unheard.discard(caller)
        if not self._unheard:
            self._all_heard.set()

    @ray.method
    async def exchange(self, caller: str, life: str, wishes: Sequence[_Wish]) -> None:
        """Take a caller's wishes; a model's workers start when it is first wanted."""
        if not self._lives(caller, life):
            return
        for wish in wishes:
            if wish.notice is not None:
                self._tell(STAFF, PoolNews(wish.model, "notice", notice=wish.notice))
                continue
            pool = self._pools[wish.model]
            if wish.give_back:
                self._carry_out(wish.model, pool.give_back(caller, wish.give_back))
            if wish.want:
                self._carry_out(wish.model, pool.begin())
                self._carry_out(wish.model, pool.want(caller, wish.want))
            if wish.purse is not None:
                self._metering.take(caller, wish.purse)

    @ray.method
    async def staff(self, life: str, staffing: Mapping[str, Staffing]) -> None:
        """The staff is here with its workers. Without workers nothing is leased: so restarted pools hear first what all callers hold."""
        if self._unheard:
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPORTS_WITHIN_S):
                    await self._all_heard.wait()
        self._metering.open()
        self._enter(STAFF, life)
        for model, told in staffing.items():
            self._workers[model] = told.ready
            if told.ready:
                self._failed.pop(model, None)
                self._tell_callers(PoolNews(model, "workers", workers=told.ready))
            self._carry_out(model, self._pools[model].staffed(len(told.ready), told.starting))
            if told.failed:
                self._fail(model, told.failed)

    @ray.method
    async def hired(self, life: str, model: str, worker: "ActorProxy[_ModelWorker] | None", error: PartsongError | None) -> None:
        """A worker that was ordered takes calls, or could not start."""
        if not self._lives(STAFF, life):
            return
        if worker is not None:
            self._workers[model] = (*self._workers[model], worker)
            self._failed.pop(model, None)
            self._tell_callers(PoolNews(model, "workers", workers=self._workers[model]))
            self._carry_out(model, self._pools[model].worker_ready())
            return
        self._carry_out(model, self._pools[model].worker_gone(was_ready=False))
        if error is not None:
            self._fail(model, error)

    @ray.method
    async def news(self, member: str, life: str) -> Sequence[PoolNews] | None:
        """Return what the member should know, as soon as there is any; None when this life is over, or unknown to restarted pools."""
        if not self._lives(member, life):
            return None
        queue = self._members[member].news
        news = [await queue.get()]
        while not queue.empty():
            news.append(queue.get_nowait())
        return None if None in news else [one for one in news if one is not None]

    async def _with_spent(self, standings: Sequence[Standing]) -> Sequence[Standing]:
        """Return them with what the journal says was spent: restarted pools know nothing of callers that died before."""
        if not any(told.terms.budget_usd is not None or told.terms.spent_usd or told.used.usd for told in standings):
            return standings
        journal = JournalClient(ray.get_actor(self._journal_name))
        midnight_s = time.time() // _DAY_S * _DAY_S
        today = dict(await journal.spent(None, midnight_s))
        spent = {run: dict(await journal.spent(run, 0.0)) for run in {told.run for told in standings}}
        return [replace(told, terms=told.terms.model_copy(update={"spent_usd": spent[told.run], "today_usd": today})) for told in standings]

    def _lives(self, member: str, life: str) -> bool:
        return member in self._members and self._members[member].life == life

    def _enter(self, member: str, life: str) -> None:
        if member in self._members:
            self._members[member].news.put_nowait(None)
        self._members[member] = _Member(life)

    def _carry_out(self, model: str, instructions: Sequence[PoolInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(caller=caller, count=count):
                    self._tell(caller, PoolNews(model, "granted", count))
                case Recall(caller=caller, count=count):
                    self._tell(caller, PoolNews(model, "recalled", count))
                case KeepIdle(caller=caller, keep=keep):
                    self._tell(caller, PoolNews(model, "keep", int(keep)))
                case _:
                    self._tell(STAFF, PoolNews(model, "start"))

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


ModelPool = ray.remote(_ModelPool)


class PoolClient:
    """One caller's side of every pool: its shares of permits and its links to workers."""

    def __init__(self, actor: "ActorProxy[_ModelPool]", caller: str, mesh: Mesh, clock: Clock) -> None:
        self._actor = actor
        self._caller = caller
        self._born = uuid.uuid4().hex
        self._membership: Membership[PoolNews] = Membership(self, self._hear)
        self._wishes: Coalescer[_Wish, None] = Coalescer(self._send)
        self._links: dict[str, RemoteWorker] = {}
        self._workers: dict[str, list[RemoteWorker]] = {}
        self.tell = Notices(self._notice, clock.now_s)
        """Tells the user, by way of the pools' process and whoever started the engine."""
        self.callers = {name: self._of(name, spec, mesh, clock) for name, spec in mesh.models.items()}

    def _of(self, name: str, spec: ModelSpec, mesh: Mesh, clock: Clock) -> Caller:
        purse = Purse(name, self._wish, metered=mesh.limits(name), looks_ahead=True, now_s=clock.now_s)
        most = spec.workers.max * (spec.concurrency + calls_ahead(spec))
        return Caller(name, spec, Share(self._exchange(name)), purse, clock, self.tell, most)

    @property
    def unsent(self) -> int:
        """Wishes that wait for an earlier message to come back."""
        return self._wishes.queued

    @property
    def unsent_calls(self) -> int:
        """Calls, and cancellations, that wait for an earlier message to their worker to come back."""
        return sum(worker.unsent for worker in list(self._links.values()))

    async def listen(self) -> None:
        """Pass on the pools' news, whatever becomes of their process; runs until cancelled. Calls fail when there are no pools any more."""
        tidying = asyncio.create_task(self._tidied())
        try:
            await self._membership.keep()
        except Exception as error:  # noqa: BLE001  whatever it was: who waits for news that nobody hears would wait for ever
            _log.exception("the pools are gone")
            what = f"the process of the model pools is gone, or not understood ({type(error).__name__})"
            for caller in self.callers.values():
                lost = EngineError("pool-lost", what, remedy="see Ray's logs; the run can be resumed")
                caller.share.lose(lost)
                caller.purse.lose(lost)
        finally:
            tidying.cancel()

    async def join(self, life: str) -> None:
        """See PoolLine. What calls wait for is wanted anew, under the new life."""
        leases = {model: Lease(*caller.share.renew()) for model, caller in self.callers.items()}
        standings = [standing for caller in self.callers.values() for standing in caller.purse.standings()]
        waits = [wish for caller in self.callers.values() for wish in caller.purse.waits()]
        for wish in waits:
            self._wishes.put(_Wish(life, wish.model, purse=wish))
        await self._actor.join.remote(self._caller, life, self._born, leases, standings)

    async def _tidied(self) -> None:
        """Give back what is leased ahead and idle: another caller may be waiting for the last of it."""
        while True:
            await asyncio.sleep(_TIDIES_EVERY_S)
            for caller in self.callers.values():
                caller.purse.give_back_ahead()

    def news(self, life: str) -> Awaitable[Sequence[PoolNews] | None]:
        """See PoolLine."""
        return self._actor.news.remote(self._caller, life)

    def _hear(self, news: PoolNews) -> None:
        caller = self.callers[news.model]
        match news.kind:
            case "granted":
                caller.share.granted(news.count)
            case "recalled":
                caller.share.recalled(news.count)
            case "keep":
                caller.share.keep_idle(bool(news.count))
            case "workers":
                self._workers[news.model] = [self._link(news.model, worker) for worker in news.workers]
                self._use(news.model)
                caller.share.staffed()
            case "failed":
                assert news.error is not None
                caller.share.fail(news.error)
            case "leased":
                caller.purse.leased(news.run, news.count)
            case "ahead":
                caller.purse.leased_ahead(news.run, news.amounts, news.count)
            case "refused":
                assert news.failure is not None
                caller.purse.refused(news.run, news.failure)
            case "start" | "notice":
                raise AssertionError("a caller starts no workers, and talks to no user")

    def _use(self, model: str) -> None:
        """Send calls to the workers that are up; with none up they wait for one to be back."""
        workers = self._workers[model]
        self.callers[model].use([worker for worker in workers if worker.up] or [*workers])

    def _link(self, model: str, worker: "ActorProxy[_ModelWorker]") -> RemoteWorker:
        key = worker._actor_id.hex()  # type: ignore[union-attr]  # the one name that survives a handle's copies
        if key not in self._links:
            self._links[key] = RemoteWorker(worker, lambda: self._turned(model, key))
        return self._links[key]

    def _turned(self, model: str, key: str) -> None:
        """A worker went down, or is up again."""
        self._use(model)
        if not self._links[key].up:
            doing = "it is waited for, and its calls are made again"
            self.tell(Notice(code="worker-lost", where=model, what="a worker's process died or stands still", doing=doing))

    def _exchange(self, model: str) -> Callable[[int, int], None]:
        def exchange(want: int, give_back: int) -> None:
            self._wishes.put(_Wish(self._membership.life, model, want, give_back))

        return exchange

    def _wish(self, wish: PurseWish) -> None:
        self._wishes.put(_Wish(self._membership.life, wish.model, purse=wish))

    def _notice(self, notice: Notice) -> None:
        self._wishes.put(_Wish(self._membership.life, notice.where, notice=notice))

    async def _send(self, wishes: Sequence[_Wish]) -> Sequence[None]:
        life = wishes[-1].life  # the latest; those of earlier lives were told by its joining
        current = [wish for wish in wishes if wish.life == life]
        await self._membership.tell(life, lambda: self._actor.exchange.remote(self._caller, life, current))
        return [None] * len(wishes)
