"""Link and mailbox: each reply by itself, none lost, losses told, cancellation carried over."""

import asyncio

import msgpack
import pytest
from partsong_actors.link import Link, LinkLostError, Mailbox
from ray.exceptions import ActorUnavailableError

from partsong.contracts import Answer, Task
from partsong.errors import StoreError
from partsong.wire import Codec

TASKS, ANSWERS = Codec(Task), Codec(Answer)


class Actor:
    """A mailbox in this process, reached through bytes alone; while `dead`, every call fails."""

    def __init__(self, handle) -> None:
        self.mailbox = Mailbox(handle, TASKS, ANSWERS)
        self.dead = False
        self.calls = 0

    async def exchange(self, caller: str, envelope: bytes, bulk=()) -> bytes:
        self.calls += 1
        if self.dead:
            raise ActorUnavailableError("gone", b"\0" * 16)
        await asyncio.sleep(0.001)  # a round trip
        return await self.mailbox.exchange(caller, envelope, bulk)


class Stalling(Actor):
    """Takes the first request and answers nothing after that; its calls fail when the test says so."""

    stalls = True

    def __init__(self, handle) -> None:
        super().__init__(handle)
        self.stalled = []

    async def exchange(self, caller: str, envelope: bytes, bulk=()) -> bytes:
        self.calls += 1
        if not self.stalls:
            return await self.mailbox.exchange(caller, envelope, bulk)
        if self.calls == 1:
            return msgpack.packb(([], [], ANSWERS.pack([])))
        stalled = asyncio.get_running_loop().create_future()
        self.stalled.append(lambda: stalled.set_exception(ActorUnavailableError("gone", b"\0" * 16)))
        return await stalled


def link_to(actor: Actor) -> Link[Task, Answer]:
    return Link(actor, TASKS, ANSWERS)


async def echo(task: Task) -> Answer:
    return Answer(text=task.text)


async def test_every_request_gets_its_own_reply():
    link = link_to(Actor(echo))
    replies = await asyncio.gather(*[link.request(Task.of(f"q{n}")) for n in range(100)])
    assert [reply.text for reply in replies] == [f"q{n}" for n in range(100)]
    assert link.pending == 0


async def test_a_quick_reply_does_not_wait_for_a_slow_one_of_its_batch():
    never = asyncio.Event()

    async def handle(task: Task) -> Answer:
        if task.text == "slow":
            await never.wait()
        return Answer(text=task.text)

    link = link_to(Actor(handle))
    slow = asyncio.create_task(link.request(Task.of("slow")))
    quick = asyncio.create_task(link.request(Task.of("quick")))
    assert (await asyncio.wait_for(quick, 1)).text == "quick"
    slow.cancel()


async def test_a_cancelled_request_stops_the_work_at_the_other_end():
    stopped = asyncio.Event()

    async def handle(task: Task) -> Answer:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        return Answer(text="")

    link = link_to(Actor(handle))
    request = asyncio.create_task(link.request(Task.of("q")))
    await asyncio.sleep(0.01)
    request.cancel()
    await asyncio.wait_for(stopped.wait(), 1)


async def test_a_dead_actor_fails_every_request_under_way_and_a_later_one_may_succeed():
    actor = Actor(echo)
    actor.dead = True
    link = link_to(actor)
    with pytest.raises(LinkLostError):
        await asyncio.wait_for(link.request(Task.of("q")), 1)
    actor.dead = False
    assert (await asyncio.wait_for(link.request(Task.of("q2")), 1)).text == "q2"


async def test_a_request_lost_before_it_was_sent_leaves_the_line_free():
    """Calls of a dead process fail one after another: the one that waits for replies, then the one that sends."""
    actor = Stalling(echo)
    link = link_to(actor)
    first = asyncio.create_task(link.request(Task.of("sent")))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(link.request(Task.of("being sent")))
    await asyncio.sleep(0.01)
    third = asyncio.create_task(link.request(Task.of("behind it")))
    await asyncio.sleep(0.01)
    for fail in actor.stalled:  # the oldest is the one that waits
        fail()
        await asyncio.sleep(0)
    lost = await asyncio.wait_for(asyncio.gather(first, second, third, return_exceptions=True), 1)
    assert [type(one) for one in lost] == [LinkLostError] * 3
    actor.stalls = False
    assert (await asyncio.wait_for(link.request(Task.of("later")), 1)).text == "later"


async def test_what_an_older_call_comes_to_does_not_touch_what_was_asked_since():
    actor = Stalling(echo)
    link = link_to(actor)
    first = asyncio.create_task(link.request(Task.of("sent")))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(link.request(Task.of("being sent")))
    await asyncio.sleep(0.01)
    waits, sends = actor.stalled
    waits()
    await asyncio.gather(first, second, return_exceptions=True)
    later = asyncio.create_task(link.request(Task.of("later")))
    await asyncio.sleep(0.01)
    actor.stalls = False
    sends()
    assert (await asyncio.wait_for(later, 1)).text == "later"


async def test_an_error_of_the_family_arrives_as_it_was_and_any_other_without_its_words():
    async def handle(task: Task) -> Answer:
        if task.text == "store":
            raise StoreError("store-full", "the disk is full", remedy="make room")
        raise ValueError("sk-secret")

    link = link_to(Actor(handle))
    with pytest.raises(StoreError, match="the disk is full"):
        await link.request(Task.of("store"))
    with pytest.raises(Exception, match="ValueError") as other:
        await link.request(Task.of("other"))
    assert "sk-secret" not in str(other.value)


async def test_a_busy_line_needs_about_one_call_a_round_trip():
    async def quick(task: Task) -> Answer:
        await asyncio.sleep(0.001)
        return Answer(text=task.text)

    actor = Actor(quick)
    link = link_to(actor)

    async def one_after_the_other(name: str) -> None:
        for n in range(20):
            await link.request(Task.of(f"{name} {n}"))

    await asyncio.gather(*[one_after_the_other(str(name)) for name in range(50)])
    assert actor.calls < 300  # for 1,000 requests


async def test_a_reply_on_an_otherwise_idle_line_comes_when_it_is_there():
    link = link_to(Actor(echo))
    async with asyncio.timeout(1):
        for n in range(20):
            assert (await link.request(Task.of(str(n)))).text == str(n)


async def test_a_mailbox_forgets_callers_that_are_long_gone_and_what_they_never_collected(monkeypatch):
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(echo, TASKS, ANSWERS)
    asks = msgpack.packb(([1], [], TASKS.pack([Task.of("q")])))
    waits = msgpack.packb(([], [], TASKS.pack([])))
    patient = asyncio.create_task(mailbox.exchange("patient", waits))
    now_s = loop.time()
    for death in range(50):
        await mailbox.exchange(f"caller {death}", asks)  # dies before it collects the reply
        await asyncio.sleep(0)
        now_s += 100.0
        monkeypatch.setattr(loop, "time", lambda now_s=now_s: now_s)
        assert mailbox.callers <= 8
    assert mailbox.open_requests == 0
    monkeypatch.undo()
    patient.cancel()


async def test_a_mailbox_is_finished_when_nothing_is_under_way():
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(task: Task) -> Answer:
        begun.set()
        await go_on.wait()
        return Answer(text=task.text)

    actor = Actor(handle)
    await actor.mailbox.finished()
    asking = asyncio.create_task(link_to(actor).request(Task.of("a")))
    await begun.wait()
    finishing = asyncio.create_task(actor.mailbox.finished())
    await asyncio.sleep(0)
    assert not finishing.done()
    go_on.set()
    await finishing
    assert (await asking).text == "a"
