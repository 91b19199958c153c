"""Coordinator: the Ray shell of one coordinator."""

import asyncio
from collections.abc import Awaitable, Sequence

import ray
from ray.actor import ActorProxy

from partsong.contracts import Failure, Row, RowOutcome, RowRecord
from partsong.errors import EngineError
from partsong.journal.store import Record
from partsong.telemetry.levels import MESSAGES_UNSENT, REPLIES_WAITING
from partsong.wire import Codec
from partsong.work.clock import Clock
from partsong.work.coordinator import Coordinator
from partsong.work.memory import settle
from partsong_actors.again import again
from partsong_actors.journal import JournalClient
from partsong_actors.link import Link, Mailbox
from partsong_actors.memory_watch import end_if_without_memory, end_without_memory
from partsong_actors.pool import PoolClient
from partsong_actors.setup import Setup
from partsong_actors.synthesizer import SynthesizerClient

__all__ = ["CoordinatorActor", "RemoteCoordinator"]

_ROWS: Codec[Row] = Codec(Row)
_OUTCOMES: Codec[RowOutcome] = Codec(RowOutcome)


class _Records(JournalClient):
    """The journal as a coordinator writes it: a row does not fail for good because its process gets no memory."""

    async def append(self, records: Sequence[Record]) -> None:
        """See JournalPort.append."""
        if any(isinstance(record, RowRecord) and isinstance(record.reply, Failure) for record in records):
            end_if_without_memory()
        await super().append(records)


class _CoordinatorActor:
    """Wires a coordinator to the actors around it."""

    def __init__(self, setup: Setup, name: str) -> None:
        around = setup.around
        journal, pool, synthesizer = (around.actor(actor) for actor in (around.journal(), around.pools, around.synthesizer()))
        mesh = setup.unpacked(importing=True)
        clock = Clock()
        self._telemetry = setup.telemetry(mesh.telemetry, name.rpartition("/")[2])
        self._pools = PoolClient(pool, name, mesh, clock)
        records, merger = _Records(journal, self._pools.tell), SynthesizerClient(synthesizer)
        core = Coordinator.of(mesh, self._pools.callers, merger, records, self._telemetry, clock)
        self._mailbox = Mailbox(core.answer, _ROWS, _OUTCOMES)
        self._telemetry.gauge(*REPLIES_WAITING, lambda: self._mailbox.waiting_replies)
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: records.unsent, {"partsong.to": "journal"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: merger.unsent, {"partsong.to": "synthesizer"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: self._pools.unsent, {"partsong.to": "pools"})
        self._telemetry.gauge(*MESSAGES_UNSENT, lambda: self._pools.unsent_calls, {"partsong.to": "workers"})
        self._listening: asyncio.Task[None] | None = None
        end_without_memory()
        settle()

    @ray.method
    async def ready(self) -> None:
        """Return when rows are taken."""
        self._listen()

    @ray.method
    async def exchange(self, caller: str, envelope: bytes) -> bytes:
        """See Mailbox.exchange."""
        self._listen()
        return await self._mailbox.exchange(caller, envelope)

    @ray.method
    async def close(self) -> None:
        """Let go of the traces."""
        if self._listening is not None:
            self._listening.cancel()
        self._telemetry.close()

    def _listen(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._pools.listen())


CoordinatorActor = ray.remote(_CoordinatorActor)


class RemoteCoordinator:
    """A coordinator in another process."""

    def __init__(self, actor: "ActorProxy[_CoordinatorActor]") -> None:
        self._actor = actor
        self._link: Link[Row, RowOutcome] = Link(self, _ROWS, _OUTCOMES)

    @property
    def unsent(self) -> int:
        """See Link.unsent."""
        return self._link.unsent

    async def answer(self, row: Row) -> RowOutcome:
        """See Coordinator.answer. Raises LinkLostError when its process dies meanwhile."""
        return await self._link.request(row)

    def exchange(self, caller: str, envelope: bytes) -> Awaitable[bytes]:
        """See Correspondent."""
        return self._actor.exchange.remote(caller, envelope)

    async def back(self) -> None:
        """Return when its process, which died, is there again and takes rows; EngineError when that takes too long."""
        lost = EngineError("coordinator-lost", "a coordinator's process is gone", remedy="see Ray's logs; the run can be resumed")
        await again(self._actor.ready.remote, lost)

    async def close(self) -> None:
        """See the actor's close."""
        await self._actor.close.remote()
