"""Remote worker: the death of its process is a failure of the calls in flight, and a wait for those after."""

import asyncio
from types import SimpleNamespace

from partsong_actors.link import Mailbox
from partsong_actors.remote_worker import RemoteWorker
from partsong_actors.worker import CALLS, REPLIES
from ray.exceptions import ActorUnavailableError

from partsong.contracts import Call, Completion, Failure, FailureCode, Task, Timing


class Process:
    """A worker's actor in this process: `die`, `come_back`."""

    def __init__(self) -> None:
        self.mailbox = Mailbox(self.complete, CALLS, REPLIES)
        self.deaf = asyncio.Event()
        self.deaf.set()
        self.dead = False
        self.exchange, self.open = (SimpleNamespace(remote=one) for one in (self._exchange, self._open))

    async def complete(self, call: Call) -> Completion:
        await self.deaf.wait()
        return Completion(model="mini", text=call.task.text, timing=Timing(total_s=0.0))

    async def _exchange(self, caller: str, envelope: bytes) -> bytes:
        self._check()
        exchanging = asyncio.ensure_future(self.mailbox.exchange(caller, envelope))
        while not exchanging.done():
            await asyncio.sleep(0.01)
            self._check()
        return exchanging.result()

    async def _open(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.dead:
            raise ActorUnavailableError("gone", b"\0" * 16)


def call(timeout_s: float = 5.0) -> Call:
    return Call(model="mini", task=Task.of("q"), step="mini", timeout_s=timeout_s, traceparent="")


async def lost(process: Process, worker: RemoteWorker) -> Failure:
    """Kill the process with a call in flight."""
    process.deaf.clear()
    asking = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.02)
    process.dead = True
    reply = await asking
    process.deaf.set()
    assert isinstance(reply, Failure)
    return reply


async def test_a_call_in_flight_fails_in_a_way_that_may_be_tried_again_and_may_be_paid():
    changes, back = [], asyncio.Event()
    process = Process()
    worker = RemoteWorker(process, lambda: (changes.append(worker.up), worker.up and back.set()))
    failure = await lost(process, worker)
    assert (failure.code, failure.retryable, failure.sent) == (FailureCode.WORKER_LOST, True, "maybe")
    assert changes == [False]
    process.dead = False
    await asyncio.wait_for(back.wait(), 1)
    assert changes == [False, True]


async def test_a_later_call_waits_for_the_process_to_be_back():
    process = Process()
    worker = RemoteWorker(process, lambda: None)
    await lost(process, worker)
    later = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.02)
    assert not later.done()
    process.dead = False
    assert isinstance(await asyncio.wait_for(later, 1), Completion)


async def test_a_later_call_waits_no_longer_than_a_call_may_take():
    process = Process()
    worker = RemoteWorker(process, lambda: None)
    await lost(process, worker)
    failure = await worker.ask(call(timeout_s=0.05))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.sent) == (FailureCode.WORKER_LOST, "no")
    process.dead = False
    await asyncio.sleep(0.2)
