"""Worker: makes one attempt at a model through its adapter, within its time and its number of calls in flight."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from partsong.adapters.adapter import Adapter
from partsong.contracts import Call, Completion, Failure, FailureCode
from partsong.telemetry import Telemetry
from partsong.telemetry.levels import WORKER_WAITING

__all__ = ["Worker"]

_log = logging.getLogger(__name__)


class Worker:
    """One adapter and its calls in flight."""

    def __init__(self, name: str, adapter: Adapter, concurrency: int, telemetry: Telemetry, model: str = "") -> None:
        """`model` is the provider's name of it, where that differs."""
        self._name = name
        self._adapter = adapter
        self._model = model
        self._slots = asyncio.Semaphore(concurrency)
        self._telemetry = telemetry
        self._waiting = 0
        telemetry.gauge(*WORKER_WAITING, lambda: self._waiting, {"partsong.model": name})

    async def open(self) -> None:
        """Make the adapter ready; raises PartsongError with a remedy when it cannot."""
        await self._adapter.open()

    async def close(self) -> None:
        """Let go of connections and memory."""
        await self._adapter.close()

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Make the attempt; its own time-out and a broken adapter come back as failures too."""
        async with self._slot():
            with self._telemetry.model_span(self._name, call, self._adapter.kind, self._model) as span:
                reply = await self._attempt(call, on_text)
                span.completed(reply)
            return reply

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Hold one of the worker's slots, counted while it is waited for."""
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _attempt(self, call: Call, on_text: Callable[[str], None] | None) -> Completion | Failure:
        try:
            async with asyncio.timeout(call.timeout_s):
                return await self._adapter.complete(call.task, on_text)
        except TimeoutError:
            return Failure(
                code=FailureCode.TIMEOUT,
                message=f"no complete reply within {call.timeout_s:.3g} s; raise `timeout` if the model needs longer",
                where=self._name,
                retryable=True,
                sent="maybe",
            )
        except Exception as error:  # noqa: BLE001  the outermost line of a worker: a broken adapter costs its call, not the process
            _log.exception("adapter %s of model %s raised", self._adapter.kind, self._name)
            return Failure(
                code=FailureCode.WORKER_ERROR,
                message=f"the adapter raised {type(error).__name__}; see the log",
                where=self._name,
                sent="maybe",
            )
