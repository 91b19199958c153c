"""The Ray engine: the same cores as the inline engine, each in an actor; needs a Ray that is initialised."""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from partsong.contracts import Row, RowOutcome
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.contracts.epoch import Epoch
from partsong.errors import EngineError, MeshError, PartsongError
from partsong.mesh import Mesh
from partsong.telemetry import Telemetry
from partsong.telemetry.levels import MESSAGES_UNSENT
from partsong.work.memory import settle
from partsong.work.notices import Notices, Tell, logged
from partsong_actors.again import again
from partsong_actors.coordinators import DIED, Coordinators
from partsong_actors.journal import JournalClient
from partsong_actors.link import LinkLostError
from partsong_actors.present import forget
from partsong_actors.remote_coordinator import RemoteCoordinator
from partsong_actors.setup import Setup, SystemSpec
from partsong_actors.staff import Staff, _StaffActor
from partsong_actors.system import System, end_system

__all__ = ["RayEngine"]

_log = logging.getLogger(__name__)

_LISTENS_FOR_S = 5.0

_WINDOWS = 4
"""Rows in flight of a leader that a coordinator was lost with, and who hands out rows in another order: so many times the usual number."""

_LIVES = 5
"""Deaths of its coordinator that one row lives through."""


class RayEngine:
    """Answers rows of one mesh over the actors of a system: one that ends with it, or one that lasts and has other engines too."""

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

        `system` is the one to make, or to find if it lasts; by default one that ends with this process. One that lasts is given no
        secrets: each worker reads its own on its node. `tell` gets notices of what breaks and what is done about it; the log gets them
        without it.
        """
        self._mesh = mesh
        self._system = system or SystemSpec.passing()
        self._setup = Setup(
            mesh=mesh.pack(),
            mesh_hash=mesh_hash,
            folder=_on_any_node(folder) if self._system.lasting else str(folder.resolve()),
            store_url=store_url,
            run_folder=str(run_folder.resolve()),
            system=self._system,
            secrets_from="node" if self._system.lasting else "given",
            allowed=allowed,
        )
        self._secrets = dict(secrets or {})
        self._telemetry = telemetry or Telemetry.off()
        self._tell = Notices(tell or logged, time.monotonic)
        self._journal: JournalClient | None = None
        self._coordinators: Coordinators | None = None
        self._made: System | None = None
        self._staff: Staff | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._unsure: dict[str, int] = {}
        self._adopted: dict[str, asyncio.Future[dict[int, RemoteCoordinator]]] = {}

    async def __aenter__(self) -> Self:
        self._check_python()
        made = self._made = System.of(self._setup)
        self._journal = JournalClient(made.journals[0], self._tell, others=made.journals[1:])
        room = self._system.room("coordinator")
        coordinators = self._coordinators = Coordinators(self._tell, room, self._fence if self._system.lasting else None)
        for number, actor in enumerate(made.coordinators):
            name = self._setup.around.coordinator(number)
            coordinators.add(RemoteCoordinator(name, actor, self._setup, coordinators.turned))
        if made.staff is None:
            self._staff = Staff(made.pools, self._setup, self._mesh.models, self._secrets, self._tell)
            self._beside.append(asyncio.create_task(self._staffed(self._staff, made)))
        else:
            self._beside.append(asyncio.create_task(self._told_by(made.staff)))
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: coordinators.unsent, {"partsong.to": "coordinators"})
        if self._system.lasting:
            try:
                await coordinators.any_up()
            except BaseException:
                await self._leave()
                raise
        settle()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._system.lasting:
            await self._leave()
        else:
            await self._close()

    async def end(self) -> None:
        """End the system, with all that other engines do on it: see end_system."""
        await self._leave()
        await end_system(self._system.name, self._system.namespace, self._system.health.closes_within_s)

    @property
    def setup(self) -> Setup:
        """What every actor of the system is told."""
        return self._setup

    @property
    def journal(self) -> JournalClient:
        """See Engine.journal."""
        if self._journal is None:
            raise _not_started()
        return self._journal

    @property
    def telemetry(self) -> Telemetry:
        """See Engine.telemetry."""
        return self._telemetry

    @property
    def concurrency(self) -> int:
        """See Engine.concurrency."""
        return self._mesh.concurrency

    def lead(self, run: str, epoch: Epoch) -> None:
        """Give rows of the run under this epoch from now on, and publish it: what an earlier holder of it still does is refused."""
        self.journal.led[run] = epoch

    def over(self, run: str) -> None:
        """See Engine.over."""
        self.journal.led.pop(run, None)
        self._adopted.pop(run, None)
        self._unsure.pop(run, None)
        for coordinator in self._coordinators.all if self._coordinators is not None else ():
            coordinator.over(run)

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """See Engine.answer; text is not streamed between actors.

        A coordinator that dies costs nothing but time: the row is answered by its record if it has one already, else it starts again from
        what the journal holds of it.
        """
        coordinators = self._coordinators
        if coordinators is None:
            raise _not_started()
        coordinator = (await self._at_work_on(row)) or await coordinators.chosen(row)
        with self._telemetry.span("submit", row.traceparent, {"partsong.row": row.row}, run=row.run) as span:
            row = row.model_copy(update={"traceparent": span.traceparent, "epoch": self._epoch_of(row.run)})
            if self._unsure.get(row.run):
                self._unsure[row.run] -= 1
                if (outcome := await self._recorded(row)) is not None:
                    return outcome
                row = await self._with_held(row)
            deaths = 0
            while deaths < _LIVES:
                try:
                    return await coordinator.answer(row)
                except LinkLostError as lost:
                    deaths += lost.sent
                    self._tell(DIED)
                    coordinator = await coordinators.instead_of(coordinator, row)
                    if (outcome := await self._recorded(row)) is not None:
                        return outcome
                    row = await self._with_held(row)
        what = f"row {row.row} lost its coordinator {_LIVES} times"
        raise EngineError("coordinator-lost", what, remedy="see Ray's logs; the run can be resumed")

    async def _recorded(self, row: Row) -> RowOutcome | None:
        record = await self.journal.row(row.run, row.row)
        return None if record is None else RowOutcome(row=record.row, custom_id=record.custom_id, reply=record.reply)

    async def _with_held(self, row: Row) -> Row:
        return row.model_copy(update={"held": tuple(await self.journal.calls(row.run, row.row, row.row))})

    async def _at_work_on(self, row: Row) -> RemoteCoordinator | None:
        """Return who works the row already, for an engine that led the run before this one."""
        if not self._system.lasting:
            return None
        adopted = self._adopted.get(row.run)
        if adopted is None:
            adopted = self._adopted[row.run] = asyncio.ensure_future(self._found_at_work(row.run))
        return (await asyncio.shield(adopted)).pop(row.row, None) if not adopted.done() or adopted.result() else None

    async def _found_at_work(self, run: str) -> dict[int, RemoteCoordinator]:
        assert self._coordinators is not None, "answer sees to it"
        await self._coordinators.any_up()
        found, any_lost = await self._coordinators.at_work_on(run, self._epoch_of(run))
        if any_lost:
            self._unsure[run] = _WINDOWS * self.concurrency
        return found

    def _epoch_of(self, run: str) -> int:
        led = self.journal.led.get(run)
        return 0 if led is None else led.number

    async def _fence(self, name: str, number: int) -> None:
        """Take a coordinator's epoch from it, unless its successor has it; 0: whichever it has."""
        await self.journal.claim(name, number or None)

    def _check_python(self) -> None:
        """Refuse a mesh that this cluster would not run, before it is tried."""
        named = [name for name, spec in self._mesh.models.items() if spec.adapter == "python"]
        if named and not self._system.python_adapter:
            what = f"models.{named[0]} is Python code, and this cluster runs none"
            raise MeshError(
                "python-off", what, remedy="take it out of the mesh, or let whoever runs the cluster allow `python_adapter: on`"
            )

    async def _staffed(self, staff: Staff, made: System) -> None:
        """Have workers started; without a staff calls would wait for ever, so the pools end with it, and calls fail."""
        try:
            await staff.work()
        except Exception:  # noqa: BLE001  whatever it was, nobody starts workers any more
            _log.exception("the staff cannot do its work any more")
            made.end_pools()

    async def _told_by(self, staff: "ActorProxy[_StaffActor]") -> None:
        """Pass on what the system tells, whatever becomes of the staff's process."""
        listener = uuid.uuid4().hex
        lost = EngineError("staff-lost", "the process of the staff is gone", remedy="see Ray's logs; the run can be resumed")
        while True:
            try:
                for notice in await again(partial(staff.notices.remote, listener, _LISTENS_FOR_S), lost, math.inf):
                    self._tell(notice)
            except (PartsongError, RayError) as error:
                _log.error("nobody tells of workers any more: %s", error)  # the system was ended
                return

    async def _leave(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._coordinators is not None:
            self._coordinators.leave()

    async def _close(self) -> None:
        """End what was made: nobody else knows it."""
        assert self._made is not None, "it was entered"
        assert self._staff is not None, "a system that ends with this process has its staff here"
        asking = [coordinator.close() for coordinator in self._coordinators.all] if self._coordinators else []
        try:
            async with asyncio.timeout(self._system.health.closes_within_s):
                # while workers can still be started: the shadows of answered rows may wait for some
                await asyncio.gather(*asking, return_exceptions=True)
                await self._leave()
                asked = [actor.close.remote() for actor in (*self._staff.workers, *self._made.synthesizers)]
                await asyncio.gather(*asked, return_exceptions=True)
                # the journal, when nobody writes any more
                await asyncio.gather(*(journal.close.remote() for journal in self._made.journals), return_exceptions=True)
        except TimeoutError:
            pass  # what hangs is ended all the same, and what was acknowledged is on disk
        finally:
            await self._leave()
        for actor in [*self._staff.workers, *self._made.all]:
            ray.kill(actor)
        await asyncio.to_thread(forget, self._system.name, self._system.namespace)


def _not_started() -> EngineError:
    return EngineError("not-started", "the engine is not started", remedy="use it inside `async with`")


def _on_any_node(folder: Path) -> str:
    """Return the folder as every node finds it: within the files of a job, which Ray unpacks where its actors start."""
    at = folder.resolve()
    return str(at.relative_to(Path.cwd())) if at.is_relative_to(Path.cwd()) else str(at)
