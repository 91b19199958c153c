"""Experiments, whatever the engine: a split row goes to one arm, a shadowed one is answered as ever."""

import asyncio

import pytest

from partsong.contracts import Answer, Failure, Row, Task
from partsong.routing.experiments import shadow_run

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the engine's own tasks live on the session's loop

RUN = "experiments"


async def ask(engine, row, use, **metadata):
    task = Task.of("Hello", id=f"q{row}", use=use).model_copy(update={"metadata": metadata})
    return (await engine.answer(Row(run=RUN, row=row, task=task))).reply


async def shadow_of(engine, row, name):
    """Wait for the record of a row's shadow: nobody tells when it is there."""
    async with asyncio.timeout(60):
        while (record := await engine.journal.row(shadow_run(RUN, name), row)) is None:  # noqa: ASYNC110  there is no event: the record is the news
            await asyncio.sleep(0.02)
        return record


async def test_a_users_rows_all_go_to_one_arm_and_say_so(engine):
    answers = [await ask(engine, row, "halves", user=f"user {row % 8}") for row in range(16)]
    assert [answer.text for answer in answers[:8]] == [answer.text for answer in answers[8:]]
    assert {(answer.text, answer.route.arm, answer.route.propensity) for answer in answers} == {
        ("hello", "champion", 0.5),
        ("HELLO", "challenger", 0.5),
    }


async def test_a_shadowed_row_is_answered_by_the_champion_and_its_shadow_is_on_record(engine):
    answer = await ask(engine, 20, "watched")
    assert (answer.text, [line.model for line in answer.bill]) == ("hello", ["lower"])
    record = await shadow_of(engine, 20, "watched")
    assert isinstance(record.reply, Answer)
    assert (record.reply.text, record.reply.route.use, record.reply.route.arm) == ("asked 1", "counted", "challenger")
    assert record.task.id == "q20"


async def test_a_shadow_that_is_on_record_is_not_asked_again(engine):
    await ask(engine, 21, "watched")
    before = await shadow_of(engine, 21, "watched")
    await ask(engine, 21, "watched")
    await ask(engine, 22, "watched")
    assert (await shadow_of(engine, 22, "watched")).reply.text == f"asked {int(before.reply.text.split()[1]) + 1}"


async def test_a_shadow_that_fails_touches_no_row(engine):
    answer = await ask(engine, 23, "troubled")
    assert answer.text == "hello"
    assert isinstance((await shadow_of(engine, 23, "troubled")).reply, Failure)
