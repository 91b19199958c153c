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
from partsong_actors.bulk import Bulk, Lender
from partsong_actors.hearing import DEAF_AFTER_S
from partsong_actors.link import Link, LinkLostError, OverdueError
from partsong_actors.worker import CALLS, REPLIES, _ModelWorker

__all__ = ["RemoteWorker"]

_SLACK_S = 2.0
"""How much later than a call's own time-out its reply may be: the worker's clock ends it, if its process runs."""

_BACK_WITHIN_S = 60.0
"""How long a call waits for a worker's process; then a fallback may be asked."""

_log = logging.getLogger(__name__)


class RemoteWorker:
    """Implements WorkerHandle. While its process is away or stands still, calls wait: failing at once, it would draw all calls."""

    def __init__(
        self,
        actor: "ActorProxy[_ModelWorker]",
        changed: Callable[[], None],
        lender: Lender,
        *,
        back_within_s: float = _BACK_WITHIN_S,
        deaf_after_s: float = DEAF_AFTER_S,
        slack_s: float = _SLACK_S,
    ) -> None:
        """`changed` is called when the worker goes down or is up again; `back_within_s` is how long a call waits for that.

        `lender` is shared by all workers that this process sends calls to.
        """
        self._actor = actor
        self._lender = lender
        self._changed = changed
        self._back_within_s = back_within_s
        self._slack_s = slack_s
        self._link: Link[Call, Completion | Failure] = Link(
            self, CALLS, REPLIES, turned=self._turned, deaf_after_s=deaf_after_s, apart=lender.apart
        )
        self._return: asyncio.Task[None] | None = None
        self._waiting = 0
        self._up = asyncio.Event()
        self._up.set()
        self.near = False
        """Whether it is on this node, as far as is known."""

    @property
    def up(self) -> bool:
        """Whether it takes calls, as far as is known."""
        return self._up.is_set()

    @property
    def pending(self) -> int:
        """Calls that were given to it and are not answered; also those that wait for its process to be back."""
        return self._link.pending + self._waiting

    @property
    def unsent(self) -> int:
        """See Link.unsent."""
        return self._link.unsent

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """See WorkerHandle.ask; text is not streamed between actors."""
        if not self.up and not await self._is_back():
            return _lost(call, "no", f"the worker's process died or stands still, and is not back after {self._back_within_s:g} s")
        try:
            reply = await self._link.request(call, call.timeout_s + self._slack_s)
        except LinkLostError as lost:
            self._down()
            if not lost.sent:
                return _lost(call, "no", "the worker's process died before the call was sent")
            return _lost(call, "maybe", "the worker's process died with the call in flight; the provider may have billed it")
        except OverdueError:
            return _overdue(call)
        if isinstance(reply, Failure) and reply.code is FailureCode.WORKER_LOST:
            self._lender.forget(call)
        return reply

    def exchange(self, caller: str, envelope: bytes, bulk: Bulk = ()) -> Awaitable[bytes]:
        """See Correspondent."""
        return self._actor.exchange.remote(caller, envelope, bulk)

    async def _is_back(self) -> bool:
        """Wait for the process, as long as such waiting is worth while; the row's own deadline is watched by who works it."""
        self._waiting += 1
        try:
            async with asyncio.timeout(self._back_within_s):
                await self._up.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def _down(self) -> None:
        if self._return is None:
            self._return = asyncio.create_task(self._returned())
            self._turned()

    async def _returned(self) -> None:
        try:
            await again(self._actor.open.remote, EngineError("worker-lost", "a worker will not be back"), math.inf)
        except (PartsongError, RayError) as error:
            _log.error("a restarted worker does not open: %s", type(error).__name__)  # its calls will say why
        self._return = None
        self._turned()

    def _turned(self) -> None:
        up = self._return is None and not self._link.deaf
        if up == self.up:
            return
        self._up.set() if up else self._up.clear()
        self._changed()


def _lost(call: Call, sent: Literal["no", "maybe"], message: str) -> Failure:
    return Failure(code=FailureCode.WORKER_LOST, message=message, where=call.model, retryable=True, sent=sent)


def _overdue(call: Call) -> Failure:
    message = f"no reply within {call.timeout_s:.3g} s, nor any sign of life from the worker's process"
    return Failure(code=FailureCode.TIMEOUT, message=message, where=call.model, retryable=True, sent="maybe")
