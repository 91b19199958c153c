"""An actor whose work beside its calls has failed ends."""

import asyncio
import os

import pytest
from partsong_actors.beside import beside


@pytest.fixture
def ended(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


async def over(task):
    await asyncio.wait([task])
    await asyncio.sleep(0)


async def fails():
    raise AttributeError("a mistake of ours")


async def test_work_that_fails_ends_the_process_and_its_log_says_why(ended, caplog):
    await over(beside(fails()))
    assert ended == [1]
    assert "a mistake of ours" in caplog.text


async def test_work_that_is_over_or_cancelled_ends_nothing(ended):
    await over(beside(asyncio.sleep(0)))
    cancelled = beside(asyncio.sleep(60))
    await asyncio.sleep(0)
    cancelled.cancel()
    await over(cancelled)
    assert not ended
