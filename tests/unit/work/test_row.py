"""The port of a row: fallbacks, the journal, the cache and the bill, whatever plan asks through it."""

import pytest
from work_bench import Bench, ListJournal, caller, completion

from partsong.contracts import Answer, CallRecord, Failure, FailureCode, Task
from partsong.work.asked import Fingerprint
from partsong.work.clock import Clock

REFUSED = Failure(code=FailureCode.AUTH, message="no")
BUSY = Failure(code=FailureCode.OVERLOADED, message="busy", retryable=True, cost_usd=0.5)


def lines(reply):
    return [(line.step, line.model, line.outcome) for line in reply.bill]


async def test_fallbacks_are_asked_in_turn_each_at_a_step_of_its_own():
    bench = Bench({"a": caller(REFUSED, fallbacks=("b", "c")), "b": caller(REFUSED), "c": caller(completion("from c"))})
    reply = await bench.answer("a")
    assert (reply.text, reply.source) == ("from c", "c")
    assert lines(reply) == [("a", "a", "failed"), ("a/else-b", "b", "failed"), ("a/else-c", "c", "answered")]


async def test_when_all_fail_the_last_failure_is_the_reply():
    bench = Bench({"a": caller(REFUSED, fallbacks=("b",)), "b": caller(BUSY, retries=0)})
    reply = await bench.answer("a")
    assert isinstance(reply, Failure)
    assert reply.code == FailureCode.OVERLOADED


async def test_past_its_deadline_no_fallback_is_asked():
    late = Failure(code=FailureCode.DEADLINE, message="too late")
    bench = Bench({"a": caller(late, fallbacks=("b",)), "b": caller(completion("from b"))})
    assert (await bench.answer("a")).code == FailureCode.DEADLINE


async def test_a_failure_for_good_is_held_on_to_and_one_that_may_pass_is_kept_for_its_cost_alone():
    bench = Bench({"a": caller(REFUSED, fallbacks=("b",)), "b": caller(BUSY, retries=0)})
    await bench.answer("a")
    assert [(call.model, call.settled, call.cost_usd) for call in bench.journal.calls] == [("a", True, 0.0), ("b", False, 0.5)]


async def test_what_failed_attempts_cost_is_on_the_bill():
    clock = Clock(dice=lambda: 0.0)
    reply = await Bench({"a": caller(BUSY, completion("at last"), clock=clock)}).answer("a")
    [line] = reply.bill
    assert (line.attempts, line.cost_usd) == (2, 0.5)


async def test_a_held_failure_is_given_again_without_a_call():
    asked = Task.of("Hello", use="a")
    made = caller(completion("asked"))
    held = CallRecord(run="run", row=0, step="a", ask_hash=Fingerprint(made.spec).of(asked), model="a", reply=REFUSED)
    reply = await Bench({"a": made}).answer("a", held=[held])
    assert (reply.code, lines(reply)) == (FailureCode.AUTH, [("a", "a", "journal")])


@pytest.mark.parametrize(("cache", "text"), [(True, "of an earlier run"), (False, "asked")])
async def test_completions_of_earlier_runs_answer_where_the_cache_is_on(cache, text):
    class Remembering(ListJournal):
        async def cached(self, ask_hashes):
            return dict.fromkeys(ask_hashes, completion("of an earlier run"))

    reply = await Bench({"a": caller(completion("asked"))}, journal=Remembering(), cache=cache).answer("a")
    assert isinstance(reply, Answer)
    assert reply.text == text
    assert lines(reply) == [("a", "a", "cache" if cache else "answered")]
