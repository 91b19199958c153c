"""ModelWorker: the Ray shell of one model's worker."""

import asyncio
from dataclasses import dataclass

import ray
from ray.exceptions import RayError

from partsong.contracts import Call, Completion, Failure, FailureCode
from partsong.contracts.messages import CompletedOrFailed
from partsong.errors import PartsongError
from partsong.mesh import Mesh
from partsong.pool.built import built_from
from partsong.telemetry.levels import REPLIES_WAITING
from partsong.wire import Codec
from partsong.work.memory import settle
from partsong.work.worker import Worker
from partsong_actors.bulk import Bulk, Slots, whole
from partsong_actors.core_dumps import no_core_dumps
from partsong_actors.link import Mailbox
from partsong_actors.memory_watch import end_if_without_memory, end_without_memory
from partsong_actors.setup import Setup

__all__ = ["CALLS", "REPLIES", "ModelWorker", "Opened"]

CALLS: Codec[Call] = Codec(Call)
REPLIES: Codec[Completion | Failure] = Codec(CompletedOrFailed)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker tells of itself when its model takes calls."""

    node: str
    """Ray's id of the node that it is on."""
    concurrency: int
    """Calls that it makes at once."""
    built: str
    """See built_from."""


class _ModelWorker:
    """One adapter, its calls in flight. Opened by its first call if nobody opened it, so that a restarted worker goes on by itself."""

    def __init__(self, setup: Setup, name: str, secret: str | None) -> None:
        mesh = setup.unpacked()
        spec = mesh.models[name]
        self._about = Opened(ray.get_runtime_context().get_node_id(), spec.concurrency, built_from(spec))
        self._telemetry = setup.telemetry(mesh.telemetry, f"worker-{name}")
        self._worker = self._made(setup, name, mesh, secret)
        self._opening: asyncio.Task[None] | None = None
        self._mailbox = Mailbox(self._ask, CALLS, REPLIES, self._ask_with)
        self._telemetry.gauge(*REPLIES_WAITING, lambda: self._mailbox.waiting_replies)
        end_without_memory()
        settle()

    @ray.method
    async def open(self) -> Opened:
        """Return when the model takes calls."""
        await self._opened()
        return self._about

    @ray.method
    async def stay(self) -> None:
        """Never return: who waits for it hears at once when this process ends."""
        await asyncio.Event().wait()

    @ray.method
    async def exchange(self, caller: str, envelope: bytes, bulk: Bulk) -> bytes:
        """See Mailbox.exchange."""
        return await self._mailbox.exchange(caller, envelope, bulk)

    @ray.method
    async def close(self) -> None:
        """Let go of connections, memory and traces."""
        if isinstance(self._worker, Worker):
            await self._worker.close()
        self._telemetry.close()

    def _made(self, setup: Setup, name: str, mesh: Mesh, secret: str | None) -> Worker | PartsongError:
        """Return the worker, or what keeps it from being made (a key that its node lacks), which whoever opens it is told.

        Raised while the actor is made, Ray would only say that its process died.
        """
        try:
            key = setup.secret(name, mesh, secret)
            if key is not None:
                no_core_dumps()
            return setup.worker(name, mesh, key, self._telemetry)
        except PartsongError as error:
            return error

    async def _opened(self) -> Worker:
        worker = self._worker
        if isinstance(worker, PartsongError):
            raise worker
        if self._opening is None:
            self._opening = asyncio.create_task(worker.open())
        await asyncio.shield(self._opening)
        return worker

    async def _ask_with(self, call: Call, slots: Slots) -> Completion | Failure:
        try:
            async with asyncio.timeout(call.timeout_s):
                call = await whole(call, slots)
        except (RayError, TimeoutError) as error:
            message = f"the call's images or files did not come ({type(error).__name__})"
            return Failure(code=FailureCode.WORKER_LOST, message=message, where=call.model, retryable=True, sent="no")
        return await self._ask(call)

    async def _ask(self, call: Call) -> Completion | Failure:
        reply = await (await self._opened()).ask(call)
        if isinstance(reply, Failure):
            end_if_without_memory()
        return reply


ModelWorker = ray.remote(_ModelWorker)
