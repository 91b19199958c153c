"""Replay: another plan over recorded traffic, through the same plan code; what was not recorded is said, not guessed."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from partsong.contracts import Answer, Constraints, Failure, FailureCode, Limits, Row, RowRecord, Task, Terms, WorkerRange
from partsong.errors import Place, RunError
from partsong.inline import InlineEngine
from partsong.journal.replayed import ReplayedStore
from partsong.journal.store import RunInfo
from partsong.mesh import LoadedMesh, Mesh, StoreSpec
from partsong.plans import Plan
from partsong.telemetry.spec import TelemetrySpec
from partsong.work.unasked import UnaskedWorker
from partsong_cluster.batch.finished import finished_rows, manifest_of, runs_of, store_of
from partsong_cluster.batch.folder import JOURNAL, Manifest, RunFolder
from partsong_cluster.outcomes.asked import asked_in, who
from partsong_cluster.report.billed import as_billed

__all__ = ["Replay", "same_rows"]

_ROWS_A_BLOCK = 256
_AT_ONCE = 4096
"""Calls of a model that may be looked up at the same time."""


def same_rows(runs: Sequence[Path]) -> Sequence[Manifest]:
    """Return the manifests of runs over one input; RunError when they are over several."""
    manifests = [manifest_of(folder) for folder in runs]
    for folder, manifest in zip(runs, manifests, strict=True):
        if manifest.input_hash != manifests[0].input_hash:
            what = f"this run is over {manifest.input}, {runs[0]} over {manifests[0].input}, or that file changed in between"
            raise RunError("runs-differ", what, at=Place(str(folder)), remedy="name runs over the same input, unchanged")
    return manifests


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded runs over the same rows, and a mesh to work them anew. The first run's rows are worked; calls of all runs answer."""

    runs: Sequence[Path]
    loaded: LoadedMesh
    name: str
    """Of the mesh file, as the replay's manifest tells it."""

    async def work(self, folder: Path, use: str | None, told: Callable[[int], None]) -> None:
        """Write a run that `compare` reads into the folder; `told` hears how many rows are done.

        Completions come from the runs' stores by what was asked, failures from the runs' own calls. What a row cost and took is what its
        calls cost and took when they were made; its own limits of calls, tokens, dollars and seconds bind by that. None of a run or a day
        does, nor one of a model.
        """
        manifests = same_rows(self.runs)
        mesh = _quiet(self.loaded.mesh)
        claimed = RunFolder.claim(folder)
        try:
            self._make_room(claimed)
            manifest = self._manifest(manifests[0], use)
            claimed.begin(manifest, mesh.snapshot())
            await self._rows(mesh, manifest, manifests, folder, told)
        finally:
            claimed.release()

    async def _rows(self, mesh: Mesh, manifest: Manifest, recorded: Sequence[Manifest], folder: Path, told: Callable[[int], None]) -> None:
        failures: dict[bytes, Failure] = {}
        limits: dict[int, Constraints] = {}
        known, asked = {name: who(name, spec) for name, spec in mesh.models.items()}, asked_in(self.runs)
        store = ReplayedStore.over(
            folder / JOURNAL,
            [(store_of(run), runs_of(run)) for run in self.runs],
            asked=lambda row, model: known[model] in asked.get(row, ()),
            timely=lambda record: _timely(record, limits.get(record.row), mesh.plans),
        )
        engine = InlineEngine(
            mesh,
            store,
            folder=self.loaded.folder,
            allowed=self.loaded.allowed,
            tell=lambda _: None,
            hire=lambda name, spec: UnaskedWorker(name, spec, failures),
        )
        done = 0
        async with engine:
            await engine.journal.begin(RunInfo(manifest.run, manifest.mesh_hash, manifest.input_hash, manifest.started_s))
            records = finished_rows(self.runs[0])
            while block := list(islice(records, _ROWS_A_BLOCK)):
                failures.clear()
                failures.update(_failures(self.runs, recorded, block))
                limits = {record.row: record.task.constraints for record in block if record.task is not None}
                await _worked(engine, [_replayed(record, manifest, recorded[0]) for record in block])
                done += len(block)
                told(done)

    def _manifest(self, recorded: Manifest, use: str | None) -> Manifest:
        return recorded.model_copy(
            update={
                "run": uuid.uuid4().hex[:12],
                "mesh": self.name,
                "mesh_hash": self.loaded.hash,
                "use": use,
                "replay_of": recorded.run,
                "started_s": time.time(),
                "partsong": version("partsong"),
            }
        )

    def _make_room(self, folder: RunFolder) -> None:
        """Take an earlier replay's place; never that of a run, whose calls were paid for."""
        before = folder.manifest()
        if before is not None and not before.replay_of:
            remedy = "name another folder with -o"
            raise RunError("not-a-replay", "a run that made calls is in this folder", at=Place(str(folder.path)), remedy=remedy)
        folder.empty()
        for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
            (folder.path / name).unlink(missing_ok=True)


async def _worked(engine: InlineEngine, rows: Sequence[Row | RowRecord]) -> None:
    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(engine.answer(row) if isinstance(row, Row) else engine.journal.append([row]))


def _replayed(record: RowRecord, manifest: Manifest, recorded: Manifest) -> Row | RowRecord:
    """Return the row to be worked anew; the record itself of one that could not be read."""
    if record.task is None:
        return record.model_copy(update={"run": manifest.run})
    untimed = record.task.constraints.model_copy(update={"deadline_s": None})  # here time passes otherwise than it did
    task = record.task.model_copy(update={"use": manifest.use or _own_use(record.task, recorded), "constraints": untimed})
    return Row(run=manifest.run, row=record.row, task=task, line=record.line, source=record.source, terms=Terms(replayed=True))


def _timely(record: RowRecord, limits: Constraints | None, plans: Mapping[str, Plan]) -> RowRecord:
    """Return the replayed row under its own limits again: past its deadline, by what its calls took, it has failed."""
    if record.task is None or limits is None:
        return record
    reply, deadline_s = as_billed(record, plans).reply, limits.deadline_s
    late = deadline_s is not None and isinstance(reply, Answer) and reply.latency_s > deadline_s
    message = f"no answer within the row's deadline of {deadline_s} s, by what its calls took when they were recorded"
    kept = record.task.model_copy(update={"constraints": limits})
    ended = Failure(code=FailureCode.DEADLINE, message=message, bill=reply.bill, route=reply.route) if late else record.reply
    return record.model_copy(update={"task": kept, "reply": ended})


def _own_use(task: Task, recorded: Manifest) -> str | None:
    """Return what the row itself named; what the run named for all rows was its own affair."""
    return None if recorded.use is not None else task.use


def _failures(runs: Sequence[Path], recorded: Sequence[Manifest], block: Sequence[RowRecord]) -> Iterator[tuple[bytes, Failure]]:
    """Yield the failures of the block's rows by what was asked; the first run's last, so that they count."""
    rows = [record.row for record in block]
    for folder, manifest in reversed(list(zip(runs, recorded, strict=True))):
        with closing(store_of(folder)) as store:
            for call in store.failed_calls(manifest.run, min(rows), max(rows)):
                if isinstance(call.reply, Failure):
                    yield call.ask_hash, call.reply.model_copy(update={"cost_usd": call.cost_usd})


def _quiet(mesh: Mesh) -> Mesh:
    """Return the mesh with what makes calls wait, or be made again, taken out: none of it changes what is asked."""
    calm = {
        "retries": 0,
        "breaker": "off",
        "hedge": None,
        "adaptive": False,
        "account": None,
        "limits": Limits(),
        "workers": WorkerRange(min=1, max=1),
        "concurrency": _AT_ONCE,
    }
    models: Mapping[str, object] = {name: spec.model_copy(update=calm) for name, spec in mesh.models.items()}
    return mesh.model_copy(update={"models": models, "accounts": {}, "store": StoreSpec(cache=True), "telemetry": TelemetrySpec()})
