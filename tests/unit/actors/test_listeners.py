"""Each listener hears all that is told while it is there; who has gone away is forgotten."""

import asyncio

from partsong_actors.listeners import Listeners

from partsong.contracts import Notice


def notice(number: int) -> Notice:
    return Notice(code=f"n-{number}", what="it happened")


class At:
    """Listeners on a clock that the test moves."""

    def __init__(self):
        self.now_s = 0.0
        self.listeners = Listeners(lambda: self.now_s)

    async def heard(self, name: str) -> list[str]:
        return [one.code for one in await self.listeners.heard(name, 0.01)]


async def test_each_of_several_hears_all_that_is_told_and_nothing_twice():
    at = At()
    assert [await at.heard(name) for name in "ab"] == [[], []]
    at.listeners.tell(notice(1))
    at.listeners.tell(notice(2))
    assert [await at.heard(name) for name in "abab"] == [["n-1", "n-2"]] * 2 + [[]] * 2


async def test_what_is_told_wakes_who_waits():
    at = At()
    waiting = asyncio.create_task(at.listeners.heard("a", 60))
    await asyncio.sleep(0)
    at.listeners.tell(notice(1))
    assert len(await asyncio.wait_for(waiting, 5)) == 1


async def test_who_asks_no_more_is_forgotten_and_who_asks_again_and_again_is_not():
    at = At()
    await at.heard("gone")
    for _ in range(10):
        at.now_s += 30
        await at.heard("there")
    assert len(at.listeners) == 1


async def test_who_is_far_behind_is_forgotten():
    at = At()
    await at.heard("behind")
    for number in range(1001):
        at.listeners.tell(notice(number))
    assert len(at.listeners) == 0
