"""Job actor: works one run in the cluster, whoever watches. Restarted on another node it goes on from what the store holds.

The session has a thread and an event loop of its own: Ray's loop only answers those who watch.
"""

import asyncio
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import ray
from partsong_actors.engine import RayEngine
from partsong_actors.system import end_system

from partsong.errors import EngineError, FencedError, MeshError, PartsongError
from partsong.journal.port import JournalPort
from partsong.mesh import LoadedMesh, secrets_of
from partsong.work.clock import Clock
from partsong.work.tenure import Tenure
from partsong_cluster.batch.session import Session
from partsong_cluster.batch.stop import Outcome, Stop
from partsong_cluster.cli.exit_codes import ExitCode, code_of_error, code_of_summary
from partsong_cluster.engines import ray_engine
from partsong_cluster.jobs.events import Event, ended, failed
from partsong_cluster.jobs.head import AWAY, RayHead
from partsong_cluster.jobs.notes import JobNote, Notes
from partsong_cluster.jobs.order import JobOrder
from partsong_cluster.jobs.telling import Telling
from partsong_cluster.jobs.traces import Gathering, Place, keep_putting
from partsong_cluster.report import write_run_report

__all__ = ["JobActor", "_JobActor"]

_LINGERS_S = 600.0
"""How long the end is there to be heard."""
_LOOKS_EVERY_S = 5.0
_DAY_S = 86_400.0

_log = logging.getLogger(__name__)


class _JobActor:
    """See the module."""

    def __init__(self, packed: bytes) -> None:
        self._order = JobOrder.unpack(packed)
        self._life = uuid.uuid4().hex
        self._telling = Telling()
        self._stop = Stop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathering: Gathering | None = None
        self._notes = Notes(RayHead())
        self._share = self._order.share(())
        threading.Thread(target=self._live, name="partsong-job", daemon=True).start()

    @ray.method
    async def news(self, life: str, after: int, within_s: float) -> tuple[str, int, list[str]]:
        """Return what was told since, as lines, with what to ask with next time: this actor's life and a number."""
        if life != self._life:
            after = 0
        number, events = await self._telling.news(after, within_s)
        return self._life, number, [event.written() for event in events]

    @ray.method
    async def spans(self, packed: bytes) -> bool:
        """Take spans of the run's rows; return False where nobody gathers them."""
        gathering = self._gathering
        return gathering is not None and await asyncio.to_thread(gathering.take, packed)

    @ray.method
    async def stop(self, at_once: bool) -> None:
        """Stop the run: rows in flight finish; at once if so, or if it was asked for before."""
        self._ask_to_stop(at_once=at_once)

    @ray.method
    async def close(self) -> None:
        """Stop at once: the system ends."""
        self._ask_to_stop(at_once=True)

    def _ask_to_stop(self, *, at_once: bool) -> None:
        if self._loop is None or self._telling.over:
            return
        if self._stop.why is None and not at_once:
            self._telling.say(f"Stopping: rows in flight get {self._order.grace_s:g} s to finish; stop again to end at once.")
        self._loop.call_soon_threadsafe(lambda: self._stop.ask(Outcome.INTERRUPTED, at_once=at_once))

    def _live(self) -> None:
        """Work, tell the end, and be gone when that was heard or nobody came."""
        asyncio.run(self._worked())
        time.sleep(_LINGERS_S)
        asyncio.run(self._gone())

    async def _gone(self) -> None:
        system = self._order.system
        if self._order.of_its_own:
            await end_system(system.name, system.namespace, system.health.closes_within_s)
        else:
            ray.kill(system.around.actor(system.around.job(self._order.run)))

    async def _worked(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            loaded = self._order.loaded()
            self._tell_missing_keys(loaded)
            with tempfile.TemporaryDirectory(prefix="partsong-job-") as scratch:
                session = Session(
                    self._order.session(Path(scratch)),
                    loaded,
                    lambda: self._engine(loaded, Path(scratch)),
                    self._telling,
                    self._stop,
                    lambda: self._share,
                    self._order.stops,
                )
                async with self._gathered(loaded, Path(scratch), session):
                    summary = await session.work()
                await session.add(await asyncio.to_thread(write_run_report, Path(scratch)))
            self._end(ended(summary, code_of_summary(summary)))
        except FencedError as error:
            _leave_to_successor(error)
        except PartsongError as error:
            self._end(failed(error, code_of_error(error)))
        except Exception as error:  # noqa: BLE001  the actor's outermost line: whoever watches hears of it
            internal = EngineError("internal", f"{type(error).__name__}: {error}", remedy="please report it; `partsong jobs logs` has more")
            self._end(failed(internal, ExitCode.INTERNAL))

    def _end(self, event: Event) -> None:
        """Tell the last thing, and leave a note of it: whoever watched may be gone, and this process soon is."""
        try:
            self._notes.end(self._order.note, event)
        except AWAY as error:
            _log.warning("Ray's head does not take a note of how the job ended: %s", error)
        self._telling.end(event)

    def _tell_missing_keys(self, loaded: LoadedMesh) -> None:
        """Say which keys this node lacks: workers may be on others that have them, and if not this is why they do not start."""
        for name, spec in loaded.mesh.models.items():
            try:
                secrets_of({name: spec}, os.environ, loaded.folder, loaded.allowed)
            except MeshError as error:
                self._telling.say(f"On node {socket.gethostname()}: {error.problems[0].what}; workers of {name} cannot start here.")

    @asynccontextmanager
    async def _gathered(self, loaded: LoadedMesh, scratch: Path, session: Session) -> AsyncIterator[None]:
        """Gather the rows' spans among the results, if the mesh has traces in files."""
        telemetry = loaded.mesh.telemetry
        if telemetry.file is None:
            yield
            return
        gathering = self._gathering = Gathering(scratch, telemetry.rotate, lambda notice: self._telling.say(f"{notice}."))
        over = asyncio.Event()
        putting = asyncio.create_task(keep_putting(gathering, Place(session.put, session.drop, alive_nodes), over))
        try:
            yield
        finally:
            over.set()
            await putting

    @asynccontextmanager
    async def _engine(self, loaded: LoadedMesh, scratch: Path) -> AsyncIterator[RayEngine]:
        """Attach to the system, and lead the run for as long as the store confirms it."""
        system, run = self._order.system, self._order.run
        async with ray_engine(loaded, scratch, secrets={}, system=system, tell=lambda notice: self._telling.say(f"{notice}.")) as engine:
            assert isinstance(engine, RayEngine), "over Ray"
            health = system.health
            tenure = Tenure(
                system.around.job(run), engine.journal, Clock(), tenure_s=health.tenure_s, confirm_every_s=health.confirm_every_s
            )
            await tenure.begin()
            engine.lead(run, tenure.epoch)
            beside = [asyncio.create_task(self._until_fenced(tenure)), asyncio.create_task(self._among_others(engine))]
            try:
                yield engine
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

    async def _until_fenced(self, tenure: Tenure) -> None:
        """End this process when it has a successor."""
        await tenure.keep()
        _leave_to_successor(tenure.fenced())

    async def _among_others(self, engine: RayEngine) -> None:
        """Take its part of what its tenant has, and stop the run when the tenant has spent the day's dollars."""
        while self._stop.why is None:
            try:
                tenant = self._order.tenancy.name
                self._share = self._order.share(await asyncio.to_thread(self._notes.at_work, tenant))
                await self._within_budget(engine.journal, await asyncio.to_thread(self._notes.of, tenant))
            except (*AWAY, PartsongError) as error:
                _log.warning("the tenant's other jobs cannot be looked at now: %s", error)
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def _within_budget(self, journal: JournalPort, notes: Iterable[JobNote]) -> None:
        budget_usd = self._order.tenancy.budget_usd_per_day
        if budget_usd is None:
            return
        now_s = time.time()
        midnight_s = now_s - now_s % _DAY_S
        spent = [await journal.spent(run, midnight_s) for run in {self._order.run, *(note.run for note in notes)}]
        if sum(sum(of_run.values()) for of_run in spent) >= budget_usd:
            self._telling.say(f"Tenant {self._order.tenancy.name} has spent its ${budget_usd:,.2f} of today (UTC): the run stops.")
            self._stop.ask(Outcome.BUDGET)


def _leave_to_successor(error: FencedError) -> NoReturn:
    """End this process, and tell nobody how the job ended: it goes on elsewhere."""
    os.write(2, f"{error}\n".encode())
    os._exit(1)


async def alive_nodes() -> Collection[str] | None:
    """Return the ids of the cluster's nodes that are alive; None while Ray's head does not say."""
    try:
        return [node["NodeID"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    except AWAY:
        return None


JobActor = ray.remote(_JobActor)
