"""Remote worker: a worker in another process, with the worker's own face; a lost one is a failure that may be tried elsewhere."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Literal

from ray.actor import ActorProxy
from ray.exceptions import RayError

from partsong.contracts import Call, Completion, Failure, FailureCode
from partsong.errors import EngineError, PartsongError
from partsong_actors.again import again
from partsong_actors.link import Link, LinkLostError
from partsong_actors.worker import CALLS, REPLIES, _ModelWorker

__all__ = ["RemoteWorker"]

_log = logging.getLogger(__name__)


class RemoteWorker:
    """Implements WorkerHandle. While its process is being restarted calls wait: failing at once, it would look idle and draw all calls."""

    def __init__(self, actor: "ActorProxy[_ModelWorker]", changed: Callable[[], None]) -> None:
        """`changed` is called when the worker goes down or is up again."""
        self._actor = actor
        self._changed = changed
        self._link: Link[Call, Completion | Failure] = Link(self, CALLS, REPLIES)
        self._return: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether it takes calls, as far as is known."""
        return self._return is None

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See WorkerHandle.ask; text is not streamed between actors."""
        if self._return is not None:
            await asyncio.wait([self._return], timeout=call.timeout_s)
            if self._return is not None:
                return _lost(call, "no", "the worker's process died and is not back yet")
        try:
            return await self._link.request(call)
        except LinkLostError:
            self._down()
            return _lost(call, "maybe", "the worker's process died with the call in flight; the provider may have billed it")

    def exchange(self, caller: str, envelope: bytes) -> Awaitable[bytes]:
        """See Correspondent."""
        return self._actor.exchange.remote(caller, envelope)

    def _down(self) -> None:
        if self._return is None:
            self._return = asyncio.create_task(self._returned())
            self._changed()

    async def _returned(self) -> None:
        try:
            await again(self._actor.open.remote, EngineError("worker-lost", "a worker will not be back"), math.inf)
        except (PartsongError, RayError) as error:
            _log.error("a restarted worker does not open: %s", type(error).__name__)  # its calls will say why
        self._return = None
        self._changed()


def _lost(call: Call, sent: Literal["no", "maybe"], message: str) -> Failure:
    return Failure(code=FailureCode.WORKER_LOST, message=message, where=call.model, retryable=True, sent=sent)
