"""Whom a frugal plan asks, when it stops, and what it says of it."""

import pytest
from plan_builders import plan, refused

from partsong.contracts import Answer, Constraints, FailureCode
from partsong.testing.scripted import ScriptedPort, failed, said

RATED = {
    "large": {"accuracy": 0.95, "cost_usd": 0.005},
    "mid": {"accuracy": 0.85, "cost_usd": 0.001},
    "mini": {"accuracy": 0.8, "cost_usd": 0.0002},
}


def frugal(**fields):
    return plan("frugal", {"models": RATED, "kind": "number", "sure": 0.99, **fields})


async def test_two_cheap_models_that_agree_are_enough():
    port = ScriptedPort({"mini": "18", "mid": "it is 18.0", "large": "20"})
    answer = await port.answer(frugal(), "9 + 9?")
    assert (answer.text, answer.source, port.names) == ("18", "mini", ["mini", "mid"])
    assert answer.stopped == "2 of 3 models asked; sure enough: 0.995 >= 0.99"
    assert answer.confidence == pytest.approx(0.995, abs=0.001)


async def test_where_they_differ_the_dear_model_decides():
    port = ScriptedPort({"mini": "18", "mid": "20", "large": "20"})
    answer = await port.answer(frugal(), "10 + 10?")
    assert (answer.text, answer.source, port.names) == ("20", "mid", ["mini", "mid", "large"])


async def test_every_step_tells_how_sure_it_was_and_why_it_went_on():
    port = ScriptedPort({"mini": "18", "mid": "20", "large": "20"})
    answer = await port.answer(frugal(), "10 + 10?")
    assert [(tier.source, tier.trusted, tier.reason) for tier in answer.tiers] == [
        ("mini", False, "says 18 (18 0.80); asks mid: promises most per dollar, at $0.001"),
        ("mid", False, "says 20 (20 0.53, 18 0.38); asks large: promises most per dollar, at $0.005"),
        ("large", True, "says 20 (20 0.99, 18 0.00); sure enough: 0.995 >= 0.99"),
    ]
    assert answer.votes == pytest.approx({"18": 0.004, "20": 0.995}, abs=0.001)
    assert [candidate.vote for candidate in answer.candidates] == ["18", "20", "20"]


async def test_nobody_is_asked_who_costs_more_than_a_right_answer_brings():
    port = ScriptedPort({"mini": "18", "mid": "20", "large": "20"})
    answer = await port.answer(frugal(value_of_correct_usd=0.001), "9 + 9?")
    assert port.names == ["mini"]
    assert "is worth its price" in answer.stopped


async def test_a_model_that_fails_or_cannot_be_read_is_passed_over():
    port = ScriptedPort({"mini": failed(), "mid": "I do not know", "large": "20"})
    answer = await port.answer(frugal(), "10 + 10?")
    assert (answer.text, port.names) == ("20", ["mini", "mid", "large"])
    assert [tier.reason.partition(";")[0] for tier in answer.tiers[:2]] == ["failed: timeout", "cannot be read as number"]


async def test_answers_that_cannot_be_read_are_no_answer():
    reply = await ScriptedPort(dict.fromkeys(RATED, "who knows")).answer(frugal(), "10 + 10?")
    assert reply.code is FailureCode.INVALID_ANSWER


async def test_the_rows_budget_ends_it_with_what_it_has():
    port = ScriptedPort({"mini": "18", "mid": "20", "large": "20"}, limits=Constraints(max_calls=1))
    answer = await port.answer(frugal(), "9 + 9?")
    assert isinstance(answer, Answer)
    assert (answer.text, port.names) == ("18", ["mini"])
    assert answer.tiers[1].reason.startswith("failed: row-budget")


async def test_free_texts_that_are_alike_vote_together():
    port = ScriptedPort({"mini": "the cat sat on the mat", "mid": "The cat sat on a mat", "large": "no idea"})
    answer = await port.answer(frugal(kind={"text": 0.6}), "What did the cat do?")
    assert port.names == ["mini", "mid"]
    assert answer.text == "the cat sat on the mat"


async def test_the_answer_keeps_what_its_model_gave_with_it():
    port = ScriptedPort({"mini": said("18").model_copy(update={"finish_reason": "length"}), "mid": "18", "large": "18"})
    answer = await port.answer(frugal(), "9 + 9?")
    assert answer.finish_reason == "length"


async def test_agreement_on_one_of_many_labels_says_more_than_on_one_of_two():
    models = {name: {"accuracy": 0.8, "cost_usd": 0.001} for name in "ab"}
    sure = []
    for labels in (["yes", "no"], ["yes", *(f"label {n}" for n in range(50))]):
        one = plan("frugal", {"models": models, "kind": {"label": labels}, "sure": 0.999})
        sure.append((await ScriptedPort(dict.fromkeys("ab", "yes")).answer(one, "Is it?")).confidence)
    assert sure == pytest.approx([0.941, 0.9987], abs=0.001)


async def test_a_goal_without_anything_learned_is_a_failure():
    reply = await ScriptedPort({}).answer(plan("frugal", "best"), "Is it?")
    assert reply.code is FailureCode.UNSUPPORTED


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "give either a `goal`"),
        ({"goal": "best", "models": RATED}, "give either a `goal`"),
        ({"goal": "best", "options": 4}, "`options` is for weights by hand"),
        ({"goal": "cheapest"}, "Input should be 'best'"),
        ({"models": {"mini": {"accuracy": 1.0, "cost_usd": 0.1}}}, "less than 1"),
        ({"models": {"mini": {"accuracy": 0.9}}}, "Field required"),
        ({"models": RATED, "sure": 95}, "did you mean 0.95?"),
        ({"models": RATED, "value_of_correct_usd": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, said: str):
    assert said in refused("frugal", fields)
