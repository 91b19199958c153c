"""What a row comes to, whatever the engine."""

import asyncio
import itertools
import time

import pytest

from partsong.contracts import (
    Answer,
    CallRecord,
    Completion,
    Constraints,
    Failure,
    FailureCode,
    ImagePart,
    Message,
    Row,
    Task,
    TextPart,
    Timing,
)
from partsong.errors import PartsongError
from partsong.work.asked import Fingerprint

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the engine's own tasks live on the session's loop
rows = itertools.count()


async def ask(engine, prompt="Hello", *, use=None, run="behaviour", row=None, held=(), **fields):
    task = Task.of(prompt, use=use).model_copy(update=fields)
    number = next(rows) if row is None else row
    return (await engine.answer(Row(run=run, row=number, task=task, held=held))).reply


async def test_a_model_answers_with_its_bill_and_route(engine):
    answer = await ask(engine, use="upper")
    assert (answer.text, answer.source, answer.route.reason) == ("HELLO", "upper", "named by the row")
    [line] = answer.bill
    assert (line.model, line.outcome, line.attempts) == ("upper", "answered", 1)
    assert 0 < line.latency_s <= answer.latency_s


async def test_routes_choose_by_the_first_rule_that_matches(engine):
    assert (await ask(engine, "Route Me not")).route.use == "climb"
    assert (await ask(engine, "route me There")).text == "route me there"


async def test_a_cascade_climbs_until_a_tier_is_trusted_and_tells_every_tiers_confidence(engine):
    answer = await ask(engine, use="climb")
    assert answer.source == "upper"
    assert answer.escalations == 1
    assert [(tier.source, tier.confidence, tier.trusted) for tier in answer.tiers] == [("doubtful", 0.2, False), ("upper", 0.9, True)]


async def test_a_vote_counts_every_member(engine):
    answer = await ask(engine, use="vote")
    assert answer.votes == {"hello": 3.0}
    assert answer.confidence == 1.0


async def test_an_ensemble_that_is_decided_does_not_wait_and_cancels_the_rest(engine):
    began = time.monotonic()
    answer = await ask(engine, use="early")
    assert time.monotonic() - began < 20
    assert answer.text == "HELLO"
    assert [line.outcome for line in answer.bill if line.model == "slow"] == ["cancelled"]


async def test_an_ensemble_tolerates_a_broken_member_within_its_quorum(engine):
    answer = await ask(engine, use="tolerant")
    assert answer.text == "HELLO"
    assert [line.outcome for line in answer.bill if line.model == "broken"] != ["answered"]


async def test_plans_nest(engine):
    answer = await ask(engine, use="nested")
    assert answer.tiers[0].source == "vote"
    assert answer.tiers[0].trusted


async def test_a_pipeline_hands_each_stages_output_on(engine):
    assert (await ask(engine, use="assembly")).text == "then first hello"


async def test_a_task_is_decomposed_worked_by_kind_and_composed(engine):
    answer = await ask(engine, use="split")
    assert isinstance(answer, Answer)
    assert {line.model for line in answer.bill} == {"planner", "upper", "lower"}
    assert "BE LOUD" in answer.text
    assert "BE QUIET" in answer.text  # composed by the model that shouts


async def test_layers_propose_and_aggregate(engine):
    answer = await ask(engine, use="deep")
    assert len(answer.bill) == 5
    assert "hello" in answer.text


async def test_a_passing_failure_is_tried_again_and_the_attempts_are_told(engine):
    answer = await ask(engine, f"flaky {next(rows)}", use="flaky")
    assert answer.text == "try 3"
    assert answer.bill[0].attempts == 3


async def test_a_broken_worker_is_a_failure_without_its_exceptions_secrets(engine):
    failure = await ask(engine, use="broken")
    assert failure.code == FailureCode.WORKER_ERROR
    assert "sk-not-for-eyes" not in failure.model_dump_json()
    assert failure.bill[0].outcome == "failed"


async def test_a_failed_model_falls_back(engine):
    answer = await ask(engine, use="rescued")
    assert answer.text == "HELLO"
    assert [(line.model, line.outcome) for line in answer.bill] == [("rescued", "failed"), ("upper", "answered")]


@pytest.mark.parametrize("use", ["replaced", "climb_past_absent", "tolerates_absent"])
async def test_a_model_whose_workers_cannot_start_is_fallen_back_from_climbed_past_and_tolerated(engine, use):
    for _ in range(3):
        answer = await ask(engine, use=use)
        assert answer.text == "HELLO"
        assert "cannot-start" in [line.failure for line in answer.bill]


@pytest.mark.parametrize("use", ["absent", "needs_absent"])
async def test_a_row_that_nothing_saves_from_a_model_that_cannot_start_stops_the_run_and_is_left_to_be_resumed(engine, use):
    row = next(rows)
    with pytest.raises(PartsongError) as caught:
        await ask(engine, use=use, run="stopped", row=row)
    assert "nosuch" in caught.value.problems[0].what
    assert caught.value.problems[0].remedy
    assert row not in await engine.journal.done("stopped", 0, 10**6)
    calls = await engine.journal.calls("stopped", row, row)
    assert {call.model for call in calls} <= {"upper"}  # what was answered before the row was given up is kept


async def test_a_call_past_its_models_timeout_is_a_failure(engine):
    assert (await ask(engine, use="stuck")).code == FailureCode.TIMEOUT


async def test_a_row_past_its_deadline_is_a_failure_and_its_call_is_cancelled(engine):
    began = time.monotonic()
    failure = await ask(engine, use="slow", constraints=Constraints(deadline_s=0.2))
    assert failure.code == FailureCode.DEADLINE
    assert time.monotonic() - began < 20
    assert [line.outcome for line in failure.bill] == ["cancelled"]


async def test_no_nesting_makes_more_calls_than_the_row_allows(engine):
    reply = await ask(engine, use="deep", constraints=Constraints(max_calls=3))
    assert len([line for line in reply.bill if line.outcome == "answered"]) <= 3


async def test_an_unknown_name_is_a_failure_with_the_nearest_one(engine):
    failure = await ask(engine, use="uper")
    assert failure.code == FailureCode.UNKNOWN_NAME
    assert "'upper'" in failure.message


async def test_a_model_is_not_sent_what_it_does_not_take(engine):
    image = Message(role="user", parts=(TextPart(text="what is this?"), ImagePart(data=b"png")))
    failure = await ask(engine, use="upper", messages=(image,))
    assert failure.code == FailureCode.UNSUPPORTED
    assert failure.bill == ()


async def test_an_answer_satisfies_its_schema_after_one_repair(engine):
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    answer = await ask(engine, use="clumsy", answer_schema=schema)
    assert answer.value == {"mood": "fine"}
    assert len(answer.bill) == 2


async def test_by_the_time_of_the_answer_its_record_and_its_calls_are_in_the_journal(engine):
    row = next(rows)
    answer = await ask(engine, use="climb", run="durable", row=row)
    assert await engine.journal.done("durable", 0, 10**6) == {row}
    [(_, record)] = await engine.journal.rows("durable", 0, 10)
    assert record.reply == answer
    assert record.task.text == "Hello"


async def test_a_call_that_the_journal_holds_is_not_made_again(engine, mesh):
    task = Task.of(f"held {next(rows)}", use="counting")
    held = CallRecord(
        run="behaviour",
        row=next(rows),
        step="counting",
        ask_hash=Fingerprint(mesh.models["counting"], "counting").of(task),
        model="counting",
        reply=Completion(text="from the journal", model="counting", timing=Timing(total_s=0.0)),
    )
    outcome = await engine.answer(Row(run="behaviour", row=held.row, task=task, held=(held,)))
    assert outcome.reply.text == "from the journal"
    assert outcome.reply.bill[0].outcome == "journal"
    assert (await ask(engine, task.text, use="counting")).text == "asked 1"


async def test_what_was_asked_differently_is_asked_whatever_the_journal_holds(engine):
    held = CallRecord(
        run="behaviour",
        row=next(rows),
        step="upper",
        ask_hash=b"of another prompt",
        model="upper",
        reply=Completion(text="stale", model="upper", timing=Timing(total_s=0.0)),
    )
    outcome = await engine.answer(Row(run="behaviour", row=held.row, task=Task.of("fresh", use="upper"), held=(held,)))
    assert outcome.reply.text == "FRESH"


async def test_of_two_calls_that_the_journal_holds_of_one_step_each_answers_what_it_was_asked(engine, mesh):
    row = next(rows)
    held = tuple(
        CallRecord(
            run="behaviour",
            row=row,
            step="counting",
            ask_hash=Fingerprint(mesh.models["counting"], "counting").of(Task.of(prompt)),
            model="counting",
            reply=Completion(text=f"held: {prompt}", model="counting", timing=Timing(total_s=0.0)),
        )
        for prompt in ("this", "that")
    )
    replies = [await ask(engine, prompt, use="counting", row=row, held=held, run=f"twice {prompt}") for prompt in ("this", "that")]
    assert [reply.text for reply in replies] == ["held: this", "held: that"]


async def test_calls_in_flight_stay_within_the_models_concurrency(engine):
    replies = await asyncio.gather(*[ask(engine, f"alone {n}", use="one_at_a_time") for n in range(30)])
    assert {reply.text for reply in replies} == {"alone"}


async def test_many_rows_are_each_answered_once(engine):
    outcomes = await asyncio.gather(
        *[engine.answer(Row(run="many", row=n, task=Task.of(f"Row {n}", id=f"id-{n}", use="vote"))) for n in range(300)]
    )
    assert [(o.row, o.custom_id, o.reply.text) for o in outcomes] == [(n, f"id-{n}", f"ROW {n}") for n in range(300)]
    assert len(await engine.journal.done("many", 0, 299)) == 300
    assert not any(isinstance(o.reply, Failure) for o in outcomes)
