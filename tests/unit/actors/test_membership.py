"""Membership: whatever breaks, a party's news and what it tells are of one life, and no life is a mixture of two."""

import asyncio

import pytest
from partsong_actors.membership import Membership, StalePoolsError
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError


def unavailable() -> Exception:
    return ActorUnavailableError("gone", b"\0" * 16)


class Pools:
    """The other end, which breaks when the test says so."""

    def __init__(self) -> None:
        self.lives: list[str] = []
        self.refusals: list[Exception] = []
        self.queue: asyncio.Queue[list[str] | Exception | None] = asyncio.Queue()

    async def join(self, life: str) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.lives.append(life)

    async def news(self, life: str) -> list[str] | None:
        news = await self.queue.get()
        if isinstance(news, Exception):
            raise news
        return news


@pytest.fixture
async def kept(monkeypatch):
    """Return pools, a membership that is kept, and what it heard."""
    monkeypatch.setattr("partsong_actors.membership._PAUSE_S", 0.0)
    pools, heard = Pools(), []
    membership = Membership(pools, heard.append)
    keeping = asyncio.create_task(membership.keep())
    await until(lambda: pools.lives)
    yield pools, membership, heard
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def until(holds) -> None:
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


async def test_news_is_heard_in_order(kept):
    pools, _, heard = kept
    pools.queue.put_nowait(["a", "b"])
    pools.queue.put_nowait(["c"])
    await until(lambda: heard == ["a", "b", "c"])


def without_memory() -> Exception:
    return RayTaskError("news", "", MemoryError())


@pytest.mark.parametrize(
    "end", [None, unavailable(), without_memory()], ids=["pools that know nothing of it", "a broken line", "pools without memory"]
)
async def test_a_life_that_is_over_is_followed_by_another(kept, end):
    pools, _, heard = kept
    pools.queue.put_nowait(end)
    pools.queue.put_nowait(["after"])
    await until(lambda: heard == ["after"])
    assert len(set(pools.lives)) == 2


async def test_joining_is_tried_until_the_pools_are_back(kept):
    pools, _, _ = kept
    pools.refusals = [unavailable(), unavailable()]
    pools.queue.put_nowait(None)
    await until(lambda: len(pools.lives) == 2)


async def test_pools_that_have_successors_are_left_for_these(kept):
    pools, _, heard = kept
    pools.refusals = [StalePoolsError()]
    pools.queue.put_nowait(None)
    pools.queue.put_nowait(["after"])
    await until(lambda: heard == ["after"])


async def test_what_happened_in_an_earlier_life_is_not_told_in_a_later_one(kept):
    pools, membership, _ = kept
    earlier = membership.life
    pools.queue.put_nowait(None)
    await until(lambda: len(pools.lives) == 2)

    async def send() -> None:
        raise AssertionError("the joining has told it")

    await membership.tell(earlier, send)


async def test_what_may_not_have_arrived_begins_a_new_life(kept):
    pools, membership, _ = kept

    async def send() -> None:
        raise unavailable()

    await membership.tell(membership.life, send)
    await until(lambda: len(pools.lives) == 2)


@pytest.mark.parametrize("end", [ActorDiedError(), RayTaskError("join", "", KeyError())], ids=["gone for good", "failing"])
async def test_pools_that_will_not_be_back_are_said_to_be(end):
    pools = Pools()
    pools.refusals = [end]
    with pytest.raises(type(end)):
        await Membership(pools, print).keep()
