"""Remote worker: a worker in another process, with the worker's own face; a lost one is a failure that may be tried elsewhere."""

from collections.abc import Awaitable, Callable

from ray.actor import ActorProxy

from partsong.contracts import Call, Completion, Failure, FailureCode
from partsong_actors.link import Link, LinkLostError
from partsong_actors.worker import CALLS, REPLIES, _ModelWorker

__all__ = ["RemoteWorker"]


class RemoteWorker:
    """Implements WorkerHandle."""

    def __init__(self, actor: "ActorProxy[_ModelWorker]") -> None:
        self._actor = actor
        self._link: Link[Call, Completion | Failure] = Link(self, CALLS, REPLIES)

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See WorkerHandle.ask; text is not streamed between actors."""
        try:
            return await self._link.request(call)
        except LinkLostError:
            return Failure(
                code=FailureCode.WORKER_LOST,
                message="the worker's process died with the call in flight; the provider may have billed it",
                where=call.model,
                retryable=True,
                sent="maybe",
            )

    def submit(self, caller: str, envelope: bytes) -> Awaitable[None]:
        """See Correspondent."""
        return self._actor.submit.remote(caller, envelope)

    def collect(self, caller: str) -> Awaitable[bytes]:
        """See Correspondent."""
        return self._actor.collect.remote(caller)
