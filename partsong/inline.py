"""The inline engine: every core wired in this one process; starts at once, needs no Ray."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from partsong.adapters.adapter import Surroundings
from partsong.adapters.discreet import adapter_of
from partsong.contracts import ModelSpec, Row, RowOutcome
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import EngineError, PartsongError
from partsong.journal.away import away_notice
from partsong.journal.journal import Journal
from partsong.journal.store import Store
from partsong.mesh import Mesh
from partsong.pool.limiter import Ahead, Leased, Limiter, LimitInstruction, Refused
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import DrainWorker, Hand, Pool, PoolInstruction, StartWorker
from partsong.pool.purse import Purse, PurseWish
from partsong.pool.share import Share
from partsong.telemetry import Telemetry
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.coordinator import Coordinator
from partsong.work.metering import Metering
from partsong.work.notices import Notices, Tell, logged
from partsong.work.seats import WorkerHandle
from partsong.work.synthesizer import Synthesizer
from partsong.work.watched import watch_journal
from partsong.work.worker import Worker

__all__ = ["Hire", "InlineEngine"]

Hire = Callable[[str, ModelSpec], WorkerHandle]

_log = logging.getLogger(__name__)

_CALLER = "inline"
_LOOKS_EVERY_S = 1.0
"""How often a pool looks at how long calls wait."""


class InlineEngine:
    """Answers rows of one mesh in this process. Workers start when their model is first asked."""

    def __init__(
        self,
        mesh: Mesh,
        store: Store,
        *,
        folder: Path = Path(),
        secrets: Mapping[str, str] | None = None,
        telemetry: Telemetry | None = None,
        clock: Clock | None = None,
        allowed: Allowed = NOTHING,
        tell: Tell | None = None,
        hire: Hire | None = None,
    ) -> None:
        """`folder` is where the mesh's relative paths start; `secrets` are the resolved keys by model.

        `tell` gets notices of what breaks and what is done about it; the log gets them without it. `hire` brings workers in the place of
        those that make calls by the models' adapters.
        """
        self._mesh = mesh
        self._store = store
        self._folder = folder
        self._secrets = secrets or {}
        self._allowed = allowed
        self._telemetry = telemetry or Telemetry.off()
        self._clock = clock or Clock()
        self._tell = Notices(tell or logged, self._clock.now_s)
        self._hire = hire
        self._resources = AsyncExitStack()
        self._metering: Metering | None = None
        self._coordinator: Coordinator | None = None
        self._journal: Journal | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        waiting = Journal(self._store, away=lambda error: loop.call_soon_threadsafe(self._tell, away_notice(error)))
        self._journal = await self._resources.enter_async_context(waiting)
        watch_journal(self._telemetry, lambda: self._journal)
        pools = {name: _InlinePool(name, spec, self) for name, spec in self._mesh.models.items()}
        for pool in pools.values():
            self._resources.push_async_callback(pool.close)
        callers = {name: pool.caller for name, pool in pools.items()}
        self._metering = Metering(Limiter(self._mesh.models, self._mesh.accounts), self._clock, partial(_handed_out, callers))
        self._metering.watched(self._telemetry)
        self._resources.callback(self._metering.close)
        self._coordinator = Coordinator.of(self._mesh, callers, Synthesizer(), self._journal, self._telemetry, self._clock)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._coordinator is not None:
                await self._coordinator.close()  # its shadows need the workers, which were opened later
        finally:
            await self._resources.aclose()

    @property
    def journal(self) -> Journal:
        """See Engine.journal."""
        if self._journal is None:
            raise EngineError("not-started", "the engine is not started", remedy="use it inside `async with`")
        return self._journal

    @property
    def telemetry(self) -> Telemetry:
        """See Engine.telemetry."""
        return self._telemetry

    @property
    def concurrency(self) -> int:
        """See Engine.concurrency."""
        return self._mesh.concurrency

    def over(self, run: str) -> None:
        """See Engine.over."""
        if self._coordinator is not None:
            self._coordinator.over(run)

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """See Engine.answer."""
        if self._coordinator is None:
            raise EngineError("not-started", "the engine is not started", remedy="use it inside `async with`")
        return await self._coordinator.answer(row, on_text)

    def wish(self, wish: PurseWish) -> None:
        """Tell the limiter what a purse wants, or what its calls took."""
        assert self._metering is not None, "calls are made inside `async with`"
        self._metering.take(_CALLER, wish)

    async def start_worker(self, name: str, spec: ModelSpec) -> WorkerHandle:
        """Open one more worker of the model; it is closed with the engine."""
        if self._hire is not None:
            return self._hire(name, spec)
        adapter = adapter_of(spec, Surroundings(name, self._folder, self._secrets.get(name), self._allowed))
        worker = Worker(name, adapter, spec.concurrency, self._telemetry, spec.model)
        self._resources.push_async_callback(worker.close)
        await worker.open()
        return worker


def _handed_out(callers: Mapping[str, Caller], instruction: LimitInstruction) -> None:
    """Pass on what the limiter decides to the one caller that there is."""
    purse, run = callers[instruction.purpose.model].purse, instruction.purpose.run
    match instruction:
        case Leased(count=count):
            purse.leased(run, count)
        case Ahead(amounts=amounts, count=count):
            purse.leased_ahead(run, amounts, count)
        case Refused(failure=failure):
            purse.refused(run, failure)


class _InlinePool:
    """Carries out what a pool decides: grants go straight to the one caller, workers start as tasks, and stay until the engine ends."""

    def __init__(self, name: str, spec: ModelSpec, engine: InlineEngine) -> None:
        self._name = name
        self._spec = spec
        self._engine = engine
        self._now_s = engine._clock.now_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = Pool(spec.workers, spec.concurrency, scale=spec.scale.model_copy(update={"idle": None}))
        self._workers: list[WorkerHandle] = []
        self._begun = False
        limited = engine._mesh.limits(name)
        purse = Purse(name, engine.wish, metered=limited, looks_ahead=False, now_s=self._now_s)
        self.caller = Caller(name, spec, Share(self._exchange, self._now_s), purse, engine._clock, engine._tell)

    def _exchange(self, want: int, give_back: int) -> None:
        if not self._begun:
            self._begun = True
            self._carry_out(self._pool.join(_CALLER, 0, 0, self._now_s()))
            if self._spec.workers.max > max(1, self._spec.workers.min):
                self._begin(self._watched())
        if give_back:
            self._carry_out(self._pool.give_back(_CALLER, give_back))
        if want:
            self._carry_out(self._pool.want(_CALLER, want, self._now_s()))

    def _carry_out(self, instructions: Sequence[PoolInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(count=count):
                    self.caller.share.granted(count)
                case Recall(count=count):
                    self.caller.share.recalled(count)
                case KeepIdle(keep=keep):
                    self.caller.share.keep_idle(keep)
                case StartWorker():
                    self._begin(self._start())
                case DrainWorker():
                    raise AssertionError("in one process no worker is let go")

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watched(self) -> None:
        """Let the pool see every second how long calls wait."""
        while True:
            await self._engine._clock.sleep(_LOOKS_EVERY_S)
            self._pool.heard(_CALLER, self.caller.waited(), self._now_s())
            self._carry_out(self._pool.tick(self._now_s()))

    async def _start(self) -> None:
        try:
            self._workers.append(await self._engine.start_worker(self._name, self._spec))
        except Exception as error:  # noqa: BLE001  an adapter may raise anything while it opens: who waits must hear of it
            self._fail(error)
            return
        self.caller.use(self._workers)
        self.caller.share.staffed()
        self._carry_out(self._pool.worker_ready(Hand(str(len(self._workers)), self._spec.concurrency), self._now_s()))

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, PartsongError):
            _log.error("a worker of %s did not start", self._name, exc_info=error)
            what = f"no worker of {self._name} could start: its adapter raised {type(error).__name__}"
            error = EngineError("worker-start", what, remedy="see the log")
        self._carry_out(self._pool.start_failed(self._now_s()))
        if self._pool.hopeless:
            self.caller.share.fail(error)

    async def close(self) -> None:
        """Stop workers that are still starting."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
