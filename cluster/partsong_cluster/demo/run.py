"""Run: the demo from weights to report; what is done already is taken from its folder."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter
from pydantic_core import from_json

from partsong.adapters.weights import KNOWN, cache_folder, cached
from partsong.contracts import Answer, Reply, Row, RowRecord
from partsong.engine import Engine
from partsong.errors import RunError, WeightsError
from partsong.mesh import LoadedMesh, load_mesh
from partsong.opened import inline_engine
from partsong.plans.plan import Plan
from partsong.telemetry.tree import RowTrace, read_trace
from partsong_cluster.batch.as_task import Shape, as_task
from partsong_cluster.batch.disk import disk_errors, replace_file
from partsong_cluster.batch.finished import finished_rows, manifest_of
from partsong_cluster.batch.places import fingerprint, input_files
from partsong_cluster.batch.run import Limits, Watcher
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Outcome, Stop
from partsong_cluster.demo.parts import WEIGHTS, Lessons, ModelSet, Part, Way, local_part, recorded_part
from partsong_cluster.engines import EngineKind, ray_engine
from partsong_cluster.report import Live, PlanRun, Proved, Section, section_of
from partsong_cluster.report.billed import as_billed

__all__ = ["DemoOrder", "DemoResult", "ModelSet", "Show", "run_demo"]

_LIVE_RUN = "live"
_LIVE_NOTE = "Models this small make mistakes in their prose; what to look at is how the work is divided, and what ran side by side."
_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """What a user asks for."""

    folder: Path
    models: ModelSet = "default"
    engine: EngineKind = "ray"
    fresh: bool = False
    fetch: bool = True
    """Whether weights that are not here may be fetched."""


@dataclass(slots=True)
class DemoResult:
    """What the demo came to."""

    sections: list[Section] = field(default_factory=list)
    proofs: list[Proved] = field(default_factory=list)
    live: Live | None = None
    left_out: list[str] = field(default_factory=list)
    worked_ways: int = 0
    """Runs that were worked now; the others were there."""
    reused_ways: int = 0
    interrupted: bool = False


class Show(Watcher, Protocol):
    """Whoever shows how the demo is doing."""

    def say(self, line: str) -> None:
        """Show a line."""
        ...

    def begin(self, part: Part, way: Way, rows: int) -> None:
        """Rows of this way are about to be worked."""
        ...

    def fetching(self, name: str) -> AbstractAsyncContextManager[Callable[[int, str], None]]:
        """Show weights as they come."""
        ...


async def run_demo(order: DemoOrder, show: Show, stop: Stop) -> DemoResult:
    """Work what is not there yet and return what all of it came to."""
    result = DemoResult()
    parts = [*_part_of_this_machine(await _models(order, show, result), result), recorded_part(learns=_can_learn(result))]
    if order.fresh:
        for part in parts:
            shutil.rmtree(order.folder / part.name, ignore_errors=True)
    async with _Engines(order, show) as engines:
        for part in parts:
            await _Work(part, order, engines, show, stop, result).done()
            if stop.why is not None:
                result.interrupted = True
                return result
    return result


def _part_of_this_machine(models: ModelSet | None, result: DemoResult) -> Iterator[Part]:
    missing = [name for name in ("vaderSentiment", "py3langid") if find_spec(name) is None]
    if missing:
        result.left_out.append(f"Part 1 and 2: {', '.join(missing)} not installed (pip install 'partsong[specialists]').")
        return
    if models is None:
        result.left_out.append("Part 2, the request of several parts: it needs a language model.")
    yield local_part(models)


def _can_learn(result: DemoResult) -> bool:
    missing = [package for name, package in (("sklearn", "scikit-learn"), ("scipy", "scipy")) if find_spec(name) is None]
    if missing:
        result.left_out.append(f"Part 3, what can be learned: {', '.join(missing)} not installed (pip install 'partsong[learn]').")
    return not missing


async def _models(order: DemoOrder, show: Show, result: DemoResult) -> ModelSet | None:
    """Return the largest set of models, up to the one asked for, that is or can be brought here."""
    if find_spec("xllamacpp") is None:
        result.left_out.append("Part 1, language models: xllamacpp is not installed (pip install 'partsong[local]').")
        return None
    wanted: Sequence[ModelSet] = ("full", "default", "small")
    for models in wanted[wanted.index(order.models) :]:
        try:
            await _fetch(WEIGHTS[models], order, show)
        except WeightsError as error:
            result.left_out.append(f"Part 1, models {models!r}: {error.problems[0].what.splitlines()[0]}")
        else:
            return models
    return None


async def _fetch(names: Sequence[str], order: DemoOrder, show: Show) -> None:
    from partsong.adapters.weights import pull

    folder = cache_folder(os.environ)
    for name in names:
        if cached(KNOWN[name], folder) is not None:
            continue
        if not order.fetch:
            raise WeightsError("weights-missing", f"{name} is not in {folder}", remedy=f"fetch it with `partsong models pull {name}`")
        async with show.fetching(name) as progress:
            await asyncio.to_thread(pull, KNOWN[name], folder, progress)


class _Engines:
    """Starts engines as they are needed: Ray once, whatever the number of meshes."""

    def __init__(self, order: DemoOrder, show: Show) -> None:
        self._kind = order.engine
        self._show = show
        self._resources = AsyncExitStack()
        self._has_ray = False

    async def __aenter__(self) -> "_Engines":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._resources.aclose()

    @asynccontextmanager
    async def open(self, loaded: LoadedMesh, folder: Path) -> AsyncIterator[Engine]:
        _make(folder)
        if self._kind == "inline":
            async with inline_engine(loaded, folder, secrets={}) as engine:
                yield engine
            return
        if not self._has_ray:
            from partsong_cluster.ray_runtime import ray_runtime

            self._show.say("Starting Ray; this takes some seconds.")
            await self._resources.enter_async_context(ray_runtime())
            self._has_ray = True
        async with ray_engine(loaded, folder, secrets={}) as engine:
            yield engine


@dataclass(slots=True)
class _Work:
    """One part at work."""

    part: Part
    order: DemoOrder
    engines: _Engines
    show: Show
    stop: Stop
    result: DemoResult

    async def done(self) -> None:
        """Work the ways that are not done yet, then read all of them."""
        loaded = await self._taught(self.part.lessons) if self.part.lessons is not None else load_mesh(self.part.mesh, env={})
        if self.stop.why is not None:
            return
        waiting = [way for way in self.part.ways if not self._is_done(way, loaded)]
        self.result.worked_ways += len(waiting)
        self.result.reused_ways += len(self.part.ways) - len(waiting)
        wants_live = self.part.live is not None and not self._live_file(loaded).exists()
        if waiting or wants_live:
            await self._work(loaded, waiting, wants_live=wants_live)
        if self.stop.why is None:
            self._read(loaded)
        if self.part.lessons is not None and self.stop.why is None:
            await self._prove(loaded, self.part.lessons)

    async def _taught(self, lessons: Lessons) -> LoadedMesh:
        """Have the lessons answered, learn from them, and return the mesh that goes by what was learned."""
        from partsong_cluster.demo.taught import can_promise, is_learned, learn, learned_mesh, promise_note

        base, lesson = load_mesh(self.part.mesh, env={}), replace(self, part=replace(self.part, input=lessons.input))
        folder, known = self._folder / lessons.way.name, self._folder / "learned"
        if not lesson._is_done(lessons.way, base):
            shutil.rmtree(known, ignore_errors=True)
            await lesson._work(base, [lessons.way], wants_live=False)
            if self.stop.why is not None:
                return base
        if not is_learned(known):
            self.show.say("Learning from the answers; this takes some seconds.")
            await asyncio.to_thread(learn, folder, known)
        loaded, learned = learned_mesh(lessons, known)
        ways = (*self.part.ways, *lessons.ways, *((lessons.promised,) if can_promise(learned) else ()))
        self.part = replace(self.part, mesh=lessons.mesh, ways=ways, says=(promise_note(known, lessons.promised.name),))
        return loaded

    async def _prove(self, loaded: LoadedMesh, lessons: Lessons) -> None:
        """Set what was learned beside what the same dollars buy without it; once for each mesh."""
        kept = self._folder / f"proof-{loaded.hash[:12]}.json"
        if not kept.exists():
            self.show.say("Replaying what the same money buys without it.")
            replace_file(kept, (await asyncio.to_thread(self._proved, loaded, lessons.proved)).model_dump_json().encode())
        proved = Proved.model_validate_json(kept.read_bytes())
        lines = (line for line in self.result.sections[-1].lines if not line.single and line.name != lessons.proved.name)
        self.result.proofs.append(proved.model_copy(update={"beside": tuple(lines)}))

    def _proved(self, loaded: LoadedMesh, way: Way) -> Proved:
        from partsong_cluster.evaluate import evaluate
        from partsong_cluster.report.runs import Marker

        found = evaluate([self._folder / one.name for one in self.part.ways], loaded, way.name, way.use, Marker(), lambda _: None)
        about = f"What the money that {way.name} takes buys without it, on the same questions, none of which anything was learned from."
        return Proved(title="Is it worth its money?", about=about, proof=found.proof, doubts=found.doubts)

    @property
    def _folder(self) -> Path:
        return self.order.folder / self.part.name

    @property
    def _traces(self) -> Path:
        return self._folder / "traces"

    def _live_file(self, loaded: LoadedMesh) -> Path:
        return self._folder / f"live-{loaded.hash[:12]}.json"

    def _is_done(self, way: Way, loaded: LoadedMesh) -> bool:
        folder = self._folder / way.name
        try:
            manifest = manifest_of(folder)
            outcome = from_json((folder / "summary.json").read_bytes())["outcome"]
        except (RunError, OSError, ValueError):
            return False
        same = manifest.mesh_hash == loaded.hash and manifest.input_hash == fingerprint(input_files(str(self.part.input)))
        return same and outcome == Outcome.COMPLETE

    async def _work(self, loaded: LoadedMesh, waiting: Sequence[Way], *, wants_live: bool) -> None:
        async with self.engines.open(loaded, self._traces) as engine:
            for way in waiting:
                if self.stop.why is not None:
                    return
                await self._run(way, loaded, engine)
            if wants_live and self.stop.why is None:
                await self._ask_live(loaded, engine)

    async def _run(self, way: Way, loaded: LoadedMesh, engine: Engine) -> None:
        folder = self._folder / way.name
        order = RunOrder(
            mesh=str(self.part.mesh),
            input=str(self.part.input),
            folder=folder,
            use=way.use,
            limits=Limits(rows=self.part.rows, concurrency=self.part.concurrency),
            fresh=self._is_another(folder, loaded),
        )
        self.show.begin(self.part, way, self.part.rows or _rows_in(self.part))
        await Session(order, loaded, partial(_lent, engine), self.show, self.stop).work()

    def _is_another(self, folder: Path, loaded: LoadedMesh) -> bool:
        """Return whether the folder holds a run of another mesh or input, as another version of the demo leaves it."""
        try:
            manifest = manifest_of(folder)
        except RunError:
            return False
        rows = str(self.part.input)
        return (manifest.mesh_hash, manifest.input, manifest.input_hash) != (loaded.hash, rows, fingerprint(input_files(rows)))

    async def _ask_live(self, loaded: LoadedMesh, engine: Engine) -> None:
        assert self.part.live is not None
        self.show.say("One request of several parts, taken apart and worked in parallel.")
        fields = from_json(self.part.live.read_bytes())
        task = as_task(fields, str(fields["id"]), Shape())
        outcome = await engine.answer(Row(run=f"{_LIVE_RUN}-{time.time_ns()}", row=0, task=task))
        replace_file(self._live_file(loaded), _REPLY.dump_json(outcome.reply))

    def _read(self, loaded: LoadedMesh) -> None:
        plans = loaded.mesh.plans
        runs = [PlanRun(way.name, way.about, partial(_records, self._folder / way.name, plans), way.single) for way in self.part.ways]
        self.result.sections.append(
            section_of(
                self.part.title,
                self.part.about,
                self.part.unit,
                runs,
                strong=self.part.strong,
                traces=self._traces,
                shows_latency=self.part.shows_latency,
                says=self.part.says,
                notes=self.part.notes,
            )
        )
        if self.part.live is not None:
            self.result.live = self._live(self.part.live, self._live_file(loaded))

    def _live(self, request: Path, answered: Path) -> Live:
        fields = from_json(request.read_bytes())
        reply = _REPLY.validate_json(answered.read_bytes())
        trace_id = reply.trace_id if isinstance(reply, Answer) else ""
        return Live(request=fields["prompt"], reply=reply, trace=_trace(self._traces, str(fields["id"]), trace_id), note=_LIVE_NOTE)


def _make(folder: Path) -> None:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _rows_in(part: Part) -> int:
    (file,) = input_files(str(part.input))
    with file.open() as source:  # type: ignore[attr-defined]
        return sum(1 for _ in source)


@asynccontextmanager
async def _lent(engine: Engine) -> AsyncIterator[Engine]:
    yield engine


def _records(folder: Path, plans: Mapping[str, Plan]) -> Iterator[RowRecord]:
    return (as_billed(record, plans) for record in finished_rows(folder))


def _trace(folder: Path, custom_id: str, trace_id: str) -> RowTrace | None:
    try:
        return read_trace(folder, custom_id, trace_id or None)
    except RunError:
        return None
