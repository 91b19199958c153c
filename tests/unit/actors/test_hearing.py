"""Hearing: an actor whose calls stay out is deaf; one whose caller stood still is not."""

import asyncio
import time

from partsong_actors.hearing import Hearing


class Ear:
    """What a hearing tells."""

    def __init__(self, deaf_after_s: float) -> None:
        self.turns: list[bool] = []
        self.reminders = 0
        self.hearing = Hearing(lambda: self.turns.append(self.hearing.deaf), self.remind, deaf_after_s)

    def remind(self) -> None:
        self.reminders += 1


async def test_an_actor_whose_calls_come_back_in_time_is_never_deaf():
    ear = Ear(0.1)
    for _ in range(10):
        await ear.hearing.of(asyncio.sleep(0.03))
    assert ear.turns == []


async def test_an_actor_whose_call_stays_out_is_deaf_until_it_comes_back():
    ear = Ear(0.05)
    await ear.hearing.of(asyncio.sleep(0.2))
    assert ear.turns == [True, False]
    assert ear.reminders > 1


async def test_a_failed_call_is_a_sign_of_life_too():
    async def failing() -> None:
        await asyncio.sleep(0.2)
        raise ConnectionError

    ear = Ear(0.05)
    await asyncio.gather(ear.hearing.of(failing()), return_exceptions=True)
    assert ear.turns == [True, False]


async def test_a_caller_that_stood_still_itself_takes_nobody_for_deaf():
    ear = Ear(0.3)
    calling = asyncio.create_task(ear.hearing.of(asyncio.sleep(0.1)))
    await asyncio.sleep(0)
    time.sleep(0.5)  # noqa: ASYNC251  the caller stands still
    await calling
    assert ear.turns == []


async def test_silence_between_calls_is_no_deafness():
    ear = Ear(0.05)
    await ear.hearing.of(asyncio.sleep(0))
    await asyncio.sleep(0.2)
    await ear.hearing.of(asyncio.sleep(0.01))
    assert ear.turns == []
