"""Again: a dead actor is waited for, its own errors are not."""

import asyncio

import pytest
from partsong_actors.again import again
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from partsong.errors import EngineError, StoreError

LOST = EngineError("gone", "it is gone")


def failing(times: int, error: Exception):
    """Return a call that fails so often, then answers."""
    left = [error] * times

    async def call() -> str:
        if left:
            raise left.pop()
        return "answer"

    return call


def unavailable() -> Exception:
    return ActorUnavailableError("gone", b"\0" * 16)


async def test_a_call_is_made_until_the_actor_is_back():
    assert await again(failing(2, unavailable()), LOST) == "answer"


async def test_an_actor_that_stays_away_is_given_up():
    with pytest.raises(EngineError, match="gone"):
        await again(failing(100, unavailable()), LOST, within_s=0.1)


async def test_an_actor_that_stood_still_for_long_and_then_died_is_waited_for_like_any_other():
    calls = 0

    async def call() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(0.3)
            raise unavailable()
        return "answer"

    assert await again(call, LOST, within_s=0.2) == "answer"


async def test_an_actor_that_will_not_be_back_is_not_waited_for():
    with pytest.raises(EngineError, match="gone"):
        await again(failing(1, ActorDiedError()), LOST)


async def test_what_the_actor_itself_says_is_no_reason_to_ask_again():
    with pytest.raises(StoreError, match="store-full"):
        await again(failing(1, StoreError("store-full", "the disk is full")), LOST)


async def test_an_actor_that_gets_no_memory_is_on_its_way_out_and_waited_for():
    without_memory = RayTaskError("append", "", MemoryError()).as_instanceof_cause()
    assert await again(failing(2, without_memory), LOST) == "answer"


async def test_whatever_else_an_actor_raises_is_no_reason_to_ask_again():
    with pytest.raises(RayTaskError):
        await again(failing(1, RayTaskError("append", "", KeyError()).as_instanceof_cause()), LOST)
