"""Session: one stretch of work at a run: the folder claimed, the run begun or found again, the engine started, rows worked, summed up."""

import asyncio
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from partsong.contracts import Notice
from partsong.engine import Engine
from partsong.errors import Place, RunError
from partsong.journal.port import JournalPort
from partsong.journal.salvage import set_aside_if_damaged
from partsong.journal.store import RunInfo
from partsong.mesh import LoadedMesh
from partsong.routing.experiments import recorded_runs
from partsong.routing.rollout import Stopped
from partsong.work.rollouts import KeptRollouts
from partsong_cluster.batch.attempts import Attempts
from partsong_cluster.batch.folder import JOURNAL, LEDGER, MANIFEST, SNAPSHOT, Manifest, RunFolder
from partsong_cluster.batch.ingest import InputRules
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.mending import check_new, found_manifest, mend_ledger
from partsong_cluster.batch.output import Output
from partsong_cluster.batch.places import FileKind, fingerprint, input_files
from partsong_cluster.batch.remote_results import RemoteResults
from partsong_cluster.batch.results import OUTPUT, LocalResults, Results
from partsong_cluster.batch.run import BatchRun, Limits, RunInput, Watcher
from partsong_cluster.batch.stop import Outcome, Stop
from partsong_cluster.batch.summary import SUMMARY, summary, write_summary

__all__ = ["RunOrder", "Session"]


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What a user asks for."""

    mesh: str
    """The mesh file, as it was named."""
    input: str
    folder: Path
    """Of this machine: lock, ledger, the journal of a mesh that names none; and the results, unless `output` says otherwise."""
    output: str | None = None
    """URL of the folder where the results go; None: `folder`."""
    run: str | None = None
    """The run's name where others know it already, so that it goes on in any folder from what the store holds; None: the folder says."""
    input_kind: FileKind | None = None
    rules: InputRules = field(default_factory=InputRules)
    use: str | None = None
    limits: Limits = field(default_factory=Limits)
    fresh: bool = False
    accept_changes: bool = False
    output_format: Literal["jsonl", "parquet"] = "jsonl"

    @property
    def place(self) -> str:
        """Where the results go, as it is shown."""
        return str(self.folder) if self.output is None else self.output.rstrip("/")

    def results(self) -> Results:
        """Return where the results go."""
        return LocalResults(self.folder) if self.output is None else RemoteResults(self.output)


StartEngine = Callable[[], AbstractAsyncContextManager[Engine]]


def _one() -> float:
    return 1.0


def _only_said(_stop: Stopped) -> None:
    pass


@dataclass(frozen=True)
class Session:
    """Works at a run until it is done or something stops it."""

    order: RunOrder
    loaded: LoadedMesh
    start_engine: StartEngine
    watcher: Watcher
    stop: Stop
    weight: Callable[[], float] = _one
    """Returns the run's share beside other runs on the same engine, as it is now."""
    stops: Collection[str] = ()
    """Rollouts that stopped themselves where the journal does not tell."""
    stopped: Callable[[Stopped], None] = _only_said
    """Hears of a rollout that stops itself; the watcher does in any case."""

    async def work(self) -> dict[str, Any]:
        """Return the run's summary, which stands among its results too."""
        files = await self._reading.make(input_files, self.order.input, self.order.input_kind)
        input_hash = await asyncio.to_thread(fingerprint, files)
        folder = RunFolder.claim(self.order.folder)
        try:
            manifest, forgotten = self._manifest(folder, input_hash)
            told = manifest.model_dump_json().encode()
            await self.attempts.make(self.results.own, manifest.run, told, fresh=self.order.fresh)
            await self.add(folder.path / SNAPSHOT)
            async with self.start_engine() as engine:
                if forgotten is not None:
                    for run in recorded_runs(forgotten, self.loaded.mesh.experiments):
                        await engine.journal.forget(run)
                manifest = await self._as_begun(manifest, engine.journal)
                ledger = Ledger(folder.path / LEDGER)
                try:
                    await mend_ledger(ledger, engine.journal, manifest.run, self._tell)
                    ledger.keep_manifest(manifest.model_dump(mode="json"))
                    return await self._worked(engine, manifest, ledger, RunInput(files, self.order.rules, self.order.use))
                finally:
                    ledger.close()
        finally:
            folder.release()

    async def add(self, path: Path) -> None:
        """Put a file of the run's folder among the results."""
        await self.put(path.name, path)

    async def put(self, name: str, path: Path) -> None:
        """Put a file among the results under this name."""
        await self.attempts.make(self._put, name, path)

    async def drop(self, name: str) -> None:
        """Delete the file of this name from the results."""
        await self.attempts.make(self._drop, name)

    @cached_property
    def results(self) -> Results:
        """Where the results go."""
        return self.order.results()

    @cached_property
    def attempts(self) -> Attempts:
        """How that place is spoken to."""
        return Attempts(self.results.name, self.stop, self._tell, self.order.limits.grace_s)

    @cached_property
    def _reading(self) -> Attempts:
        return Attempts(self.order.input, self.stop, self._tell, self.order.limits.grace_s)

    async def _worked(self, engine: Engine, manifest: Manifest, ledger: Ledger, rows: RunInput) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if self.order.limits.deadline_s is not None:
            loop.call_later(self.order.limits.deadline_s, lambda: self.stop.ask(Outcome.DEADLINE, at_once=True))
        info = RunInfo(manifest.run, manifest.mesh_hash, manifest.input_hash, manifest.started_s)
        run = BatchRun(
            engine,
            info,
            Output(self.results, manifest.run, engine.journal, self.attempts, self._tell),
            ledger,
            rows,
            self.order.limits,
            self.stop,
            self.watcher,
            weight=self.weight,
            limits_usd=self.loaded.mesh.limits_usd,
            rollouts=KeptRollouts(self.loaded.mesh.experiments, engine.journal, lambda line: self.watcher.say(f"{line}."), self.stops),
            stopped=self.stopped,
        )
        try:
            outcome = await run.work()
        finally:
            engine.over(manifest.run)
        run.tally.duration_s += loop.time() - began_s
        run.publisher.keep_tally()
        if self.order.output_format == "parquet" and outcome is Outcome.COMPLETE:
            await self.attempts.make(self._put_parquet)
        paid_usd = sum((await engine.journal.spent(manifest.run, 0.0)).values())
        content = summary(manifest, outcome, run.tally, run.unused, run.refused, paid_usd)
        write_summary(self.order.folder, content)
        await self.add(self.order.folder / SUMMARY)
        return content

    def _put(self, name: str, path: Path) -> None:
        with self.results.errors():
            self.results.put(name, path)

    def _drop(self, name: str) -> None:
        with self.results.errors():
            self.results.drop(name)

    def _put_parquet(self) -> None:
        from partsong_cluster.batch.parquet_output import write_parquet

        with self.results.errors():
            path = write_parquet(self.order.folder, self.results.read(OUTPUT))
            self.results.put(path.name, path)

    async def _as_begun(self, manifest: Manifest, journal: JournalPort) -> Manifest:
        """Return the manifest with what the journal knows of how the run was started."""
        begun = await journal.run(manifest.run)
        if begun is None:
            await self.attempts.make(check_new, self.results)
            return manifest
        if self.order.run is None:
            return manifest
        changes = [what for what in ("mesh", "input") if getattr(begun, f"{what}_hash") != getattr(manifest, f"{what}_hash")]
        if changes and not self.order.accept_changes:
            what = f"this run was started otherwise: the {' and the '.join(changes)} changed"
            raise RunError("run-changed", what, at=Place(self.results.name), remedy="put it back as it was, or submit it as a new run")
        return manifest.model_copy(update={"started_s": begun.started_s})

    def _manifest(self, folder: RunFolder, input_hash: str) -> tuple[Manifest, str | None]:
        """Return what the run was started with, and the name of an earlier run whose records are to be forgotten."""
        now = Manifest(
            run=self.order.run or uuid.uuid4().hex[:12],
            mesh=self.order.mesh,
            mesh_hash=self.loaded.hash,
            input=self.order.input,
            input_hash=input_hash,
            use=self.order.use,
            id_column=self.order.rules.shape.columns.id,
            prompt_column=self.order.rules.shape.columns.prompt,
            longest_row_bytes=self.order.rules.longest_row_bytes,
            started_s=time.time(),
            partsong=version("partsong"),
        )
        snapshot = self.loaded.mesh.snapshot()
        before = found_manifest(folder, fresh=self.order.fresh)
        if before is not None and not self.order.fresh:
            return self._continued(folder, before, now, snapshot), None
        folder.empty()
        if self.order.fresh:
            self._set_aside_a_damaged_journal(folder.path)
        folder.begin(now, snapshot)
        return now, None if before is None else before.run

    def _set_aside_a_damaged_journal(self, folder: Path) -> None:
        """See that starting again is possible when the journal is why; one that other runs may share is left alone."""
        if self.loaded.mesh.store.url is not None:
            return
        aside = set_aside_if_damaged(folder / JOURNAL)
        if aside is not None:
            self._tell(Notice(code="journal-set-aside", where=JOURNAL, what="it was damaged", doing=f"it is kept as {aside.name}"))

    def _tell(self, notice: Notice) -> None:
        self.watcher.say(f"{notice}.")

    def _continued(self, folder: RunFolder, before: Manifest, now: Manifest, snapshot: str) -> Manifest:
        changes = folder.changes(before, now, snapshot)
        if not changes:
            if not folder.is_whole():
                folder.begin(before, snapshot)
                self._tell(Notice(code="folder-mended", where=str(folder.path), what=f"{_STARTED} could not be read", doing=_ANEW))
            return before
        if not self.order.accept_changes:
            raise RunError(
                "run-changed",
                f"this run was started otherwise: {'; '.join(changes)}",
                at=Place(str(folder.path)),
                remedy="--fresh starts again; --accept-changes goes on and leaves finished rows as they are; or name another folder",
            )
        if _reading(before) != _reading(now):
            ledger = Ledger(folder.path / LEDGER)
            ledger.start_reading_again()
            ledger.close()
        changed = now.model_copy(update={"run": before.run, "started_s": before.started_s})
        folder.begin(changed, snapshot)
        return changed


_STARTED = f"{MANIFEST} or {SNAPSHOT}"
_ANEW = "both are written anew"


def _reading(manifest: Manifest) -> tuple[object, ...]:
    """Return what decides which rows are found where, under which ids."""
    return manifest.input_hash, manifest.id_column, manifest.prompt_column, manifest.longest_row_bytes
