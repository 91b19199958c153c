"""Coordinator: the Ray shell of one coordinator."""

import asyncio
import logging
import os
from collections.abc import Collection, Sequence

import ray

from partsong.contracts import Failure, Row, RowOutcome, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.errors import EngineError, FencedError
from partsong.journal.store import Record
from partsong.telemetry.levels import MESSAGES_UNSENT, REPLIES_WAITING
from partsong.wire import Codec
from partsong.work.clock import Clock
from partsong.work.coordinator import Coordinator
from partsong.work.memory import settle
from partsong.work.tenure import Tenure
from partsong.work.under_way import RowsUnderWay
from partsong.work.watched import watch_tenure
from partsong_actors.beside import beside
from partsong_actors.journal import JournalClient
from partsong_actors.link import Mailbox
from partsong_actors.memory_watch import end_if_without_memory, end_without_memory
from partsong_actors.pool_client import PoolClient
from partsong_actors.present import present, whole
from partsong_actors.setup import Setup
from partsong_actors.synthesizer import SynthesizerClient

__all__ = ["OUTCOMES", "ROWS", "CoordinatorActor"]

ROWS: Codec[Row] = Codec(Row)
OUTCOMES: Codec[RowOutcome] = Codec(RowOutcome)

_CANCELS_WITHIN_S = 1.0
"""How long a fenced process goes on, so that workers hear that its calls are cancelled."""

_log = logging.getLogger(__name__)


class _Records(JournalClient):
    """The journal as a coordinator writes it: under its epoch; and a row does not fail for good because its process gets no memory."""

    tenure: Tenure | None = None

    async def append(self, records: Sequence[Record], under: Collection[Epoch] = (), traceparent: str = "") -> None:
        """See JournalPort.append."""
        if any(isinstance(record, RowRecord) and isinstance(record.reply, Failure) for record in records):
            end_if_without_memory()
        if self.tenure is None:
            await super().append(records, under, traceparent)
            return
        try:
            await super().append(records, (*under, *self.tenure.under), traceparent)
        except FencedError:
            self.tenure.lose()
            raise

    async def outcome(self, row: Row) -> RowOutcome | None:
        """Return what a row came to, if its record is there."""
        record = await self.row(row.run, row.row)
        return None if record is None else RowOutcome(row=record.row, custom_id=record.custom_id, reply=record.reply)


class _CoordinatorActor:
    """Wires a coordinator to the actors around it when it is first asked: what keeps it from working is for the one who asks."""

    def __init__(self, setup: Setup, name: str) -> None:
        end_without_memory()
        self._setup = whole(setup)
        self._name = name
        self._made: _AtWork | None = None
        settle()

    @ray.method
    async def ready(self, setup: Setup) -> int:
        """Return the number of its epoch when rows are taken. Raises EngineError when the engine that gives them is set up otherwise."""
        now = await asyncio.to_thread(present, self._setup)
        now.check_fits(setup)
        self._setup = now
        await self._at_work.begun()
        return self._at_work.epoch

    @ray.method
    async def exchange(self, caller: str, envelope: bytes) -> bytes:
        """See Mailbox.exchange."""
        at_work = self._at_work
        await at_work.begun()
        return await at_work.mailbox.exchange(caller, envelope)

    @ray.method
    async def rows(self, run: str, epoch: int) -> Sequence[int]:
        """Return the run's rows that are under way here; from now on rows of its earlier epochs are refused."""
        return self._at_work.led(run, epoch)

    @ray.method
    async def over(self, run: str) -> None:
        """Forget a run that is over."""
        if self._made is not None:
            self._made.over(run)

    @ray.method
    async def finish(self) -> None:
        """Take no more rows; return when those under way are on record."""
        if self._made is not None:
            await self._made.finish()

    @ray.method
    async def close(self) -> None:
        """Let go of the traces."""
        if self._made is not None:
            await self._made.close()

    @property
    def _at_work(self) -> "_AtWork":
        if self._made is None:
            self._made = _AtWork(self._setup, self._name)
        return self._made


class _AtWork:
    """A coordinator with all that it needs."""

    def __init__(self, setup: Setup, name: str) -> None:
        around = setup.around
        mesh = setup.unpacked(importing=True)
        clock = Clock()
        self._telemetry = setup.telemetry(mesh.telemetry, name.rpartition("/")[2])
        self._pools = PoolClient(around.actor(around.pools), name, mesh, clock)
        first, *others = [around.actor(around.journal(n)) for n in range(setup.system.journal_shards)]
        records = _Records(first, self._pools.tell, others=others)
        merger = SynthesizerClient(around.actor(setup.system.synthesizer_of(name)))
        core = Coordinator.of(mesh, self._pools.callers, merger, records, self._telemetry, clock)
        self._core = core
        self._rows = RowsUnderWay(core.answer, records.outcome)
        self.mailbox = Mailbox(self._answer if setup.system.lasting else core.answer, ROWS, OUTCOMES)
        self._ending = False
        self._epochs: dict[str, int] = {}
        self._tenure = records.tenure = self._tenure_of(setup, name, records, clock)
        for caller in self._pools.callers.values():
            caller.gate = self._tenure
        watch_tenure(self._telemetry, name.rpartition("/")[2], self._tenure)
        self._telemetry.gauge(*REPLIES_WAITING, lambda: self.mailbox.waiting_replies)
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: records.unsent, {"partsong.to": "journal"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: merger.unsent, {"partsong.to": "synthesizer"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: self._pools.unsent, {"partsong.to": "pools"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: self._pools.unsent_calls, {"partsong.to": "workers"})
        self._beginning: asyncio.Future[None] | None = None
        self._beside: list[asyncio.Task[None]] = []

    @property
    def epoch(self) -> int:
        """The number of its epoch; 0 where there are none."""
        return 0 if self._tenure is None else self._tenure.epoch.number

    async def begun(self) -> None:
        """Return when rows can be worked; what failed is tried again by the next who asks."""
        if self._beginning is None:
            self._beginning = asyncio.ensure_future(self._begin())
        if not self._beginning.done():
            await asyncio.shield(self._beginning)
        elif self._beginning.exception() is not None:
            self._beginning = None
            await self.begun()

    def led(self, run: str, epoch: int) -> Sequence[int]:
        """See the actor's rows."""
        self._epochs[run] = max(epoch, self._epochs.get(run, 0))
        return self._rows.of(run)

    def over(self, run: str) -> None:
        """Forget a run; unless another leads it by now, whose rows are under way."""
        if self._rows.any_of(run):
            return
        self._epochs.pop(run, None)
        self._core.over(run)

    async def finish(self) -> None:
        """See the actor's finish."""
        self._ending = True
        await self.mailbox.finished()

    async def close(self) -> None:
        """End the shadows, leave the pools, and let go of the traces."""
        await self._core.close()
        await self._pools.leave()
        for task in self._beside:
            task.cancel()
        self._telemetry.close()

    async def _begin(self) -> None:
        if self._tenure is not None:
            await self._tenure.begin()
            self._beside.append(beside(self._until_fenced(self._tenure)))
        self._beside.append(beside(self._listen()))

    async def _listen(self) -> None:
        """Hear the pools. Those of a lasting system are found again by who is restarted; those of a driver are not: its calls fail."""
        try:
            await self._pools.listen()
        except Exception as error:
            if self._tenure is not None:
                raise
            _log.exception("the pools are gone, or not understood")
            self._pools.lose(error)

    async def _answer(self, row: Row) -> RowOutcome:
        """Work a row of a lasting system."""
        if self._ending:
            raise EngineError("system-ends", "the system is being ended", remedy="begin it anew; the run can be resumed")
        if row.epoch < self._epochs.get(row.run, 0):
            raise FencedError("fenced", f"run {row.run} has another leader", remedy="nothing is to be done: the other leader goes on")
        try:
            return await self._rows.answer(row)
        except FencedError:  # of this coordinator: whoever asked hears of it by the end of this process
            await asyncio.Event().wait()
            raise

    async def _until_fenced(self, tenure: Tenure) -> None:
        """End this process when it has a successor; its calls are cancelled before."""
        await tenure.keep()
        self.mailbox.cancel()
        os.write(2, f"{tenure.fenced()}\n".encode())
        await asyncio.sleep(_CANCELS_WITHIN_S)
        os._exit(1)

    @staticmethod
    def _tenure_of(setup: Setup, name: str, records: JournalClient, clock: Clock) -> Tenure | None:
        health = setup.system.health
        if not setup.system.lasting:
            return None
        return Tenure(name, records, clock, tenure_s=health.tenure_s, confirm_every_s=health.confirm_every_s)


CoordinatorActor = ray.remote(_CoordinatorActor)
