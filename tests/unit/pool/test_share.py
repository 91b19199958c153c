"""Share: calls wait for permits in order and lose none when cancelled."""

import asyncio

import pytest

from partsong.errors import EngineError
from partsong.pool.permits import Grant, KeepIdle, Permits, Recall
from partsong.pool.share import NoWorkerError, Share
from partsong.pool.waits import Waited, bucket


class Pool:
    """Two shares on one set of permits, wired as an engine does."""

    def __init__(self, capacity: int, callers: str = "ab") -> None:
        self.permits = Permits(capacity)
        self.shares = {name: Share(self._exchange(name), lambda: 0.0) for name in ("a", "b")}
        for name in callers:
            self._follow(self.permits.join(name))

    def _exchange(self, name):
        def exchange(want: int, give_back: int) -> None:
            instructions = [*self.permits.give_back(name, give_back)] if give_back else []
            instructions += self.permits.want(name, want) if want else []
            self._follow(instructions)

        return exchange

    def _follow(self, instructions) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(caller, count):
                    self.shares[caller].granted(count)
                case Recall(caller, count):
                    self.shares[caller].recalled(count)
                case KeepIdle(caller, keep):
                    self.shares[caller].keep_idle(keep)


async def waiting(share: Share) -> asyncio.Task:
    task = asyncio.create_task(share.acquire())
    await asyncio.sleep(0)
    return task


async def test_calls_get_permits_in_the_order_they_came():
    share = Pool(1).shares["a"]
    await share.acquire()
    first, second = await waiting(share), await waiting(share)
    share.release()
    await asyncio.sleep(0)
    assert first.done()
    assert not second.done()
    second.cancel()


async def test_a_lone_caller_keeps_its_idle_permit_until_another_is_about():
    pool = Pool(1, callers="a")
    await pool.shares["a"].acquire()
    pool.shares["a"].release()
    assert pool.permits.leased == 1
    pool._follow(pool.permits.join("b"))
    assert pool.permits.leased == 0


async def test_with_another_about_an_idle_permit_goes_back_at_once():
    pool = Pool(1)
    await pool.shares["a"].acquire()
    pool.shares["a"].release()
    await asyncio.wait_for(pool.shares["b"].acquire(), 1)
    assert pool.shares["b"].busy == 1


async def test_two_callers_take_turns_at_a_single_permit():
    pool = Pool(1)
    await pool.shares["a"].acquire()
    other, mine = await waiting(pool.shares["b"]), await waiting(pool.shares["a"])
    pool.shares["a"].release()
    await asyncio.sleep(0)
    assert other.done()
    pool.shares["b"].release()
    await asyncio.wait_for(mine, 1)


async def test_a_busy_permit_that_was_recalled_goes_back_when_its_call_ends():
    pool = Pool(2)
    await pool.shares["a"].acquire()
    await pool.shares["a"].acquire()
    other = await waiting(pool.shares["b"])
    assert not other.done()
    pool.shares["a"].release()
    await asyncio.sleep(0)
    assert other.done()


async def test_cancelled_while_waiting_takes_no_permit():
    share = Pool(1).shares["a"]
    await share.acquire()
    task = await waiting(share)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    share.release()
    await asyncio.wait_for(share.acquire(), 1)


async def test_cancelled_in_the_moment_of_the_grant_gives_the_permit_on():
    share = Pool(1).shares["a"]
    await share.acquire()
    first, second = await waiting(share), await waiting(share)
    share.release()  # grants first, which has not run yet
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second, 1)
    assert share.busy == 1


async def test_a_model_without_workers_fails_those_who_wait_and_those_who_come():
    share = Share(lambda want, give_back: None, lambda: 0.0)
    task = await waiting(share)
    share.fail(EngineError("worker-start", "no worker could start"))
    for call in (task, share.acquire()):
        with pytest.raises(NoWorkerError) as caught:
            await call
        assert caught.value.cause.problems[0].what == "no worker could start"


async def test_a_worker_that_starts_after_all_ends_the_failing():
    pool = Pool(0, callers="a")
    share = pool.shares["a"]
    waits = await waiting(share)
    share.fail(EngineError("worker-start", "no worker could start"))
    await asyncio.gather(waits, return_exceptions=True)
    share.staffed()
    pool._follow(pool.permits.resize(1))
    for _ in range(2):
        await asyncio.wait_for(share.acquire(), 1)
        share.release()


async def test_a_pool_that_is_gone_ends_those_who_wait_and_those_who_come():
    share = Share(lambda want, give_back: None, lambda: 0.0)
    task = await waiting(share)
    share.lose(EngineError("pool-lost", "the pools are gone"))
    for call in (task, share.acquire()):
        with pytest.raises(EngineError, match="pool-lost"):
            await call


async def test_renewed_it_says_what_it_holds_and_asks_again_for_what_it_waits_for():
    told: list[tuple[int, int]] = []
    share = Share(lambda want, give_back: told.append((want, give_back)), lambda: 0.0)
    share.keep_idle(True)
    calls = [await waiting(share), await waiting(share)]
    share.granted(2)
    await asyncio.gather(*calls)
    share.release()
    assert share.renew() == (2, 0)
    await share.acquire()
    waits = await waiting(share)
    assert share.renew() == (2, 1)
    told.clear()
    share.granted(1)
    await asyncio.wait_for(waits, 1)
    assert told == []


async def test_renewed_it_owes_nothing_to_a_pool_that_is_gone():
    told: list[tuple[int, int]] = []
    share = Share(lambda want, give_back: told.append((want, give_back)), lambda: 0.0)
    share.keep_idle(True)
    first = await waiting(share)
    share.granted(1)
    await first
    share.recalled(1)
    share.renew()
    share.release()
    assert told == [(1, 0)]
    await asyncio.wait_for(share.acquire(), 1)


async def test_a_call_whose_permit_was_recalled_on_its_way_is_asked_for_again():
    told: list[tuple[int, int]] = []
    share = Share(lambda want, give_back: told.append((want, give_back)), lambda: 0.0)
    share.recalled(1)  # crossed with giving back: owed, and nothing held
    waits = await waiting(share)
    share.granted(1)
    assert told == [(1, 0), (1, 1)]
    share.granted(1)
    await asyncio.wait_for(waits, 1)


async def test_how_calls_waited_is_told_once():
    now = [0.0]
    granted: list[int] = []
    share = Share(lambda want, _: granted.append(want), lambda: now[0])
    first, second = await waiting(share), await waiting(share)
    now[0] = 3.0
    assert share.waited() == Waited(0, 2, 3.0)
    share.granted(1)
    await first
    assert share.waited() == Waited(1, 1, 3.0, {bucket(3.0): 1})
    share.granted(1)
    await second
    share.release()
    share.release()
    assert share.waited().busy == 2  # since it was last asked
    assert share.waited().idle


async def test_calls_that_wait_for_an_overloaded_provider_wait_for_no_worker():
    share = Share(lambda want, give_back: None, lambda: 0.0)
    share.hold_to(1)
    first = await waiting(share)
    share.granted(2)
    await first
    second = await waiting(share)
    assert share.waited().waiting == 0
    second.cancel()


async def test_a_share_that_is_paused_makes_no_call_and_keeps_what_it_holds():
    share = Share(lambda want, give_back: None, lambda: 0.0)
    share.keep_idle(True)
    share.pause(True)
    share.granted(1)
    call = await waiting(share)
    assert not call.done()
    share.pause(False)
    await call
    assert share.busy == 1
