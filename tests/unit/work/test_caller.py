"""A call is tried until it is answered or has failed for good."""

import asyncio
import math
from dataclasses import dataclass

import pytest
from work_bench import LimitedBench, ScriptedWorker, caller, caller_of, completion

from partsong.contracts import BreakerSpec, Completion, Failure, FailureCode, HedgeSpec, Limits, ModelSpec, Notice, Price, Task, Terms
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
    share = Share(lambda want, give_back: None, lambda: 0.0)
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


BROKEN = Failure(code=FailureCode.SERVER_ERROR, message="broken", retryable=True, sent="yes")
LATER = Failure(code=FailureCode.RATE_LIMITED, message="slow down", retryable=True, sent="yes")
LOST = Failure(code=FailureCode.WORKER_LOST, message="died", retryable=True, sent="maybe")
QUICK = BreakerSpec(least_calls=4, open_for=5.0, patience=60.0)


class Held:
    """A worker whose calls wait until they are let go, or are cancelled."""

    def __init__(self):
        self.waiting: list[asyncio.Future] = []
        self.cancelled = 0

    async def ask(self, call, on_text=None):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def asked(self, count):
        """Return when so many calls have come."""
        for _ in range(2000):
            if len(self.waiting) >= count:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"{len(self.waiting)} calls have come")


async def test_a_model_that_is_given_a_rest_is_waited_for_when_nobody_else_can_be_asked():
    time = ManualClock()
    made = caller(BROKEN, BROKEN, BROKEN, BROKEN, completion("back"), clock=time.clock(), retries=0, breaker=QUICK)
    for _ in range(4):
        await called(made, patient=True)
    assert made.breaker_state == "open"
    assert (await called(made, patient=True)).reply.text == "back"
    assert time.now_s >= 105.0


async def test_a_model_that_is_given_a_rest_fails_at_once_when_another_can_be_asked():
    time = ManualClock()
    made = caller(BROKEN, clock=time.clock(), retries=0, breaker=QUICK)
    for _ in range(4):
        await called(made)
    result = await called(made)
    assert (result.reply.code, result.reply.sent, result.tries.attempts, time.now_s) == (FailureCode.UNAVAILABLE, "no", 0, 100.0)


async def test_who_waits_for_a_rest_loses_patience_in_the_end():
    time = ManualClock()
    made = caller(BROKEN, clock=time.clock(), retries=0, breaker=QUICK.model_copy(update={"patience": 3.0}))
    for _ in range(4):
        await called(made, patient=True)
    assert (await called(made, patient=True)).reply.code is FailureCode.UNAVAILABLE
    assert 103.0 <= time.now_s < 105.0


async def test_probes_that_fail_are_none_of_a_waiting_calls_retries():
    time = ManualClock()
    made = caller(*[BROKEN] * 9, completion("back"), clock=time.clock(), retries=1, breaker=QUICK)
    assert (await called(made, patient=True)).tries.attempts == 2  # nobody knew of an outage yet
    result = await called(made, patient=True)
    assert (result.reply.text, result.tries.attempts, result.tries.counted) == ("back", 8, 1)
    assert time.now_s >= 135.0


async def test_an_outage_that_outlasts_patience_fails_who_waits():
    time = ManualClock()
    made = caller(BROKEN, clock=time.clock(), retries=4, breaker=QUICK)
    assert (await called(made, patient=True)).reply.retryable
    assert 160.0 <= time.now_s < 300.0


async def test_a_pause_after_a_rest_is_slept_through():
    time = ManualClock()
    later = LATER.model_copy(update={"retry_after_s": 20.0})
    replies = [BROKEN] * 4 + [completion("back")] * 3 + [later, completion("at last")]
    made = caller(*replies, clock=time.clock(), retries=0, breaker=QUICK)
    for _ in range(8):
        await called(made, patient=True)
    slept = len(time.slept)
    assert (await called(made, patient=True)).reply.text == "at last"
    assert len(time.slept) - slept <= 3


async def test_a_key_that_is_refused_again_and_again_fails_its_calls_at_once():
    worker = ScriptedWorker([REFUSED])
    made = caller_of(ModelSpec(adapter="scripted"), clock=ManualClock().clock())
    made.use([worker])
    results = [await called(made, patient=True) for _ in range(8)]
    assert {result.reply.code for result in results} == {FailureCode.AUTH}
    assert len(worker.calls) == 5


async def test_a_provider_that_asks_to_come_later_is_asked_for_as_long_as_patience_lasts():
    time = ManualClock()
    result = await called(caller(*[LATER] * 9, completion("at last"), clock=time.clock(), retries=1, breaker=QUICK), patient=True)
    assert (result.reply.text, result.tries.attempts, result.tries.counted) == ("at last", 10, 0)


async def test_when_patience_is_over_a_throttle_counts_as_a_retry():
    time = ManualClock()
    result = await called(caller(LATER, clock=time.clock(), retries=1, breaker=QUICK), patient=True)
    assert (result.reply, result.tries.counted) == (LATER, 2)
    assert time.now_s > 160.0


async def test_a_throttled_call_with_a_fallback_left_makes_its_retries_and_no_more():
    result = await called(caller(LATER, clock=ManualClock().clock(), retries=1, breaker=QUICK))
    assert (result.reply, result.tries.attempts) == (LATER, 2)


async def test_without_retries_a_throttle_is_final():
    result = await called(caller(LATER, clock=ManualClock().clock(), retries=0), patient=True)
    assert result.tries.attempts == 1


async def test_a_patient_call_may_be_put_off_a_thousand_times():
    time = ManualClock()
    day = BreakerSpec(patience=86_400.0)
    result = await called(caller(*[LATER] * 1500, completion("at last"), clock=time.clock(), breaker=day), patient=True)
    assert result.reply.text == "at last"


async def test_an_empty_retry_budget_is_waited_for():
    time = ManualClock()
    made = caller(BROKEN, clock=time.clock(), retries=20, retry_share=0.0, breaker="off")
    result = await called(made, patient=True)
    assert result.tries.attempts == 21
    before_s = time.now_s
    assert (await called(made, patient=True)).tries.attempts == 21
    assert time.now_s - before_s >= 10.0  # what was saved up is soon used, and the rest comes by the second


async def test_an_empty_retry_budget_is_no_reason_to_wait_when_another_can_be_asked():
    clock = ManualClock()
    clock.sleep = lambda seconds: asyncio.sleep(0)
    made = caller(BROKEN, clock=clock.clock(), retries=20, retry_share=0.0, breaker="off")
    saved_up = [(await called(made)).tries.attempts for _ in range(5)]
    assert saved_up == [21] * 5
    result = await called(made)
    assert (result.reply, result.tries.attempts) == (BROKEN, 1)


async def test_what_was_never_sent_is_retried_freely():
    refused = Failure(code=FailureCode.CONNECT, message="refused", retryable=True, sent="no")
    clock = ManualClock()
    clock.sleep = lambda seconds: asyncio.sleep(0)
    result = await called(caller(refused, clock=clock.clock(), retries=20, retry_share=0.0, breaker="off"))
    assert result.tries.attempts == 21


async def test_a_second_request_is_sent_beside_one_that_takes_long_and_the_loser_is_closed_and_counted():
    worker = Held()
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.02, share=1.0), price=Price(input=0, output=1000)))
    made.use([worker])
    asked = asyncio.create_task(called(made))
    await worker.asked(2)
    worker.waiting[1].set_result(completion("second"))
    result = await asked
    assert (result.reply.text, result.tries.attempts, worker.cancelled) == ("second", 2, 1)
    assert result.tries.possible_usd == pytest.approx(1.024)
    assert made.share.busy == 0


async def test_when_the_first_request_fails_its_hedge_may_still_answer():
    worker = Held()
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.02, share=1.0)))
    made.use([worker])
    asked = asyncio.create_task(called(made))
    await worker.asked(2)
    worker.waiting[0].set_result(REFUSED)
    await asyncio.sleep(0.01)
    worker.waiting[1].set_result(completion("second"))
    assert (await asked).reply.text == "second"


async def test_a_hedge_that_could_not_be_made_is_not_the_calls_failure():
    worker = Held()
    share = Share(lambda want, give_back: None, lambda: 0.0)
    share.granted(1)
    share.keep_idle(True)
    share.granted(1)
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.01, share=1.0)), share=share)
    made.use([worker])
    asked = asyncio.create_task(called(made))
    await asyncio.sleep(0.2)
    worker.waiting[0].set_result(REFUSED)
    result = await asked
    assert (result.reply, len(worker.waiting), share.waiting) == (REFUSED, 1, 0)


async def test_hedges_are_a_share_of_the_calls():
    worker = Held()
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.005, share=0.1)))
    made.use([worker])
    asked = [asyncio.create_task(called(made)) for _ in range(40)]
    await worker.asked(44)
    await asyncio.sleep(0.05)
    assert len(worker.waiting) == 44
    for future in worker.waiting:
        future.cancelled() or future.set_result(completion("fine"))
    assert sum([(await one).tries.attempts for one in asked]) == 44


async def test_a_hedge_for_which_there_is_no_permit_is_not_taken_from_the_budget():
    worker = Held()
    share = Share(lambda want, give_back: None, lambda: 0.0)
    share.keep_idle(True)
    share.granted(1)
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.01, share=0.4)), share=share)
    made.use([worker])

    async def ask(slow_s, requests):
        sent = len(worker.waiting)
        asked = asyncio.create_task(called(made))
        await worker.asked(sent + 1)
        await asyncio.sleep(slow_s)
        await worker.asked(sent + requests)
        worker.waiting[sent].set_result(completion("fine"))
        return (await asked).tries.attempts

    assert [await ask(0.0, 1), await ask(0.0, 1)] == [1, 1]
    assert await ask(0.2, 1) == 1  # 1.2 hedges are saved up, and there is no permit
    share.granted(1)
    assert await ask(0.0, 2) == 2


async def test_both_answers_of_a_hedged_call_are_paid_for():
    worker = Held()
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.01, share=1.0)))
    made.use([worker])
    asked = asyncio.create_task(called(made))
    await worker.asked(2)
    for future, text, cost_usd in zip(worker.waiting, ("first", "second"), (0.5, 0.25), strict=True):
        future.set_result(completion(text).model_copy(update={"cost_usd": cost_usd}))
    result = await asked
    assert (result.reply.text, result.reply.cost_usd, result.tries.lost_usd, result.tries.possible_usd) == ("first", 0.5, 0.25, 0.0)


async def test_a_call_that_waits_for_its_permit_does_not_wake_up_for_its_hedge(monkeypatch):
    made = caller_of(
        ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.001, share=1.0)), share=Share(lambda want, give_back: None, lambda: 0.0)
    )
    made.use([ScriptedWorker([completion("fine")])])
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda when, *args, **kwargs: timers.append(when) or call_at(when, *args, **kwargs))
    asked = asyncio.create_task(called(made))
    await asyncio.sleep(0.05)
    assert len(timers) <= 2
    made.share.granted(1)
    assert (await asked).reply.text == "fine"


async def test_what_a_call_waits_before_it_is_sent_is_no_reason_for_a_hedge():
    worker = Held()
    share = Share(lambda want, give_back: None, lambda: 0.0)
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.3, share=1.0)), share=share)
    made.use([worker])
    asked = asyncio.create_task(called(made))
    await asyncio.sleep(0.25)
    share.keep_idle(True)
    share.granted(5)
    await worker.asked(1)
    await asyncio.sleep(0.1)
    assert len(worker.waiting) == 1
    await worker.asked(2)
    worker.waiting[0].set_result(completion("first"))
    assert (await asked).reply.text == "first"


async def test_a_stream_is_never_hedged():
    worker = Held()
    made = caller_of(ModelSpec(adapter="scripted", hedge=HedgeSpec(after=0.005, share=1.0)))
    made.use([worker])
    asked = asyncio.create_task(called(made, on_text=lambda text: None))
    await asyncio.sleep(0.05)
    assert len(worker.waiting) == 1
    worker.waiting[0].set_result(completion("fine"))
    await asked


async def test_a_cancelled_call_counts_its_worst_case():
    worker = Held()
    bench = LimitedBench(ModelSpec(adapter="scripted", limits=Limits(usd_per_run=2.0), price=Price(input=0, output=1000)))
    bench.caller.use([worker])
    tries = Tries()
    asked = asyncio.create_task(bench.caller.call(Request(ASKED, "step"), tries))
    await worker.asked(1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert tries.possible_usd == pytest.approx(1.024)
    result = await called(bench.caller)
    assert (result.reply.code, result.tries.attempts) == (FailureCode.RUN_BUDGET, 0)
    assert "1.024 spent" in result.reply.message


async def test_a_call_that_was_cancelled_before_it_was_sent_costs_nothing():
    bench = LimitedBench(ModelSpec(adapter="scripted", limits=Limits(usd_per_run=2.0), price=Price(input=0, output=1000)))
    worker = Held()
    bench.caller.use([worker])
    first = asyncio.create_task(called(bench.caller))
    await worker.asked(1)
    tries = Tries()
    second = asyncio.create_task(bench.caller.call(Request(ASKED, "step"), tries))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    worker.waiting[0].set_result(completion("free"))
    await first
    assert (tries.possible_usd, bench.caller.purse.waiting) == (0.0, 0)
    assert [standing.leased.usd for standing in bench.caller.purse.standings()] == [0.0]


async def test_a_run_beyond_its_budget_is_refused_and_goes_on_with_a_larger_one():
    bench = LimitedBench(ModelSpec(adapter="scripted", price=Price(input=0, output=1000)))
    bench.caller.use([ScriptedWorker([completion("fine").model_copy(update={"cost_usd": 1.0})])])

    async def ask(budget_usd):
        return await bench.caller.call(Request(ASKED, "step", "run", Terms(budget_usd=budget_usd)), Tries())

    assert (await ask(1.5)).text == "fine"
    assert (await ask(1.5)).code is FailureCode.RUN_BUDGET
    assert (await ask(2.5)).text == "fine"


async def test_a_call_that_takes_longer_than_a_minute_settles_like_any():
    slow = completion("late").model_copy(update={"timing": completion("late").timing.model_copy(update={"total_s": 90.0})})
    bench = LimitedBench(ModelSpec(adapter="scripted", timeout=120, limits=Limits(requests_per_minute=100)))
    bench.caller.use([ScriptedWorker([slow])])
    assert (await called(bench.caller)).reply.text == "late"


async def test_a_rows_own_short_deadline_is_no_fault_of_the_models():
    class TimedOut(ScriptedWorker):
        async def ask(self, call, on_text=None):
            time.now_s += call.timeout_s
            return Failure(code=FailureCode.TIMEOUT, message="no reply", retryable=True, sent="maybe")

    time = ManualClock()
    made = caller_of(ModelSpec(adapter="scripted", breaker=QUICK), clock=time.clock())
    made.use([TimedOut([])])
    results = [await called(made, deadline_s=time.now_s + 0.01) for _ in range(10)]
    assert {result.reply.code for result in results} == {FailureCode.DEADLINE}
    assert made.breaker_state == "closed"


@pytest.mark.parametrize(("cost_usd", "lost_usd", "possible_usd"), [(0.25, 0.25, 0.0), (0.0, 0.0, 1.024)])
async def test_what_an_attempt_has_cost_when_the_rows_deadline_passes_is_told(cost_usd, lost_usd, possible_usd):
    class TimedOut(ScriptedWorker):
        async def ask(self, call, on_text=None):
            time.now_s += call.timeout_s
            return Failure(code=FailureCode.TIMEOUT, message="no reply", retryable=True, sent="yes", cost_usd=cost_usd)

    time = ManualClock()
    made = caller_of(ModelSpec(adapter="scripted", price=Price(input=0, output=1000)), clock=time.clock())
    made.use([TimedOut([])])
    result = await called(made, deadline_s=time.now_s + 1.0)
    assert (result.reply.code, result.reply.sent, result.reply.retryable) == (FailureCode.DEADLINE, "yes", False)
    assert (result.reply.cost_usd, result.tries.lost_usd) == (cost_usd, lost_usd)
    assert result.tries.possible_usd == pytest.approx(possible_usd)


@pytest.mark.parametrize(("said", "possible_usd"), [("Once upon", 1.024), ("", 0.0)])
async def test_an_error_after_text_came_may_be_billed(said, possible_usd):
    class Breaking(ScriptedWorker):
        async def ask(self, call, on_text=None):
            on_text(said)
            return await super().ask(call)

    made = caller_of(ModelSpec(adapter="scripted", retries=0, price=Price(input=0, output=1000)))
    made.use([Breaking([BROKEN])])
    result = await called(made, on_text=lambda text: None)
    assert (result.reply, result.tries.possible_usd) == (BROKEN, pytest.approx(possible_usd))


async def test_a_call_that_kills_its_workers_is_given_up_after_the_third():
    clock = ManualClock()
    result = await called(caller(LOST, completion("never"), clock=clock.clock(), retries=0))
    assert result.reply.text == "never"
    result = await called(caller(LOST, LOST, LOST, completion("never"), clock=clock.clock()), patient=True)
    assert (result.reply.code, result.reply.retryable, result.tries.attempts) == (FailureCode.WORKER_LOST, False, 3)
    assert "kill" in result.reply.message


async def test_a_retry_tells_what_went_wrong_and_what_is_done_about_it():
    told = list[Notice]()
    await called(caller(BROKEN, completion("fine"), clock=ManualClock().clock(), tell=told.append))
    [notice] = told
    assert str(notice) == "model: server-error (broken); such calls are made again, each time after a longer pause"


async def test_a_rest_and_its_end_are_told():
    time, told = ManualClock(), list[Notice]()
    made = caller(*[BROKEN] * 4, completion("back"), clock=time.clock(), retries=0, breaker=QUICK, tell=told.append)
    for _ in range(8):
        await called(made, patient=True)
    assert [notice.code for notice in told] == ["breaker-open", "breaker-closed"]
    assert "4 of its last 4 calls failed (server-error: broken)" in told[0].what


async def test_a_changed_entry_holds_from_the_next_attempt_on():
    time = ManualClock()
    worker = ScriptedWorker([BUSY, BUSY, BUSY, completion("too late")])
    made = caller_of(ModelSpec(adapter="scripted", timeout=10, retries=5), clock=time.clock())
    made.use([worker])
    made.change(ModelSpec(adapter="scripted", timeout=20, retries=1, adaptive=False), 64)
    assert (await called(made)).reply == BUSY
    assert [call.timeout_s for call in worker.calls] == [20.0, 20.0]
    assert made.at_once is None


async def test_more_workers_lift_what_the_adaptive_limit_lets_out():
    made = caller_of(ModelSpec(adapter="scripted", concurrency=4))
    assert made.at_once == 4
    made.change(ModelSpec(adapter="scripted", concurrency=4), 12)
    assert made.at_once == 12
