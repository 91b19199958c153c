"""PoolClient: one caller's side of every pool: its shares of permits and its links to workers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from partsong.contracts import ModelSpec, Notice
from partsong.errors import EngineError
from partsong.mesh import Mesh
from partsong.pool.purse import Purse, PurseWish
from partsong.pool.share import Share
from partsong.pool.waits import Waited
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.notices import Notices
from partsong_actors.bulk import Lender
from partsong_actors.coalesce import Coalescer
from partsong_actors.membership import Membership, StalePoolsError
from partsong_actors.news import Lease, PoolNews, Recruit, Wish
from partsong_actors.pool import _ModelPool
from partsong_actors.remote_worker import RemoteWorker

__all__ = ["PoolClient"]

_TIDIES_EVERY_S = 1.0
_EMBEDDED = frozenset({"local"})
"""Adapters whose model is in the worker's process: a call to one on this node crosses no network at all."""
_LOOKS_EVERY_S = 0.1
"""How often a worker that is left is looked at: whether all that was sent there is done."""


class PoolClient:
    """One caller's; the pools may know several of the same system."""

    def __init__(self, actor: "ActorProxy[_ModelPool]", caller: str, mesh: Mesh, clock: Clock) -> None:
        self._actor = actor
        self._caller = caller
        self._clock = clock
        self._born = uuid.uuid4().hex
        self._membership: Membership[PoolNews] = Membership(self, self._hear)
        self._wishes: Coalescer[Wish, None] = Coalescer(self._send)
        self._links: dict[str, RemoteWorker] = {}
        self._lender = Lender()
        self._workers: dict[str, list[RemoteWorker]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._node = ray.get_runtime_context().get_node_id()
        self._told_waits: dict[str, Waited] = {}
        self._epoch = 0
        self._alone_for_s = 0.0
        self._alone_since_s: float | None = None
        self.tell = Notices(self._notice, clock.now_s)
        """Tells the user, by way of the pools' process and whoever started the engine."""
        self.callers = {name: self._of(name, spec, mesh.limits(name)) for name, spec in mesh.models.items()}
        """By model; a model that the mesh file gets later is added."""

    @property
    def unsent(self) -> int:
        """Wishes that wait for an earlier message to come back."""
        return self._wishes.queued

    @property
    def unsent_calls(self) -> int:
        """Calls, and cancellations, that wait for an earlier message to their worker to come back."""
        return sum(worker.unsent for worker in list(self._links.values()))

    async def listen(self) -> None:
        """Pass on the pools' news, whatever becomes of their process; runs until cancelled.

        Raises what ended it: RayError when the pools are gone for good. Nobody hears of permits any more then: `lose` tells those who wait.
        """
        tidying = asyncio.create_task(self._tidied())
        try:
            await asyncio.gather(self._membership.keep(), tidying)
        finally:
            for task in (tidying, *self._leaving):
                task.cancel()

    def lose(self, error: Exception) -> None:
        """Fail all calls from now on: there is nobody any more who would lease them anything."""
        what = f"the process of the model pools is gone, or not understood ({type(error).__name__})"
        for caller in self.callers.values():
            lost = EngineError("pool-lost", what, remedy="see Ray's logs; the run can be resumed")
            caller.share.lose(lost)
            caller.purse.lose(lost)

    async def leave(self) -> None:
        """Tell the pools that this caller ends, so that nobody waits for it; not while calls are in flight: what they hold stays theirs."""
        if any(caller.share.busy for caller in self.callers.values()):
            return
        with suppress(RayError):
            await self._actor.leave.remote(self._caller, self._membership.life)

    async def join(self, life: str) -> None:
        """See PoolLine. What calls wait for is wanted anew, under the new life."""
        self._alone_since_s = self._clock.now_s() if self._alone_since_s is None else self._alone_since_s
        leases = {model: Lease(*caller.share.renew()) for model, caller in self.callers.items()}
        standings = [standing for caller in self.callers.values() for standing in caller.purse.standings()]
        waits = [wish for caller in self.callers.values() for wish in caller.purse.waits()]
        for wish in waits:
            self._wishes.put(Wish(life, wish.model, purse=wish))
        welcome = await self._actor.join.remote(self._caller, life, self._born, leases, standings)
        if welcome.epoch < self._epoch:
            raise StalePoolsError
        self._epoch, self._alone_for_s, self._alone_since_s = welcome.epoch, welcome.alone_for_s, None
        for caller in self.callers.values():
            caller.share.pause(False)

    def news(self, life: str) -> Awaitable[Sequence[PoolNews] | None]:
        """See PoolLine."""
        return self._actor.news.remote(self._caller, life)

    async def _tidied(self) -> None:
        """Every second, give back what is leased ahead and idle, which another may wait for, and tell how long calls wait."""
        while True:
            await self._clock.sleep(_TIDIES_EVERY_S)
            for model, caller in self.callers.items():
                caller.purse.give_back_ahead()
                waited = caller.waited()
                if not waited.idle or not self._told_waits.get(model, waited).idle:
                    self._wishes.put(Wish(self._membership.life, model, waited=waited))
                self._told_waits[model] = waited
            self._stop_if_alone()

    def _stop_if_alone(self) -> None:
        """Away from the pools for too long, make no new call: their successors may lease what is held here to others."""
        if self._alone_for_s and self._alone_since_s is not None and self._clock.now_s() - self._alone_since_s >= self._alone_for_s:
            for caller in self.callers.values():
                caller.share.pause(True)

    def _of(self, name: str, spec: ModelSpec, limited: bool) -> Caller:
        purse = Purse(name, self._wish, metered=limited, looks_ahead=True, now_s=self._clock.now_s)
        return Caller(name, spec, Share(self._exchange(name), self._clock.now_s), purse, self._clock, self.tell, _most_in_flight(spec))

    def _hear(self, news: PoolNews) -> None:
        caller = self.callers.get(news.model)
        if news.kind == "spec":
            self._change(caller, news)
        elif caller is None:
            return  # its model was taken out meanwhile
        elif news.kind in ("granted", "recalled", "keep", "workers", "leave", "failed", "again"):
            self._hear_of_workers(caller, news)
        else:
            self._hear_of_limits(caller, news)

    def _hear_of_workers(self, caller: Caller, news: PoolNews) -> None:
        match news.kind:
            case "granted":
                caller.share.granted(news.count)
            case "recalled":
                caller.share.recalled(news.count)
            case "keep":
                caller.share.keep_idle(bool(news.count))
            case "workers":
                self._workers[news.model] = [self._link(news.model, recruit) for recruit in news.recruits]
                self._use(news.model)
                if news.recruits:
                    caller.share.staffed()
            case "leave":
                leaving = asyncio.create_task(self._left(news.model, news.recruits[0]))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
            case "again":
                caller.share.staffed()
            case _:
                assert news.error is not None
                caller.share.fail(news.error)

    def _hear_of_limits(self, caller: Caller, news: PoolNews) -> None:
        match news.kind:
            case "leased":
                caller.purse.leased(news.run, news.count)
            case "ahead":
                caller.purse.leased_ahead(news.run, news.amounts, news.count)
            case "refused":
                assert news.failure is not None
                caller.purse.refused(news.run, news.failure)
            case _:
                raise AssertionError(f"a caller starts no workers, talks to no user, and is told {news.kind}")

    def _change(self, caller: Caller | None, news: PoolNews) -> None:
        """The model's entry is another from now on; one that is no longer there answers nobody."""
        if caller is not None and news.spec is None:
            what = f"models.{news.model} was taken out of the running system"
            caller.share.fail(EngineError("model-removed", what, remedy="put it back, or ask another model"))
        elif caller is not None and news.spec is not None:
            caller.change(news.spec, _most_in_flight(news.spec))
            caller.purse.metered = news.limited
            caller.share.staffed()  # whatever kept its workers from starting, they are tried anew
        elif news.spec is not None:
            gate = next((other.gate for other in self.callers.values()), None)
            self.callers[news.model] = self._of(news.model, news.spec, news.limited)
            self.callers[news.model].gate = gate

    def _use(self, model: str) -> None:
        """Send calls to the workers that are up; with none up they wait for one to be back."""
        workers = self._workers[model]
        near = [worker for worker in workers if worker.near] if self.callers[model].spec.adapter in _EMBEDDED else []
        self.callers[model].use([worker for worker in workers if worker.up] or [*workers], near)

    async def _left(self, model: str, recruit: Recruit) -> None:
        """Tell when nothing of this caller is at the worker any more, which gets no new calls by now."""
        link = self._links.get(recruit.key)
        while link is not None and link.pending:
            await self._clock.sleep(_LOOKS_EVERY_S)
        self._links.pop(recruit.key, None)
        self._wishes.put(Wish(self._membership.life, model, left=recruit.key))

    def _link(self, model: str, recruit: Recruit) -> RemoteWorker:
        key = recruit.key
        if key not in self._links:
            self._links[key] = RemoteWorker(recruit.actor, lambda: self._turned(model, key), self._lender)
        self._links[key].near = recruit.node == self._node
        return self._links[key]

    def _turned(self, model: str, key: str) -> None:
        """A worker went down, or is up again."""
        if (link := self._links.get(key)) is None:
            return  # it was left
        self._use(model)
        if not link.up:
            doing = "it is waited for, and its calls are made again"
            self.tell(Notice(code="worker-lost", where=model, what="a worker's process died or stands still", doing=doing))

    def _exchange(self, model: str) -> Callable[[int, int], None]:
        def exchange(want: int, give_back: int) -> None:
            self._wishes.put(Wish(self._membership.life, model, want, give_back))

        return exchange

    def _wish(self, wish: PurseWish) -> None:
        self._wishes.put(Wish(self._membership.life, wish.model, purse=wish))

    def _notice(self, notice: Notice) -> None:
        self._wishes.put(Wish(self._membership.life, notice.where, notice=notice))

    async def _send(self, wishes: Sequence[Wish]) -> Sequence[None]:
        life = wishes[-1].life  # the latest; those of earlier lives were told by its joining
        current = [wish for wish in wishes if wish.life == life]
        await self._membership.tell(life, lambda: self._actor.exchange.remote(self._caller, life, current))
        return [None] * len(wishes)


def _most_in_flight(spec: ModelSpec) -> int:
    """Return how many calls all workers together may have, and on their way to them."""
    return spec.workers.max * (spec.concurrency + spec.concurrency // 2)
