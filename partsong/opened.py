"""An open mesh: ask it, or stream rows through it; the same face over every engine."""

import asyncio
import itertools
import logging
import os
import tempfile
import time
import uuid
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from partsong.contracts import Reply, Row, RowRecord, Task, Terms
from partsong.contracts.allowed import Allowed
from partsong.engine import Engine
from partsong.inline import InlineEngine
from partsong.journal.address import open_store
from partsong.journal.port import JournalPort
from partsong.mesh import LoadedMesh, load_mesh, secrets_of
from partsong.mesh.priced import check_priced
from partsong.telemetry import Telemetry
from partsong.work.notices import Tell
from partsong.work.rollouts import KeptRollouts

__all__ = ["OpenMesh", "inline_engine", "open_mesh"]

_log = logging.getLogger(__name__)

_DAY_S = 86_400.0


class OpenMesh:
    """A mesh that answers."""

    def __init__(self, loaded: LoadedMesh, engine: Engine, today: "_Today") -> None:
        self.loaded = loaded
        self._engine = engine
        self._today = today
        self._rollouts = KeptRollouts(loaded.mesh.experiments, engine.journal, _log.warning)
        self._asks = _Rows(engine, Terms(), today, self._rollouts)

    @classmethod
    async def over(cls, loaded: LoadedMesh, engine: Engine) -> Self:
        """Return the mesh on an engine that is started; its journal tells what limits of dollars a day have left, and rollouts came to."""
        opened = cls(loaded, engine, await _Today.told_by(engine.journal) if loaded.mesh.limits_usd else _Today())
        await opened._rollouts.begin()
        return opened

    async def ask(self, question: str | Task, *, use: str | None = None, on_text: Callable[[str], None] | None = None) -> Reply:
        """Answer one question; `use` names a model or plan, else the mesh's routes choose.

        `on_text` gets the answer's text as it comes, where the plan allows it (inline engine only).
        """
        return await self._asks.answer(question, use, on_text)

    async def stream(
        self,
        questions: Iterable[str | Task] | AsyncIterable[str | Task],
        *,
        use: str | None = None,
        concurrency: int | None = None,
        weight: float = 1.0,
        budget_usd: float | None = None,
    ) -> AsyncIterator[Reply]:
        """Answer many, yielding replies in the order of the questions; no more than `concurrency` are under way or waiting to be taken.

        Streams at work at the same time share the models by `weight`. BudgetError comes before the call that could pass `budget_usd`;
        MeshError before the first one, when a model that may be asked has no price.
        """
        if budget_usd is not None:
            check_priced(self.loaded.mesh, use)
        rows = _Rows(self._engine, Terms(weight=weight, budget_usd=budget_usd), self._today, self._rollouts)
        window = concurrency or self._engine.concurrency
        under_way: deque[asyncio.Task[Reply]] = deque()
        try:
            async for question in _each(questions):
                under_way.append(asyncio.create_task(rows.answer(question, use)))
                if len(under_way) >= window:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            rows.end()


@dataclass(frozen=True, slots=True)
class _Today:
    """What was spent on the day on which the mesh was opened, before it was: by model, all runs in the same store."""

    usd: Mapping[str, float] = field(default_factory=dict)
    ends_s: float = 0.0

    @classmethod
    async def told_by(cls, journal: JournalPort) -> Self:
        now_s = time.time()
        midnight_s = now_s - now_s % _DAY_S
        return cls(await journal.spent(None, midnight_s), midnight_s + _DAY_S)

    def within(self, terms: Terms) -> Terms:
        """Return the terms with it, as long as it is today's."""
        return terms.model_copy(update={"today_usd": dict(self.usd)}) if self.usd and time.time() < self.ends_s else terms


class _Rows:
    """The rows of one run, numbered as they come."""

    def __init__(self, engine: Engine, terms: Terms, today: _Today, rollouts: KeptRollouts) -> None:
        self._engine = engine
        self._terms = terms
        self._today = today
        self._rollouts = rollouts
        self._run = f"open-{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count()

    def end(self) -> None:
        """No more will come."""
        self._engine.over(self._run)

    async def answer(self, question: str | Task, use: str | None, on_text: Callable[[str], None] | None = None) -> Reply:
        number = next(self._numbers)
        task = Task.of(question, id=str(number)) if isinstance(question, str) else question
        if use is not None:
            task = task.model_copy(update={"use": use})
        row = Row(run=self._run, row=number, task=task, terms=self._today.within(self._terms), shares=self._rollouts.shares)
        reply = (await self._engine.answer(row, on_text)).reply
        if self._rollouts:
            await self._rollouts.saw(RowRecord(run=row.run, row=number, custom_id=task.id, task=task, reply=reply))
        return reply


@asynccontextmanager
async def inline_engine(
    loaded: LoadedMesh, folder: Path, *, secrets: Mapping[str, str], tell: Tell | None = None
) -> AsyncIterator[InlineEngine]:
    """Start the inline engine with its store and telemetry in the folder, or where the mesh file says."""
    store = open_store(loaded.mesh.store.url or "sqlite:///journal.db", folder, segments=loaded.mesh.store.segments)
    try:
        telemetry = Telemetry.start(loaded.mesh.telemetry, "partsong", folder)
    except BaseException:
        store.close()
        raise
    try:
        engine = InlineEngine(
            loaded.mesh, store, folder=loaded.folder, secrets=secrets, telemetry=telemetry, allowed=loaded.allowed, tell=tell
        )
        async with engine:
            yield engine
    finally:
        telemetry.close()


@asynccontextmanager
async def open_mesh(path: str | Path, *, env: Mapping[str, str] | None = None, allowed: Allowed | None = None) -> AsyncIterator[OpenMesh]:
    """Open a mesh file in this process, without Ray. Without a `store` in it, the journal is temporary.

    `env` is where secrets are looked up; the process's own environment when not given. `allowed` is what the file may do beyond its own
    folder; by default what `PARTSONG_ALLOW` in `env` says. Raises MeshError with every problem of the file.
    """
    surroundings = os.environ if env is None else env
    loaded = load_mesh(path, env=surroundings, allowed=allowed)
    secrets = secrets_of(loaded.mesh.models, surroundings, loaded.folder, loaded.allowed)
    with tempfile.TemporaryDirectory(prefix="partsong-") as scratch:
        folder = Path(scratch) if loaded.mesh.store.url is None else loaded.folder
        async with inline_engine(loaded, folder, secrets=secrets) as engine:
            yield await OpenMesh.over(loaded, engine)


async def _each(items: Iterable[str | Task] | AsyncIterable[str | Task]) -> AsyncIterator[str | Task]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
