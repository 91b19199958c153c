"""Staff: starts the workers that the pools order, watches them and their nodes, and ends those that were drained.

On a system that ends with its driver it lives in the driver's process and owns the workers; on a lasting one it is an actor of its own, its
workers are detached, and found again by their names when it is restarted. It knows what is, the pools decide what should be.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import ray
from ray.actor import ActorHandle, ActorProxy
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from partsong.contracts import ModelSpec, Notice
from partsong.errors import EngineError, PartsongError
from partsong.pool.built import built_from
from partsong.work.notices import Notices, Tell, logged
from partsong_actors.again import again
from partsong_actors.beside import beside
from partsong_actors.listeners import Listeners
from partsong_actors.membership import Membership
from partsong_actors.memory_watch import end_without_memory
from partsong_actors.news import STAFF, PoolNews, Recruit, Staffing, WorkerReport, key_of
from partsong_actors.nodes import Nodes, no_node_comes, room, waits_for_a_node
from partsong_actors.pool import _ModelPool
from partsong_actors.present import present
from partsong_actors.setup import Placement, Setup
from partsong_actors.worker import ModelWorker, Opened, _ModelWorker

__all__ = ["Staff", "StaffActor"]

_DIED = Notice(
    code="pools-died",
    where="pools",
    what="their process died, or did not answer",
    doing="it is started again and told what every caller holds; calls in flight go on",
)
_STARTS_WITHIN_S = 60.0
"""How long a worker may die again and again while it opens its model, from the first time on."""
_AWAY_AFTER_S = 5.0
"""How long a worker's process may be away before the pools reckon without it: Ray restarts one on a living node sooner."""
_PLACED_WITHIN_S = 5.0
"""From when on it is looked into why a worker is not there yet."""
_CLOSES_WITHIN_S = 10.0
_LOOKS_EVERY_S = 2.0
"""How often nodes are looked at: whether any is going away."""
_ANSWERS_WITHIN_S = 5.0
"""How long workers that are found again may take to say what they are; the others count as starting."""

_NOT_TOLD = (RayError, OSError, RuntimeError)
"""What Ray's state raises while the head is away."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Post:
    """A worker that was started."""

    model: str
    actor: "ActorProxy[_ModelWorker]"
    built: str
    opened: Opened | None = None
    """None while it is starting."""
    leaving: bool = False
    away: bool = False
    """Whether its process has been away for so long that the pools reckon without it."""
    told_to_leave: bool = False
    """Whether the pools have been told that its node is going away."""

    @property
    def key(self) -> str:
        return key_of(self.actor)

    @property
    def recruit(self) -> Recruit | None:
        """Return what the pools are told of it, once it takes calls."""
        opened = self.opened
        return None if opened is None else Recruit(self.actor, opened.concurrency, opened.built, opened.node, self.leaving, self.away)


class Staff:
    """All workers of one system."""

    def __init__(
        self, pool: "ActorProxy[_ModelPool]", setup: Setup, models: Mapping[str, ModelSpec], secrets: Mapping[str, str], tell: Tell
    ) -> None:
        self._pool = pool
        self._setup = setup
        self._models = models
        self._secrets = secrets
        self._tell = Notices(tell, time.monotonic)
        self._posts: dict[str, _Post] = {}
        self._number = 0
        self._failed: dict[str, PartsongError] = {}
        self._tasks = asyncio.TaskGroup()
        self._membership: Membership[PoolNews] = Membership(self, self._hear)
        self._nodes = Nodes()
        self._joined = False

    @property
    def workers(self) -> "Sequence[ActorProxy[_ModelWorker]]":
        """Every worker that is not ended."""
        return [post.actor for post in self._posts.values()]

    async def work(self) -> None:
        """Follow the pools' orders; runs until cancelled. Raises, as a group, what ended it: then nobody starts or watches workers."""
        async with self._tasks:
            self._tasks.create_task(self._watch_nodes())
            await self._find()
            await self._membership.keep()

    def join(self, life: str) -> Awaitable[None]:
        """See PoolLine. To join again is to have lost the pools."""
        if self._joined:
            self._tell(_DIED)
        self._joined = True
        return self._pool.staff.remote(life, {model: self._staffing(model) for model in {*self._models, *self._manned}})

    def news(self, life: str) -> Awaitable[Sequence[PoolNews] | None]:
        """See PoolLine."""
        return self._pool.news.remote(STAFF, life)

    async def close(self) -> None:
        """Close all workers and end their actors."""
        await asyncio.gather(*(self._ended(post) for post in list(self._posts.values())))

    @property
    def _manned(self) -> frozenset[str]:
        return frozenset(post.model for post in self._posts.values())

    def _staffing(self, model: str) -> Staffing:
        posts = [post for post in self._posts.values() if post.model == model]
        recruits = tuple(post.recruit for post in posts if post.recruit is not None)
        return Staffing(recruits, sum(post.recruit is None for post in posts), self._failed.get(model))

    def _hear(self, news: PoolNews) -> None:
        match news.kind:
            case "notice":
                assert news.notice is not None
                self._tell(news.notice)
            case "start":
                self._hire(news.model)
            case "drain":
                if news.key in self._posts:
                    self._posts[news.key].leaving = True
            case "end":
                self._tasks.create_task(self._end(news.key))
            case "change":
                assert news.setup is not None
                self._change(news.setup)
            case _:
                raise AssertionError(f"the staff makes no calls, and is told {news.kind}")

    def _change(self, setup: Setup) -> None:
        """Start workers from this setup from now on; those that wait for a node, or are still being opened, are given up."""
        self._setup, self._models = setup, setup.unpacked().models
        self._failed.clear()
        for key, post in list(self._posts.items()):
            if post.opened is None and (post.model not in self._models or post.built != built_from(self._models[post.model])):
                del self._posts[key]
                _kill(post.actor)
                self._tasks.create_task(self._report(WorkerReport(post.model, "given-up", key)))

    def _hire(self, model: str) -> None:
        if model not in self._models:  # it was taken out meanwhile
            self._tasks.create_task(self._report(WorkerReport(model, "given-up")))
            return
        self._number += 1
        actor = self._placed(model, self._number)
        post = self._posts[key_of(actor)] = _Post(model, actor, built_from(self._models[model]))
        self._tasks.create_task(self._manage(post))

    async def _find(self) -> None:
        """Find the workers that an earlier staff of this system started."""
        system = self._setup.system
        if not system.lasting:
            return
        prefix = f"{system.name}/worker/"
        there = await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True)
        for name in [one["name"] for one in there if one["namespace"] == system.namespace and one["name"].startswith(prefix)]:
            model, _, number = name.removeprefix(prefix).rpartition("/")
            self._number = max(self._number, int(number))
            try:
                actor = await asyncio.to_thread(self._setup.around.actor, name)
            except ValueError:
                continue  # it has just ended
            self._posts[key_of(actor)] = _Post(model, actor, "")
        answers = [asyncio.create_task(self._answered(post)) for post in self._posts.values()]
        if answers:
            await asyncio.wait(answers, timeout=_ANSWERS_WITHIN_S)
        for answer in answers:
            answer.cancel()
        for post in list(self._posts.values()):
            self._tasks.create_task(self._manage(post))

    async def _answered(self, post: _Post) -> None:
        with suppress(RayError, PartsongError):  # `_manage` sees to it
            post.opened = await post.actor.open.remote()

    async def _manage(self, post: _Post) -> None:
        """See a worker through its life: opened, away and back, until it has died for good; drained ones are ended by `_end`."""
        lost = EngineError("worker-start", f"no worker of {post.model} could start: its process died", remedy="see Ray's worker log")
        try:
            if post.opened is None:
                post.opened = await self._placed_and_opened(post, lost)
                self._failed.pop(post.model, None)
                await self._report(WorkerReport(post.model, "ready", post.key, post.recruit))
            while True:
                await self._gone_away(post)
                await self._back(post, lost)
        except (PartsongError, RayError) as error:
            if post.key not in self._posts:
                return
            await self._lose(post, error)

    async def _lose(self, post: _Post, error: Exception) -> None:
        """It could not be started, or has died for good."""
        del self._posts[post.key]
        _kill(post.actor)
        if post.opened is not None:
            _log.error("a worker of %s has died for good: %s", post.model, type(error).__name__)
            await self._report(WorkerReport(post.model, "gone", post.key))
            return
        self._failed[post.model] = failed = _as_own(post.model, error)
        _log.error("a worker of %s did not start: %s", post.model, failed.code)
        await self._report(WorkerReport(post.model, "failed", post.key, error=failed))

    async def _placed_and_opened(self, post: _Post, lost: EngineError) -> Opened:
        """Open it; tell when that takes long because no node takes it. EngineError when no node that could comes for the first time."""
        opening = asyncio.ensure_future(again(post.actor.open.remote, lost, _STARTS_WITHIN_S))
        until_s = math.inf if post.opened is not None else time.monotonic() + self._setup.system.health.node_comes_within_s
        try:
            while not opening.done():
                await asyncio.wait([opening], timeout=_PLACED_WITHIN_S)
                if not opening.done():
                    await self._look_for_a_node(post, until_s)
            return opening.result()
        finally:
            opening.cancel()

    async def _look_for_a_node(self, post: _Post, until_s: float) -> None:
        """Tell of a worker that no node takes; EngineError where none could, and until then none came that can."""
        spec = self._models.get(post.model)
        try:
            if spec is None or not await asyncio.to_thread(self._nodes.unplaced, post.key):
                return
            nodes = await asyncio.to_thread(self._nodes.alive)
        except _NOT_TOLD as error:
            _log.warning("Ray does not say where a worker is: %s", error)
            return
        there = room(spec.resources, nodes)
        if there == "never" and time.monotonic() >= until_s:
            raise no_node_comes(post.model, spec.resources, nodes)
        if there != "now":
            self._tell(waits_for_a_node(post.model, spec.resources, nodes))
        if there == "full":
            await self._report(WorkerReport(post.model, "no-room", post.key))

    async def _gone_away(self, post: _Post) -> None:
        """Return when the process is away; raises RayActorError when it has died for good."""
        with suppress(ActorUnavailableError):
            await post.actor.stay.remote()

    async def _back(self, post: _Post, lost: EngineError) -> None:
        """Wait for the process to be back; when that takes long, let the pools reckon without it."""
        opening = asyncio.ensure_future(self._placed_and_opened(post, lost))
        try:
            await asyncio.wait([opening], timeout=_AWAY_AFTER_S)
            if not opening.done():
                post.away = True
                await self._report(WorkerReport(post.model, "away", post.key))
            post.opened = await opening
            post.away = False
            post.told_to_leave = False
        finally:
            opening.cancel()
        await self._report(WorkerReport(post.model, "ready", post.key, post.recruit))

    async def _end(self, key: str) -> None:
        """Close and end a worker that has nothing in flight any more."""
        post = self._posts.get(key)
        if post is not None:
            await self._ended(post)
            await self._report(WorkerReport(post.model, "gone", key))

    async def _ended(self, post: _Post) -> None:
        self._posts.pop(post.key, None)
        try:
            async with asyncio.timeout(_CLOSES_WITHIN_S):
                await post.actor.close.remote()
        except (TimeoutError, RayError):
            pass  # what hangs is ended all the same
        _kill(post.actor)

    async def _report(self, report: WorkerReport) -> None:
        life = self._membership.life
        await self._membership.tell(life, lambda: self._pool.reported.remote(life, [report]))

    async def _watch_nodes(self) -> None:
        """Have the workers of a node that is going away drained, and others started elsewhere."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            try:
                leaving = await asyncio.to_thread(self._nodes.leaving)
            except _NOT_TOLD as error:
                _log.warning("Ray does not say which nodes are going away: %s", error)
                continue
            for post in list(self._posts.values()):
                if post.opened is not None and post.opened.node in leaving and not post.leaving and not post.told_to_leave:
                    post.told_to_leave = True
                    doing = "its calls are finished, and another worker is started elsewhere"
                    self._tell(Notice(code="node-leaves", where=post.model, what="a node with a worker of it is going away", doing=doing))
                    await self._report(WorkerReport(post.model, "leaves", post.key))

    def _placed(self, model: str, number: int) -> "ActorProxy[_ModelWorker]":
        spec, system = self._models[model], self._setup.system
        needs = spec.resources
        placement = Placement(cpu=needs.cpu, memory=needs.memory, custom=needs.custom, labels=needs.labels)
        placed = ModelWorker.options(
            **system.kept(system.around.worker(model, number)),
            **placement.options(),
            num_gpus=needs.gpu,
            max_restarts=-1,
            max_task_retries=0,  # Ray must never ask again by itself: a call may be paid
            max_concurrency=2 * spec.concurrency + 1000,
            enable_task_events=False,
        )
        return placed.remote(self._setup.lean, model, self._secrets.get(model))


def _kill(actor: "ActorProxy[_ModelWorker]") -> None:
    assert isinstance(actor, ActorHandle)
    ray.kill(actor)


def _as_own(model: str, error: Exception) -> PartsongError:
    if isinstance(error, PartsongError):
        return error
    cause = error.cause if isinstance(error, RayTaskError) else error
    return EngineError("worker-start", f"no worker of {model} could start ({type(cause).__name__})", remedy="see Ray's worker log")


class _StaffActor:
    """The staff of a lasting system, in a process of its own: it needs nobody who submits, and begins by itself when it is restarted."""

    def __init__(self, setup: Setup) -> None:
        end_without_memory()
        setup.check_version()
        now, around = present(setup), setup.around
        self._staff = Staff(around.actor(around.pools), now, now.unpacked().models, {}, self._tell)
        self._working = beside(self._staff.work())  # Ray makes an async actor within its running loop
        self._listeners = Listeners(time.monotonic)

    @ray.method
    async def ready(self) -> None:
        """Return when it is at work."""

    @ray.method
    async def notices(self, listener: str, within_s: float) -> Sequence[Notice]:
        """See Listeners.heard."""
        return await self._listeners.heard(listener, within_s)

    @ray.method
    async def close(self) -> None:
        """Close all workers and end their actors."""
        self._working.cancel()
        await self._staff.close()

    def _tell(self, notice: Notice) -> None:
        logged(notice)
        self._listeners.tell(notice)


StaffActor = ray.remote(_StaffActor)
"""Made by `StaffActor.options(**system.options("staff", around.staff)).remote(setup)`."""
