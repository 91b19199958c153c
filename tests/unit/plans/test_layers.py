"""How proposals go through the rounds to the aggregator."""

import pytest
from plan_builders import plan, refused

from partsong.contracts import FailureCode, Task
from partsong.testing.scripted import ScriptedPort, failed

FIELDS = {"proposers": ["a", "b"], "rounds": 2, "aggregator": "z"}
DEEP = plan("layers", FIELDS)


async def test_every_further_round_sees_the_proposals_before_it():
    port = ScriptedPort({"a": ["a-one", "a-two"], "b": ["b-one", "b-two"], "z": "whole"})
    answer = await port.answer(DEEP, "The request")
    first, second, last = (port.asked[i].task.text for i in (0, 2, 4))
    assert first == "The request"
    assert all(words in second for words in ("The request", "a-one", "b-one"))
    assert "a-two" in last
    assert "a-one" not in last
    assert (answer.text, answer.source, answer.stopped) == ("whole", "z", "2 proposals after 2 rounds")


async def test_only_the_aggregator_may_stream():
    port = ScriptedPort({"a": "1", "b": "2", "z": "3"})
    await port.answer(DEEP, "?")
    assert [ask.name for ask in port.asked if ask.final] == ["z"]


async def test_a_proposer_that_is_down_is_left_out():
    answer = await ScriptedPort({"a": failed(), "b": "2", "z": "3"}).answer(DEEP, "?")
    assert [c.source for c in answer.candidates] == ["b"]


async def test_a_round_below_the_quorum_fails():
    failure = await ScriptedPort({"a": failed(), "b": "2", "z": "3"}).answer(plan("layers", {**FIELDS, "quorum": 2}), "?")
    assert (failure.code, failure.message) == (FailureCode.NO_QUORUM, "round 1: 1 of 2 proposers failed, 2 must answer (a: timeout)")


async def test_when_the_aggregator_is_down_a_proposal_is_kept_if_so_told():
    scripts = {"a": "1", "b": "2", "z": failed()}
    assert (await ScriptedPort(scripts).answer(DEEP, "?")).code is FailureCode.TIMEOUT
    answer = await ScriptedPort(scripts).answer(plan("layers", {**FIELDS, "keep_proposal": True}), "?")
    assert (answer.text, answer.source) == ("1", "a")


async def test_the_json_schema_holds_for_the_aggregator_alone():
    task = Task.of("?").model_copy(update={"answer_schema": {"type": "integer"}})
    answer = await ScriptedPort({"a": "one", "b": "two", "z": "3"}).answer(DEEP, task)
    assert answer.value == 3


async def test_a_proposer_named_twice_gives_independent_samples():
    port = ScriptedPort({"a": ["1", "2"], "z": "3"})
    await port.answer(plan("layers", {"proposers": ["a", "a"], "aggregator": "z"}), "?")
    assert [ask.task.sampling.sample for ask in port.asked] == [0, 1, 0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**FIELDS, "quorum": 3}, "a quorum of 3 can never be met by 2 proposers"),
        ({**FIELDS, "rounds": 9}, "layers.rounds: Input should be less than or equal to 8"),
        ({**FIELDS, "aggregate": "{{ proposal }}"}, "did you mean 'proposals'?"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(fields, words):
    assert words in refused("layers", fields)
