"""What a job tells reaches every watcher, however many there are."""

import asyncio
import threading

from partsong_cluster.jobs.telling import Telling


async def lines(telling, after=0, within_s=60.0):
    number, events = await telling.news(after, within_s)
    return number, [event.line for event in events]


async def test_a_thousand_watchers_wait_without_a_thread_and_hear_it_from_another():
    telling, threads = Telling(), threading.active_count()
    waiting = [asyncio.create_task(lines(telling)) for _ in range(1000)]
    await asyncio.sleep(0)
    assert threading.active_count() == threads
    telling_thread = threading.Thread(target=telling.say, args=("it begins",))
    telling_thread.start()
    assert await asyncio.gather(*waiting) == [(1, ["it begins"])] * 1000
    telling_thread.join()


async def test_who_comes_late_is_told_at_once_and_who_knows_all_waits_in_vain():
    telling = Telling()
    telling.say("one")
    telling.say("two")
    assert await lines(telling) == (2, ["one", "two"])
    assert await lines(telling, after=1) == (2, ["two"])
    assert await lines(telling, after=2, within_s=0.01) == (2, [])


async def test_a_watcher_that_leaves_takes_nothing_from_the_others():
    telling = Telling()
    leaves, stays = asyncio.create_task(lines(telling)), asyncio.create_task(lines(telling))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    telling.say("still here")
    assert await stays == (1, ["still here"])
