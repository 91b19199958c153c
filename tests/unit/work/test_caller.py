"""A call is tried until it is answered or has failed for good."""

import asyncio
import math
from dataclasses import dataclass

import pytest
from work_bench import ScriptedWorker, caller, caller_of, completion

from partsong.contracts import Completion, Failure, FailureCode, ModelSpec, Task
from partsong.errors import EngineError, WeightsError
from partsong.pool.share import Share
from partsong.work.caller import Caller, Request, Tries
from partsong.work.clock import Clock

BUSY = Failure(code=FailureCode.OVERLOADED, message="busy", retryable=True, cost_usd=0.25)
REFUSED = Failure(code=FailureCode.AUTH, message="no")
ABSENT = WeightsError("weights-missing", "the weights are not there", remedy="fetch them")
ASKED = Task.of("Hello")


class ManualClock:
    """Sleeping moves it on."""

    def __init__(self):
        self.now_s = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.now_s, dice=lambda: 0.5, sleep=self.sleep)


@dataclass
class Called:
    """What a call came to."""

    reply: Completion | Failure
    tries: Tries


async def called(made: Caller, *, deadline_s: float = math.inf, on_text=None, patient: bool = False) -> Called:
    tries = Tries()
    request = Request(ASKED, "step", deadline_s=deadline_s, on_text=on_text, patient=patient)
    return Called(await made.call(request, tries), tries)


async def test_what_may_pass_is_tried_again_and_what_it_cost_is_told():
    time = ManualClock()
    result = await called(caller(BUSY, BUSY, completion("at last"), clock=time.clock()))
    assert (result.reply.text, result.tries.attempts, result.tries.lost_usd) == ("at last", 3, 0.5)


async def test_what_cannot_pass_is_not_tried_again():
    result = await called(caller(REFUSED, completion("never asked")))
    assert (result.reply, result.tries.attempts) == (REFUSED, 1)


async def test_an_attempt_gets_the_nearer_of_the_models_limit_and_the_rows_deadline():
    worker = ScriptedWorker([completion("fine")])
    made = caller_of(ModelSpec(adapter="scripted", timeout=10), clock=ManualClock().clock())
    made.use([worker])
    await called(made)
    await called(made, deadline_s=103.0)
    assert [call.timeout_s for call in worker.calls] == [10.0, 3.0]


async def test_past_the_rows_deadline_no_request_is_made():
    worker = ScriptedWorker([completion("fine")])
    made = caller_of(ModelSpec(adapter="scripted"), clock=ManualClock().clock())
    made.use([worker])
    result = await called(made, deadline_s=90.0)
    assert (result.reply.code, result.reply.sent, worker.calls) == (FailureCode.DEADLINE, "no", [])


async def test_a_reply_that_was_shown_in_part_is_not_begun_again():
    class Breaking(ScriptedWorker):
        async def ask(self, call, on_text=None):
            on_text("Once upon")
            return await super().ask(call)

    made = caller()
    made.use([Breaking([BUSY, completion("twice told")])])
    shown: list[str] = []
    assert (await called(made, on_text=shown.append)).reply == BUSY
    assert shown == ["Once upon"]


async def test_without_a_worker_the_call_is_lost_and_may_be_tried_again():
    made = caller(retries=0)
    made.use([])
    result = await called(made)
    assert (result.reply.code, result.reply.retryable) == (FailureCode.WORKER_LOST, True)


async def test_a_permit_goes_back_whatever_becomes_of_the_call():
    made = caller(RuntimeError("gone"))
    with pytest.raises(RuntimeError):
        await called(made)
    assert made.share.busy == 0


async def test_workers_that_cannot_start_are_a_failure_that_says_what_to_do():
    share = Share(lambda want, give_back: None)
    made = caller_of(ModelSpec(adapter="scripted"), share=share)
    waits = asyncio.create_task(called(made))
    await asyncio.sleep(0)
    share.fail(ABSENT)
    for result in (await waits, await called(made)):
        assert result.reply == Failure(
            code=FailureCode.CANNOT_START, message="the weights are not there; fetch them", where="model", retryable=False, sent="no"
        )
        assert (result.tries.attempts, result.tries.cannot_start) == (0, ABSENT)


async def test_a_pool_that_is_gone_is_no_failure_of_the_call_but_the_engines():
    made = caller()
    made.share.lose(EngineError("pool-lost", "the pools are gone"))
    with pytest.raises(EngineError, match="pool-lost"):
        await called(made)
