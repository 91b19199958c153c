"""The Ray engine: the same cores as the inline engine, each in an actor; needs a Ray that is initialised."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray

from partsong.contracts import Row, RowOutcome
from partsong.errors import EngineError
from partsong.mesh import Mesh
from partsong.telemetry import Telemetry
from partsong.work.memory import settle
from partsong_actors.coordinator import CoordinatorActor, RemoteCoordinator
from partsong_actors.journal import JournalActor, JournalClient
from partsong_actors.link import LinkLostError
from partsong_actors.pool import ModelPool
from partsong_actors.setup import Setup
from partsong_actors.synthesizer import SynthesizerActor

__all__ = ["RayEngine"]

_MANY = 100_000
"""Concurrent calls an async actor takes: bounded by the callers' windows, not by Ray."""


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
        coordinators: int = 1,
    ) -> None:
        """`folder` is where the mesh's relative paths start; `secrets` are the resolved keys by model."""
        self._mesh = mesh
        self._setup = Setup(mesh=mesh.pack(), folder=str(folder.resolve()), store_url=store_url, run_folder=str(run_folder.resolve()))
        self._secrets = dict(secrets or {})
        self._telemetry = telemetry or Telemetry.off()
        self._shards = coordinators
        self._coordinators: list[RemoteCoordinator] = []
        self._journal: JournalClient | None = None
        self._actors: list[Any] = []

    async def __aenter__(self) -> Self:
        shell = {"num_cpus": 0, "max_concurrency": _MANY}
        self._journal_actor = JournalActor.options(**shell).remote(self._setup)
        self._pool_actor = ModelPool.options(**shell).remote(self._setup, self._secrets)
        self._synthesizer_actor = SynthesizerActor.options(**shell).remote()
        self._journal = JournalClient(self._journal_actor)
        actors = [
            CoordinatorActor.options(**shell).remote(
                self._setup, f"coordinator-{n}", self._journal_actor, self._pool_actor, self._synthesizer_actor
            )
            for n in range(self._shards)
        ]
        self._coordinators = [RemoteCoordinator(actor) for actor in actors]
        self._actors = [*actors, self._pool_actor, self._synthesizer_actor, self._journal_actor]
        settle()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        closing = [coordinator.close() for coordinator in self._coordinators]
        await asyncio.gather(*closing, self._pool_actor.close.remote(), self._journal_actor.close.remote(), return_exceptions=True)
        for actor in self._actors:
            ray.kill(actor)

    @property
    def journal(self) -> JournalClient:
        """See Engine.journal."""
        if self._journal is None:
            raise EngineError("not-started", "the engine is not started", remedy="use it inside `async with`")
        return self._journal

    @property
    def concurrency(self) -> int:
        """See Engine.concurrency."""
        return self._mesh.concurrency

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """See Engine.answer; text is not streamed between actors.

        A coordinator that dies costs nothing but time: the row starts again from what the journal holds of it.
        """
        with self._telemetry.span("submit", row.traceparent, {"partsong.row": row.row}) as span:
            row = row.model_copy(update={"traceparent": span.traceparent})
            for lives in range(3):
                try:
                    return await self._coordinators[row.row % self._shards].answer(row)
                except LinkLostError:
                    await asyncio.sleep(2.0**lives)
                    held = await self.journal.calls(row.run, row.row, row.row)
                    row = row.model_copy(update={"held": tuple(held)})
        raise EngineError(
            "coordinator-lost", f"row {row.row} lost its coordinator three times", remedy="see Ray's logs; the run can be resumed"
        )
