"""The port of a row: fallbacks, the journal, the cache and the bill, whatever plan asks through it."""

import asyncio

import pytest
from plan_builders import plan
from work_bench import Bench, LimitedBench, ListJournal, ScriptedWorker, caller, caller_of, completion

from partsong.contracts import (
    Answer,
    CallRecord,
    Constraints,
    Failure,
    FailureCode,
    ImagePart,
    Message,
    ModelSpec,
    Price,
    Task,
    Terms,
    TextPart,
)
from partsong.errors import BudgetError
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


NO_FALLBACKS = Constraints(fallbacks=False)
IMAGE = Message(role="user", parts=(TextPart(text="What is this?"), ImagePart(data=b"png")))


def fallen(**fields):
    """A model that fails and falls back on one that answers."""
    return {"a": caller(REFUSED, fallbacks=("b",), **fields), "b": caller(completion("from b"))}


async def test_an_answer_names_what_it_is_a_fallback_for():
    reply = await Bench(fallen()).answer("a")
    assert (reply.source, reply.fallback_for, reply.begun_again) == ("b", "a", False)
    assert (await Bench(fallen()).answer("b")).fallback_for == ""


async def test_an_image_goes_past_fallbacks_that_read_text_alone():
    models = {
        "a": caller(REFUSED, accepts=("text", "image"), fallbacks=("blind", "seeing")),
        "blind": caller(completion("guessed")),
        "seeing": caller(completion("seen"), accepts=("text", "image")),
    }
    reply = await Bench(models).answer("a", messages=(IMAGE,))
    assert reply.text == "seen"
    assert [line.model for line in reply.bill] == ["a", "seeing"]


async def test_an_image_that_no_fallback_takes_is_the_first_models_failure():
    models = {"a": caller(REFUSED, accepts=("text", "image"), fallbacks=("blind",)), "blind": caller(completion("guessed"))}
    reply = await Bench(models).answer("a", messages=(IMAGE,))
    assert reply.code is FailureCode.AUTH


async def test_a_model_that_cannot_take_the_row_leaves_it_to_a_fallback_that_can():
    models = {
        "blind": caller(completion("guessed"), fallbacks=("seeing",)),
        "seeing": caller(completion("seen"), accepts=("text", "image")),
    }
    reply = await Bench(models).answer("blind", messages=(IMAGE,))
    assert (reply.text, reply.fallback_for) == ("seen", "blind")
    refused = await Bench(models).answer("blind", messages=(IMAGE,), constraints=NO_FALLBACKS)
    assert refused.code is FailureCode.UNSUPPORTED


PLANS = {
    "vote": plan("ensemble", {"members": ["a", "a"], "merge": "majority"}),
    "judged": plan("ensemble", {"members": ["good", "other"], "merge": {"best": {"judge": "a"}}}),
    "climb": plan("cascade", [{"ask": "a"}]),
    "nested": plan("cascade", [{"ask": "vote"}]),
    "line": plan("pipeline", [{"ask": "good"}, {"ask": "a", "prompt": "{{ previous }}"}]),
    "deep": plan("layers", {"proposers": ["good", "other"], "aggregator": "a"}),
}


@pytest.mark.parametrize("use", ["a", *PLANS])
@pytest.mark.parametrize("whose", ["mesh", "model", "task"])
async def test_fallbacks_off_is_obeyed_by_members_judges_stages_and_aggregators(use, whose):
    bench = Bench(
        {
            "a": caller(REFUSED, fallbacks=() if whose == "model" else ("b",)),
            "b": caller(completion("A")),
            "good": caller(completion("good")),
            "other": caller(completion("other")),
        },
        PLANS,
        fallbacks=whose != "mesh",
    )
    reply = await bench.answer(use, **({"constraints": NO_FALLBACKS} if whose == "task" else {}))
    assert "b" not in {line.model for line in reply.bill}
    assert isinstance(reply, Failure)


@pytest.mark.parametrize("use", ["a", *PLANS])
async def test_fallbacks_on_serve_members_judges_stages_and_aggregators(use):
    models = fallen() | {"good": caller(completion("good")), "other": caller(completion("other"))}
    reply = await Bench(models, PLANS).answer(use)
    assert "b" in {line.model for line in reply.bill}


async def test_a_repair_stays_with_the_model_whose_answer_was_invalid():
    models = {"a": caller(completion("no json"), REFUSED, fallbacks=("b",)), "b": caller(completion('{"x": 1}'))}
    schema = {"type": "object", "required": ["x"]}
    off = await Bench(models).answer("a", answer_schema=schema, constraints=NO_FALLBACKS)
    assert isinstance(off, Failure)
    assert {line.model for line in off.bill} == {"a"}


class Streaming(ScriptedWorker):
    """Shows a word, then gives its reply."""

    async def ask(self, call, on_text=None):
        reply = await super().ask(call)
        if on_text:
            on_text("Once ")
        return reply


CUT = Failure(code=FailureCode.STREAM_BROKEN, message="cut", retryable=True, sent="yes")


def streaming(*replies, **fields):
    made = caller_of(ModelSpec(adapter="scripted", **fields))
    made.use([Streaming(replies)])
    return made


async def test_a_stream_that_fails_before_its_first_word_falls_back_like_any_call():
    shown = []
    models = {"a": caller(REFUSED, fallbacks=("b",)), "b": streaming(completion("Once more"))}
    reply = await Bench(models).answer("a", on_text=shown.append)
    assert (reply.text, reply.begun_again, shown) == ("Once more", False, ["Once "])


async def test_a_stream_that_breaks_off_is_a_failure_unless_the_mesh_says_otherwise():
    shown = []
    models = {"a": streaming(CUT, fallbacks=("b",)), "b": streaming(completion("Once more"))}
    reply = await Bench(models).answer("a", on_text=shown.append)
    assert (reply.code, shown) == (FailureCode.STREAM_BROKEN, ["Once "])
    assert [line.model for line in reply.bill] == ["a"]


async def test_a_stream_that_breaks_off_is_begun_again_on_the_fallback_and_says_so():
    shown = []
    models = {"a": streaming(CUT, fallbacks=("b",), stream_failure="begin-again"), "b": streaming(completion("Once more"))}
    reply = await Bench(models).answer("a", on_text=shown.append)
    assert (reply.text, reply.fallback_for, reply.begun_again) == ("Once more", "a", True)
    assert shown == ["Once ", "\n\n[b begins again:]\n\n", "Once "]


async def test_a_stream_with_fallbacks_off_is_not_begun_again():
    models = {"a": streaming(CUT, fallbacks=("b",), stream_failure="begin-again"), "b": streaming(completion("Once more"))}
    reply = await Bench(models).answer("a", on_text=lambda text: None, constraints=NO_FALLBACKS)
    assert reply.code is FailureCode.STREAM_BROKEN


def priced(*replies, wait_s=0.0):
    """A model whose calls may cost a dollar, within limits that hold."""

    class Slow(ScriptedWorker):
        async def ask(self, call, on_text=None):
            await asyncio.sleep(wait_s)
            return await super().ask(call)

    bench = LimitedBench(ModelSpec(adapter="scripted", price=Price(input=0, output=0, request=1.0)))
    bench.caller.use([Slow(replies)])
    return bench.caller


def dear(text):
    return completion(text).model_copy(update={"cost_usd": 1.0})


async def test_a_budget_ends_the_row_when_its_calls_in_flight_have_ended_and_are_in_the_journal():
    bench = Bench({"a": priced(dear("one"), wait_s=0.02), "b": caller(completion("two"))}, {"both": plan("ensemble", ["a", "a", "b"])})
    with pytest.raises(BudgetError, match="budget of \\$1"):
        await bench.answer("both", terms=Terms(budget_usd=1.0))
    assert sorted(call.reply.text for call in bench.journal.calls) == ["one", "two"]
    assert bench.journal.rows == []


async def test_a_row_that_a_budget_stopped_goes_on_with_a_larger_one_and_pays_for_nothing_twice():
    models = {"a": priced(dear("one"), dear("two")), "b": caller(completion("two"))}
    bench = Bench(models, {"line": plan("pipeline", [{"ask": "a"}, {"ask": "a", "name": "again", "prompt": "{{ previous }}"}])})
    with pytest.raises(BudgetError):
        await bench.answer("line", terms=Terms(budget_usd=1.5))
    held = bench.journal.calls
    reply = await bench.answer("line", terms=Terms(budget_usd=2.5), held=held)
    assert (reply.text, [line.outcome for line in reply.bill]) == ("two", ["journal", "answered"])


async def test_a_budget_is_no_failure_that_a_quorum_tolerates():
    bench = Bench({"a": priced(dear("one")), "b": caller(completion("two"))}, {"vote": plan("ensemble", {"members": ["a", "a", "b"]})})
    with pytest.raises(BudgetError):
        await bench.answer("vote", terms=Terms(budget_usd=1.0))


async def test_what_a_limit_or_a_deadline_refused_is_asked_again_when_the_row_goes_on():
    for code in (FailureCode.DEADLINE, FailureCode.UNAVAILABLE):
        bench = Bench({"a": caller(Failure(code=code, message="not now"))})
        await bench.answer("a")
        assert bench.journal.calls == []
