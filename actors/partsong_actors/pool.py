"""ModelPool: the Ray shell of the pools of one engine, and the face that coordinators use.

All pools of an engine live in one process: a pool is a few counters, a process is a second of start and 60 MB (docs/architecture.md).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayActorError, RayTaskError

from partsong.contracts import ModelSpec
from partsong.errors import EngineError, PartsongError
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import Pool, PoolInstruction
from partsong.pool.share import Share
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong_actors.coalesce import Coalescer
from partsong_actors.remote_worker import RemoteWorker
from partsong_actors.setup import Setup
from partsong_actors.worker import ModelWorker, _ModelWorker

__all__ = ["ModelPool", "PoolClient"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A caller wants more permits of a model, or gives some back."""

    model: str
    want: int
    give_back: int


@dataclass(frozen=True, slots=True)
class _News:
    """What a pool tells one caller."""

    model: str
    kind: Literal["granted", "recalled", "keep", "workers", "failed"]
    count: int = 0
    workers: "tuple[ActorProxy[_ModelWorker], ...]" = ()
    error: PartsongError | None = None


class _ModelPool:
    """Carries out what the pools decide."""

    def __init__(self, setup: Setup, secrets: Mapping[str, str]) -> None:
        self._setup = setup
        self._secrets = secrets
        self._specs = setup.unpacked().models
        self._pools = {name: Pool(spec.workers, spec.concurrency) for name, spec in self._specs.items()}
        self._workers: dict[str, list[ActorProxy[_ModelWorker]]] = {name: [] for name in self._specs}
        self._failed: dict[str, PartsongError] = {}
        self._news: dict[str, asyncio.Queue[_News]] = {}
        self._begun: set[str] = set()
        self._starts: set[asyncio.Task[None]] = set()

    @ray.method
    async def exchange(self, caller: str, wishes: Sequence[_Wish]) -> None:
        """Take a caller's wishes; a model's workers start when it is first wanted."""
        for wish in wishes:
            pool = self._pools[wish.model]
            if wish.model not in self._begun:
                self._begun.add(wish.model)
                self._carry_out(wish.model, pool.begin())
            if wish.give_back:
                self._carry_out(wish.model, pool.give_back(caller, wish.give_back))
            if wish.want:
                self._carry_out(wish.model, pool.want(caller, wish.want))

    @ray.method
    async def news(self, caller: str) -> Sequence[_News]:
        """Return what the caller should know, as soon as there is any."""
        queue = self._queue(caller)
        news = [await queue.get()]
        while not queue.empty():
            news.append(queue.get_nowait())
        return news

    @ray.method
    async def close(self) -> None:
        """Close every worker."""
        for start in self._starts:
            start.cancel()
        workers = [worker for workers in self._workers.values() for worker in workers]
        await asyncio.gather(*[worker.close.remote() for worker in workers], return_exceptions=True)

    def _queue(self, caller: str) -> "asyncio.Queue[_News]":
        if caller not in self._news:
            self._news[caller] = asyncio.Queue()
            for model, pool in self._pools.items():
                self._carry_out(model, pool.join(caller))
            for model, workers in self._workers.items():
                if workers:
                    self._news[caller].put_nowait(_News(model, "workers", workers=tuple(workers)))
            for model, error in self._failed.items():
                self._news[caller].put_nowait(_News(model, "failed", error=error))
        return self._news[caller]

    def _carry_out(self, model: str, instructions: Sequence[PoolInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(caller=caller, count=count):
                    self._queue(caller).put_nowait(_News(model, "granted", count))
                case Recall(caller=caller, count=count):
                    self._queue(caller).put_nowait(_News(model, "recalled", count))
                case KeepIdle(caller=caller, keep=keep):
                    self._queue(caller).put_nowait(_News(model, "keep", int(keep)))
                case _:
                    start = asyncio.create_task(self._start(model))
                    self._starts.add(start)
                    start.add_done_callback(self._starts.discard)

    async def _start(self, model: str) -> None:
        spec = self._specs[model]
        worker = _worker(self._setup, model, spec, self._secrets.get(model))
        try:
            await worker.open.remote()
        except (RayTaskError, RayActorError) as error:
            self._fail(model, error)
            return
        self._workers[model].append(worker)
        self._tell_all(_News(model, "workers", workers=tuple(self._workers[model])))
        self._carry_out(model, self._pools[model].worker_ready())

    def _fail(self, model: str, error: RayTaskError | RayActorError) -> None:
        _log.error("a worker of %s did not start: %s", model, type(error).__name__)
        self._carry_out(model, self._pools[model].worker_gone(was_ready=False))
        if self._workers[model]:
            return
        cause = error.cause if isinstance(error, RayTaskError) else None
        self._failed[model] = (
            cause
            if isinstance(cause, PartsongError)
            else EngineError(
                "worker-start", f"no worker of {model} could start ({type(cause or error).__name__})", remedy="see Ray's worker log"
            )
        )
        self._tell_all(_News(model, "failed", error=self._failed[model]))

    def _tell_all(self, news: _News) -> None:
        for queue in self._news.values():
            queue.put_nowait(news)


def _worker(setup: Setup, model: str, spec: ModelSpec, secret: str | None) -> "ActorProxy[_ModelWorker]":
    placed = ModelWorker.options(
        num_cpus=spec.resources.cpu,
        num_gpus=spec.resources.gpu,
        resources=dict(spec.resources.custom),
        max_restarts=-1,
        max_task_retries=0,  # Ray must never ask again by itself: a call may be paid
        max_concurrency=2 * spec.concurrency + 1000,
    )
    return placed.remote(setup, model, secret)


ModelPool = ray.remote(_ModelPool)


class PoolClient:
    """One caller's side of every pool: its shares of permits and its links to workers."""

    def __init__(self, actor: "ActorProxy[_ModelPool]", caller: str, models: Mapping[str, ModelSpec], clock: Clock) -> None:
        self._actor = actor
        self._caller = caller
        self._wishes: Coalescer[_Wish, None] = Coalescer(self._send)
        self._workers: dict[str, RemoteWorker] = {}
        self.callers = {name: Caller(name, spec, Share(self._exchange(name)), clock) for name, spec in models.items()}

    async def listen(self) -> None:
        """Pass on the pools' news; runs until cancelled."""
        while True:
            for news in await self._actor.news.remote(self._caller):
                self._pass_on(news)

    def _pass_on(self, news: _News) -> None:
        caller = self.callers[news.model]
        match news.kind:
            case "granted":
                caller.share.granted(news.count)
            case "recalled":
                caller.share.recalled(news.count)
            case "keep":
                caller.share.keep_idle(bool(news.count))
            case "workers":
                caller.use([self._link(worker) for worker in news.workers])
            case "failed":
                assert news.error is not None
                caller.share.fail(news.error)

    def _link(self, worker: "ActorProxy[_ModelWorker]") -> RemoteWorker:
        key = worker._actor_id.hex()  # type: ignore[union-attr]  # the one name that survives a handle's copies
        if key not in self._workers:
            self._workers[key] = RemoteWorker(worker)
        return self._workers[key]

    def _exchange(self, model: str) -> Callable[[int, int], None]:
        def exchange(want: int, give_back: int) -> None:
            self._wishes.put(_Wish(model, want, give_back))

        return exchange

    async def _send(self, wishes: Sequence[_Wish]) -> Sequence[None]:
        await self._actor.exchange.remote(self._caller, wishes)
        return [None] * len(wishes)
