"""What a row comes to when something raises: the run stops for what only a person can mend, else the row alone fails."""

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import pytest
from plan_builders import plan
from work_bench import Bench, ListJournal, caller, completion

from partsong.contracts import Answer, Failure, FailureCode, Reply, Task
from partsong.errors import StoreError, WeightsError
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step

FULL = StoreError("store-full", "the disk is full", remedy="make room")


class Raising(Plan):
    """Raises its error among several tasks, or by itself."""

    kind: ClassVar[str] = "raising"
    error: type[Exception]
    grouped: bool = False

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        if not self.grouped:
            raise self.error("sk-not-for-eyes")
        async with asyncio.TaskGroup() as group:
            group.create_task(Raising(error=self.error).answer(task, step, port))
        raise AssertionError("the group has raised")

    def asks(self) -> Iterator[str]:
        return iter(())


VOTE = plan("ensemble", {"members": ["a", "b"], "merge": "majority"})
LAYERS = plan("layers", {"proposers": ["a", "b"], "aggregator": "a"})


def models():
    return {name: caller(completion(name)) for name in ("a", "b")}


@pytest.mark.parametrize("combined", [VOTE, LAYERS])
async def test_a_store_error_below_a_plan_stops_the_run_and_leaves_the_row_to_be_resumed(combined):
    bench = Bench(models(), {"combined": combined}, ListJournal(cache_error=FULL), cache=True)
    with pytest.raises(StoreError, match="the disk is full"):
        await bench.answer("combined")
    assert bench.journal.rows == []


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_plan_that_raises_fails_its_row_and_only_the_errors_class_is_told(grouped):
    reply = await Bench(models(), {"raising": Raising(error=KeyError, grouped=grouped)}).answer("raising")
    assert isinstance(reply, Failure)
    assert (reply.code, reply.message) == (FailureCode.INTERNAL, "the plan raised KeyError; see the log")


@pytest.mark.parametrize("deadline_s", [None, 60.0])
async def test_a_timeout_of_the_plans_own_is_not_the_rows_deadline(deadline_s):
    reply = await Bench(models(), {"raising": Raising(error=TimeoutError)}).answer("raising", deadline_s=deadline_s)
    assert isinstance(reply, Failure)
    assert (reply.code, reply.message) == (FailureCode.INTERNAL, "the plan raised TimeoutError; see the log")


async def test_a_row_that_is_answered_has_its_calls_in_the_journal():
    bench = Bench(models(), {"vote": VOTE})
    assert isinstance(await bench.answer("vote"), Answer)
    assert [call.step for call in bench.journal.calls] == ["vote/0-a", "vote/1-b"]


async def test_of_several_calls_held_at_one_step_each_answers_what_it_was_asked():
    bench = Bench({"a": caller(completion("first"), completion("second"))})
    asked = [await bench.answer("a", prompt) for prompt in ("this", "that")]
    again = [await bench.answer("a", prompt, held=bench.journal.calls) for prompt in ("this", "that")]
    assert [reply.text for reply in again] == [reply.text for reply in asked] == ["first", "second"]


def unstaffed():
    made = caller()
    made.share.fail(WeightsError("weights-missing", "the weights are not there", remedy="fetch them"))
    return made


async def test_a_row_that_fails_for_want_of_a_worker_stops_the_run_with_its_calls_kept():
    needs_both = plan("ensemble", {"members": ["a", "b"], "merge": "majority", "quorum": 2, "early": False})
    bench = Bench({"a": caller(completion("a")), "b": unstaffed()}, {"both": needs_both})
    with pytest.raises(WeightsError, match="fetch them"):
        await bench.answer("both")
    assert bench.journal.rows == []


async def test_a_row_that_fails_for_another_reason_is_the_rows_own_failure():
    refused = Failure(code=FailureCode.CONTENT_FILTER, message="withheld")
    climb = plan("cascade", [{"ask": "b", "trust": {"confidence": 0.5}}, {"ask": "a"}])
    reply = await Bench({"a": caller(refused), "b": unstaffed()}, {"climb": climb}).answer("climb")
    assert isinstance(reply, Failure)
    assert reply.code == FailureCode.CONTENT_FILTER


async def test_a_model_that_could_not_start_is_asked_anew_on_resume():
    climb = plan("cascade", [{"ask": "b", "trust": {"confidence": 0.5}}, {"ask": "a"}])
    bench = Bench({"a": caller(completion("a")), "b": unstaffed()}, {"climb": climb})
    assert isinstance(await bench.answer("climb"), Answer)
    assert [call.model for call in bench.journal.calls] == ["a"]
