"""Staff: starts the workers that the pools order, and owns them, so that workers outlive a pool's process and end with the engine."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayActorError, RayError, RayTaskError

from partsong.contracts import ModelSpec, Notice
from partsong.errors import EngineError, PartsongError
from partsong.work.notices import Tell, logged
from partsong_actors.again import again
from partsong_actors.membership import Membership
from partsong_actors.pool import STAFF, PoolNews, Staffing, _ModelPool
from partsong_actors.setup import Setup
from partsong_actors.worker import ModelWorker, _ModelWorker

__all__ = ["Staff", "StaffActor"]

_DIED = Notice(
    code="pools-died",
    where="pools",
    what="their process died, or did not answer",
    doing="it is started again and told what every caller holds; calls in flight go on",
)
_STARTS_WITHIN_S = 60.0
"""How long a worker may die again and again while it opens its model, from the first time on."""

_log = logging.getLogger(__name__)


class Staff:
    """All workers of one engine; lives in the process that started the engine."""

    def __init__(
        self, pool: "ActorProxy[_ModelPool]", setup: Setup, models: Mapping[str, ModelSpec], secrets: Mapping[str, str], tell: Tell
    ) -> None:
        self._pool = pool
        self._setup = setup
        self._models = models
        self._secrets = secrets
        self._tell = tell
        self._ready: dict[str, list[ActorProxy[_ModelWorker]]] = {model: [] for model in models}
        self._starting: dict[str, int] = dict.fromkeys(models, 0)
        self._failed: dict[str, PartsongError] = {}
        self._starts: set[asyncio.Task[None]] = set()
        self._membership: Membership[PoolNews] = Membership(self, self._hear)
        self._joined = False
        self.workers: list[ActorProxy[_ModelWorker]] = []
        """Every worker ever started."""

    async def work(self) -> None:
        """Follow the pools' orders; runs until cancelled."""
        try:
            await self._membership.keep()
        except RayError:
            _log.exception("the pools are gone")  # callers notice by themselves, and fail what waits
        finally:
            for start in self._starts:
                start.cancel()

    def join(self, life: str) -> Awaitable[None]:
        """See PoolLine. To join again is to have lost the pools."""
        if self._joined:
            self._tell(_DIED)
        self._joined = True
        told = {model: Staffing(tuple(self._ready[model]), self._starting[model], self._failed.get(model)) for model in self._models}
        return self._pool.staff.remote(life, told)

    def news(self, life: str) -> Awaitable[Sequence[PoolNews] | None]:
        """See PoolLine."""
        return self._pool.news.remote(STAFF, life)

    def _hear(self, news: PoolNews) -> None:
        if news.notice is not None:
            self._tell(news.notice)
            return
        assert news.kind == "start"
        self._starting[news.model] += 1
        start = asyncio.create_task(self._start(news.model))
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def _start(self, model: str) -> None:
        worker = self._placed(model)
        self.workers.append(worker)
        lost = EngineError("worker-start", f"no worker of {model} could start: its process died", remedy="see Ray's worker log")
        try:
            await again(worker.open.remote, lost, _STARTS_WITHIN_S)
        except (PartsongError, RayTaskError, RayActorError) as error:
            self._failed[model] = failed = _as_own(model, error)
            _log.error("a worker of %s did not start: %s", model, failed.code)
            await self._hired(model, None, failed)
        else:
            self._ready[model].append(worker)
            await self._hired(model, worker, None)

    async def _hired(self, model: str, worker: "ActorProxy[_ModelWorker] | None", error: PartsongError | None) -> None:
        self._starting[model] -= 1
        life = self._membership.life
        await self._membership.tell(life, lambda: self._pool.hired.remote(life, model, worker, error))

    def _placed(self, model: str) -> "ActorProxy[_ModelWorker]":
        spec = self._models[model]
        placed = ModelWorker.options(
            num_cpus=spec.resources.cpu,
            num_gpus=spec.resources.gpu,
            resources=dict(spec.resources.custom),
            max_restarts=-1,
            max_task_retries=0,  # Ray must never ask again by itself: a call may be paid
            max_concurrency=2 * spec.concurrency + 1000,
            enable_task_events=False,
        )
        return placed.remote(self._setup, model, self._secrets.get(model))


def _as_own(model: str, error: Exception) -> PartsongError:
    if isinstance(error, PartsongError):
        return error
    cause = error.cause if isinstance(error, RayTaskError) else error
    return EngineError("worker-start", f"no worker of {model} could start ({type(cause).__name__})", remedy="see Ray's worker log")


class _StaffActor:
    """The staff of a lasting system, in a process of its own: it needs nobody who submits."""

    def __init__(self, setup: Setup) -> None:
        mesh = setup.unpacked()
        around = setup.around
        self._staff = Staff(around.actor(around.pools), setup, mesh.models, {}, logged)
        self._working: asyncio.Task[None] | None = None

    @ray.method
    async def ready(self) -> None:
        """Begin to follow the pools' orders."""
        if self._working is None:
            self._working = asyncio.create_task(self._staff.work())

    @ray.method
    async def close(self) -> None:
        """Close all workers and end their actors."""
        if self._working is not None:
            self._working.cancel()
        await asyncio.gather(*(worker.close.remote() for worker in self._staff.workers), return_exceptions=True)
        for worker in self._staff.workers:
            ray.kill(worker)


StaffActor = ray.remote(_StaffActor)
"""Made by `StaffActor.options(**system.options("staff", around.staff)).remote(setup)`, told to begin by `ready`."""
