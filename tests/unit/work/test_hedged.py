"""Of an attempt and its hedge the first answer is taken, and what both cost is known."""

import asyncio

import pytest
from work_bench import completion

from partsong.contracts import Completion, Failure, FailureCode
from partsong.pool.hedge import Hedge
from partsong.work.hedged import Hedged

FAILED = Failure(code=FailureCode.SERVER_ERROR, message="broken", sent="yes")
NO_HEDGE = Failure(code=FailureCode.UNAVAILABLE, message="no hedge without a free permit")


class Flight:
    """An attempt, and its hedge, each until it is told its reply."""

    def __init__(self, *, hedges: int = 1):
        hedge = Hedge(after=0.005, share=1.0)
        for _ in range(hedges):
            hedge.called()
        self.hedged = Hedged(hedge, asyncio.get_running_loop().time)
        self.replies: list[asyncio.Future[Completion | Failure]] = []
        self.cancelled = 0
        self.task = asyncio.ensure_future(self.hedged.reply(self._request(), self._request))

    async def sent(self, count):
        await asyncio.sleep(0)
        self.hedged.leave(asyncio.get_running_loop().time())
        for _ in range(2000):
            if len(self.replies) >= count:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"{len(self.replies)} requests were made")

    async def _request(self):
        future = asyncio.get_running_loop().create_future()
        self.replies.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def answer(text, cost_usd):
    return completion(text).model_copy(update={"cost_usd": cost_usd})


@pytest.mark.parametrize("quickest", [0, 1])
async def test_the_first_answer_is_taken_and_the_other_request_is_cancelled(quickest):
    flight = Flight()
    await flight.sent(2)
    flight.replies[quickest].set_result(answer("quick", 1.0))
    assert ((await flight.task).text, flight.cancelled, flight.hedged.lost_usd) == ("quick", 1, 0.0)


async def test_of_two_answers_in_one_moment_the_second_is_lost_and_paid_for():
    flight = Flight()
    await flight.sent(2)
    flight.replies[1].set_result(answer("hedge", 0.25))
    flight.replies[0].set_result(answer("first", 0.5))
    assert ((await flight.task).text, flight.hedged.lost_usd) == ("first", 0.25)


async def test_without_an_answer_the_first_requests_failure_counts():
    flight = Flight()
    await flight.sent(2)
    flight.replies[1].set_result(NO_HEDGE)
    await asyncio.sleep(0.001)
    flight.replies[0].set_result(FAILED)
    assert await flight.task == FAILED


async def test_without_a_budget_there_is_no_hedge():
    flight = Flight(hedges=0)
    await flight.sent(1)
    await asyncio.sleep(0.02)
    assert len(flight.replies) == 1
    flight.replies[0].set_result(FAILED)
    assert await flight.task == FAILED


async def test_before_it_has_left_no_attempt_is_overdue():
    flight = Flight()
    await asyncio.sleep(0.03)
    assert len(flight.replies) == 1
    await flight.sent(2)
    flight.replies[0].set_result(answer("first", 0.0))
    await flight.task


async def test_cancelled_it_cancels_both_requests():
    flight = Flight()
    await flight.sent(2)
    flight.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight.task
    assert flight.cancelled == 2


async def test_cancelled_in_the_moment_of_an_answer_it_knows_what_that_cost():
    flight = Flight()
    await flight.sent(2)
    flight.replies[0].set_result(answer("first", 0.5))
    flight.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight.task
    assert (flight.cancelled, flight.hedged.lost_usd) == (1, 0.5)
