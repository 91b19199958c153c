"""Remote worker: the death of its process is a failure of the calls in flight, and a wait for those after."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

from partsong_actors.bulk import Lender
from partsong_actors.link import Mailbox
from partsong_actors.remote_worker import RemoteWorker
from partsong_actors.worker import CALLS, REPLIES
from ray.exceptions import ActorUnavailableError

from partsong.contracts import Call, Completion, Failure, FailureCode, Message, Task, Timing
from partsong.contracts.task import ImagePart


class Process:
    """A worker's actor in this process: it may be `dead`, or stand `still`."""

    def __init__(self) -> None:
        self.mailbox = Mailbox(self.complete, CALLS, REPLIES)
        self.deaf = asyncio.Event()
        self.deaf.set()
        self.dead = False
        self.still = False
        """Stopped: neither answers nor dies."""
        self.exchange, self.open = (SimpleNamespace(remote=one) for one in (self._exchange, self._open))

    async def complete(self, call: Call) -> Completion:
        await self.deaf.wait()
        return Completion(model="mini", text=call.task.text, timing=Timing(total_s=0.0))

    async def _exchange(self, caller: str, envelope: bytes, bulk=()) -> bytes:
        self._check()
        exchanging = asyncio.ensure_future(self.mailbox.exchange(caller, envelope, bulk))
        while self.still or not exchanging.done():
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


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not so():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.005)


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
    worker = RemoteWorker(process, lambda: (changes.append(worker.up), worker.up and back.set()), Lender())
    failure = await lost(process, worker)
    assert (failure.code, failure.retryable, failure.sent) == (FailureCode.WORKER_LOST, True, "maybe")
    assert changes == [False]
    process.dead = False
    await asyncio.wait_for(back.wait(), 1)
    assert changes == [False, True]


async def test_a_later_call_waits_for_the_process_to_be_back():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender())
    await lost(process, worker)
    later = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.02)
    assert not later.done()
    process.dead = False
    assert isinstance(await asyncio.wait_for(later, 1), Completion)


async def test_a_later_call_waits_for_a_dead_process_only_so_long():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender(), back_within_s=0.05)
    await lost(process, worker)
    failure = await worker.ask(call())
    assert isinstance(failure, Failure)
    assert (failure.code, failure.sent) == (FailureCode.WORKER_LOST, "no")
    process.dead = False
    await asyncio.sleep(0.2)


async def test_a_process_that_stands_still_is_not_up_and_what_it_was_asked_is_answered_when_it_goes_on():
    changes = []
    process = Process()
    worker = RemoteWorker(process, lambda: changes.append(worker.up), Lender(), deaf_after_s=0.05)
    process.still = True
    asked = asyncio.create_task(worker.ask(call()))
    await until(lambda: not worker.up)
    later = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.05)
    assert changes == [False]
    assert not asked.done()
    assert not later.done()
    process.still = False
    replies = await asyncio.wait_for(asyncio.gather(asked, later), 1)
    assert [type(reply) for reply in replies] == [Completion, Completion]
    assert changes == [False, True]


async def test_a_call_that_is_overdue_at_a_process_that_stands_still_may_have_been_paid():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender(), deaf_after_s=0.05, slack_s=0.0)
    process.still = True
    failure = await asyncio.wait_for(worker.ask(call(timeout_s=0.1)), 2)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.retryable, failure.sent) == (FailureCode.TIMEOUT, True, "maybe")
    process.still = False
    assert isinstance(await asyncio.wait_for(worker.ask(call()), 1), Completion)


async def test_a_call_at_a_process_that_runs_is_left_to_the_worker_s_own_clock():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender(), slack_s=0.0)
    process.deaf.clear()
    asked = asyncio.create_task(worker.ask(call(timeout_s=0.01)))
    await asyncio.sleep(0.8)
    assert not asked.done()
    process.deaf.set()
    assert isinstance(await asyncio.wait_for(asked, 1), Completion)


async def test_calls_do_not_pile_up_at_a_process_that_stands_still():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender(), deaf_after_s=0.05, back_within_s=0.1)
    process.still = True
    first = asyncio.create_task(worker.ask(call()))
    await until(lambda: not worker.up)
    turned_away = await asyncio.gather(*[worker.ask(call()) for _ in range(100)])
    assert {reply.sent for reply in turned_away} == {"no"}
    process.still = False
    await asyncio.wait_for(first, 1)


async def test_a_call_that_was_never_sent_when_its_process_died_was_not_paid():
    process = Process()
    worker = RemoteWorker(process, lambda: None, Lender())
    process.still = True
    sent = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.02)
    behind = asyncio.create_task(worker.ask(call()))
    await asyncio.sleep(0.02)
    process.dead = True
    replies = await asyncio.gather(sent, behind)
    assert [reply.sent for reply in replies] == ["maybe", "no"]
    process.dead = process.still = False
    await asyncio.sleep(0.2)


async def test_large_bytes_that_did_not_come_are_put_anew_for_the_next_attempt():
    process, puts = Process(), []
    lost = Failure(code=FailureCode.WORKER_LOST, message="they are gone", where="mini", retryable=True, sent="no")
    process.mailbox = Mailbox(process.complete, CALLS, REPLIES, lambda call, slots: given(lost))
    worker = RemoteWorker(process, lambda: None, Lender(lambda data: puts.append(data) or len(puts)))
    message = Message(role="user", parts=(ImagePart(data=bytes(300_000)),))
    asked = call().model_copy(update={"task": Task(id="1", messages=(message,))})
    assert [(await worker.ask(asked)).code for _ in range(2)] == [FailureCode.WORKER_LOST] * 2
    assert len(puts) == 2
    assert worker.up


async def given(failure: Failure) -> Failure:
    return failure
