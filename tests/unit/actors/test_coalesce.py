"""Coalescing: nothing waits on an idle line; under load items travel together, in order."""

import asyncio

import pytest
from partsong_actors.coalesce import Coalescer


class Line:
    """A send that is answered when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def send(self, batch):
        self.batches.append(list(batch))
        await self.gate.wait()
        return [item * 10 for item in batch]


async def test_the_first_item_leaves_at_once_and_what_comes_meanwhile_leaves_together():
    line = Line()
    coalescer = Coalescer(line.send)
    futures = [coalescer.put(1)]
    await asyncio.sleep(0)
    futures += [coalescer.put(2), coalescer.put(3)]
    line.gate.set()
    assert await asyncio.gather(*futures) == [10, 20, 30]
    assert line.batches == [[1], [2, 3]]


async def test_a_batch_is_never_larger_than_the_most():
    line = Line()
    line.gate.set()
    coalescer = Coalescer(line.send, most=2)
    await asyncio.gather(*[coalescer.put(n) for n in range(5)])
    assert [len(batch) for batch in line.batches] == [2, 2, 1]


async def test_a_failed_send_fails_its_own_items_and_the_next_send_works():
    async def send(batch):
        if 1 in batch:
            raise ConnectionError("lost")
        return batch

    coalescer = Coalescer(send)
    with pytest.raises(ConnectionError):
        await coalescer(1)
    assert await coalescer(2) == 2


async def test_an_item_whose_caller_was_cancelled_does_not_disturb_its_batch():
    line = Line()
    coalescer = Coalescer(line.send)
    first, second = asyncio.ensure_future(coalescer(1)), asyncio.ensure_future(coalescer(2))
    await asyncio.sleep(0)
    first.cancel()
    line.gate.set()
    assert await second == 20
