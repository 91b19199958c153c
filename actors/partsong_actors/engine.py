"""The Ray engine: the same cores as the inline engine, each in an actor; needs a Ray that is initialised."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray

from partsong.contracts import Notice, Row, RowOutcome
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import EngineError
from partsong.mesh import Mesh
from partsong.telemetry import Telemetry
from partsong.telemetry.levels import MESSAGES_UNSENT
from partsong.work.memory import settle
from partsong.work.notices import Notices, Tell, logged
from partsong_actors.coordinator import CoordinatorActor, RemoteCoordinator
from partsong_actors.journal import JournalActor, JournalClient
from partsong_actors.link import LinkLostError
from partsong_actors.pool import ModelPool
from partsong_actors.setup import Setup, SystemSpec
from partsong_actors.staff import Staff
from partsong_actors.synthesizer import SynthesizerActor

__all__ = ["RayEngine"]

_LIVES = 5
"""Deaths of its coordinator that one row lives through."""

_CLOSES_WITHIN_S = 30.0

_DIED = Notice(
    code="coordinator-died",
    where="coordinator",
    what="its process died",
    doing="it is restarted, and its rows go on from what the journal holds of them",
)


class RayEngine:
    """Answers rows of one mesh over Ray actors, which live as long as it does."""

    def __init__(
        self,
        mesh: Mesh,
        store_url: str,
        run_folder: Path,
        *,
        folder: Path = Path(),
        secrets: Mapping[str, str] | None = None,
        telemetry: Telemetry | None = None,
        system: SystemSpec | None = None,
        mesh_hash: str = "",
        allowed: Allowed = NOTHING,
        tell: Tell | None = None,
    ) -> None:
        """`folder` is where the mesh's relative paths start; `secrets` are the resolved keys by model.

        `system` is the one to make, by default one that ends with this process. `tell` gets notices of what breaks and what is done
        about it; the log gets them without it.
        """
        self._mesh = mesh
        self._system = system or SystemSpec.passing()
        self._setup = Setup(
            mesh=mesh.pack(),
            mesh_hash=mesh_hash,
            folder=str(folder.resolve()),
            store_url=store_url,
            run_folder=str(run_folder.resolve()),
            system=self._system,
            allowed=allowed,
        )
        self._secrets = dict(secrets or {})
        self._telemetry = telemetry or Telemetry.off()
        self._tell = Notices(tell or logged, time.monotonic)
        self._coordinators: list[RemoteCoordinator] = []
        self._journal: JournalClient | None = None
        self._actors: list[Any] = []

    async def __aenter__(self) -> Self:
        system, around = self._system, self._system.around
        names = [around.coordinator(n) for n in range(system.coordinators)]
        journal = JournalActor.options(**system.options("journal", around.journal())).remote(self._setup)
        pool = ModelPool.options(**system.options("pools", around.pools)).remote(self._setup, names, around.journal())
        synthesizer = SynthesizerActor.options(**system.options("synthesizer", around.synthesizer())).remote()
        coordinators = [CoordinatorActor.options(**system.options("coordinator", name)).remote(self._setup, name) for name in names]
        self._actors = [*coordinators, pool, synthesizer, journal]
        self._journal = JournalClient(journal, self._tell)
        self._coordinators = [RemoteCoordinator(actor) for actor in coordinators]
        self._staff = Staff(pool, self._setup, self._mesh.models, self._secrets, self._tell)
        self._staffing = asyncio.create_task(self._staff.work())
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: sum(one.unsent for one in self._coordinators), {"partsong.to": "coordinators"})
        settle()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._staffing.cancel()
        await asyncio.gather(self._staffing, return_exceptions=True)
        closing: list[Awaitable[None]] = [coordinator.close() for coordinator in self._coordinators]
        closing += [worker.close.remote() for worker in self._staff.workers]
        try:
            async with asyncio.timeout(_CLOSES_WITHIN_S):
                await asyncio.gather(*closing, return_exceptions=True)
                await asyncio.gather(self._actors[-1].close.remote(), return_exceptions=True)  # the journal, when nobody writes any more
        except TimeoutError:
            pass  # what hangs is ended all the same, and what was acknowledged is on disk
        for actor in [*self._staff.workers, *self._actors]:
            ray.kill(actor)

    @property
    def journal(self) -> JournalClient:
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

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """See Engine.answer; text is not streamed between actors.

        A coordinator that dies costs nothing but time: the row is answered by its record if it has one already, else it starts again from
        what the journal holds of it.
        """
        coordinator = self._coordinators[row.row % len(self._coordinators)]
        with self._telemetry.span("submit", row.traceparent, {"partsong.row": row.row}) as span:
            row = row.model_copy(update={"traceparent": span.traceparent})
            for _ in range(_LIVES):
                try:
                    return await coordinator.answer(row)
                except LinkLostError:
                    self._tell(_DIED)
                    await coordinator.back()
                    record = await self.journal.row(row.run, row.row)
                    if record is not None:
                        return RowOutcome(row=record.row, custom_id=record.custom_id, reply=record.reply)
                    row = row.model_copy(update={"held": tuple(await self.journal.calls(row.run, row.row, row.row))})
        what = f"row {row.row} lost its coordinator {_LIVES} times"
        raise EngineError("coordinator-lost", what, remedy="see Ray's logs; the run can be resumed")
