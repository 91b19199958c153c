"""Votes and thresholds that go by what was learned."""

from dataclasses import replace
from math import log

import pytest
from knowledge_builders import EASY, knowledge
from plan_builders import plan, refused

from partsong.contracts import Task
from partsong.learning.calibration import Platt
from partsong.learning.knowledge import Knowledge
from partsong.learning.thresholds import Thresholds
from partsong.learning.trusted import Trusted
from partsong.merging import merge_rule
from partsong.merging.weighted import Weighted
from partsong.packing import pack
from partsong.testing.scripted import ScriptedPort, said

MEMBERS = ["m0", "m2", "m3"]


def voting():
    return plan("ensemble", {"members": MEMBERS, "merge": {"weighted": {"learned": True}}, "early": False}, knowledge=knowledge())


def of_kind(kind: str) -> Task:
    return Task.of(EASY).model_copy(update={"metadata": {"kind": kind}})


async def test_a_vote_weighs_as_the_model_proved_itself_on_the_kind_of_task():
    port = ScriptedPort({"m0": "x", "m2": "y", "m3": "z"})
    for kind in ("easy", "hard", "unheard of"):
        answer = await port.answer(voting(), of_kind(kind))
        assert answer.votes == pytest.approx({vote: knowledge().weights(of_kind(kind))[m] for vote, m in zip("xyz", MEMBERS, strict=True)})
        port.asked.clear()
    assert knowledge().weights(of_kind("easy")) != knowledge().weights(of_kind("hard"))
    assert knowledge().weights(of_kind("unheard of")) == knowledge().weights(Task.of(EASY))


def test_what_travels_to_be_merged_says_the_weights_themselves():
    entry = voting().merge.on(of_kind("easy")).entry()
    assert merge_rule(entry).weight("m0") == pytest.approx(knowledge().weights(of_kind("easy"))["m0"])


def test_weights_come_from_one_place():
    said = refused("ensemble", {"members": MEMBERS, "merge": {"weighted": {"learned": True, "weights": {"m0": 1}}}})
    assert "give one of weights, accuracy and learned" in said


def test_a_member_of_which_nothing_was_learned_weighs_one():
    assert voting().merge.on(of_kind("easy")).weight("newcomer") == 1.0
    assert Weighted(learned=True).on(of_kind("easy")).weight("m0") == 1.0


def climbing(threshold: float):
    tiers = [{"ask": "m3", "trust": {"confidence": {"threshold": threshold, "calibrated": True}}}, {"ask": "m0"}]
    return plan("cascade", tiers, knowledge=knowledge())


async def test_a_calibrated_threshold_is_held_against_how_often_the_model_is_right():
    honest = knowledge().calibrated("m3", 0.85, of_kind("hard"))
    port = ScriptedPort({"m3": said("x", confidence=0.85), "m0": "y"})
    answer = await port.answer(climbing(0.8), of_kind("hard"))
    assert answer.text == "y"
    assert answer.tiers[0].reason == f"confidence 0.85, calibrated {honest:.2f} < 0.8"
    assert answer.tiers[0].confidence == honest < 0.8


async def test_where_nothing_was_learned_of_a_models_confidence_it_is_not_trusted():
    tiers = [{"ask": "other", "trust": {"confidence": {"threshold": 0.1, "calibrated": True}}}, {"ask": "m0"}]
    port = ScriptedPort({"other": said("x", confidence=0.99), "m0": "y"})
    answer = await port.answer(plan("cascade", tiers, knowledge=knowledge()), EASY)
    assert answer.tiers[0].reason == "not trusted: nothing is learned of what other's confidence is worth"


def promised(rungs: tuple[str, ...], *levels: float) -> Knowledge:
    """What was learned with these levels of a cascade, whose first tier's confidences are worth half their log-odds."""
    worth = (Trusted(rungs[0], "all", 100, Platt(0.5, 0.0), 0.1, 0.01),)
    learned = Thresholds("climb", rungs, "", None, "", 100, levels, worth)
    return Knowledge(pack(replace(knowledge().learned, cascades=(learned,))))


@pytest.mark.parametrize(("rule", "answer"), [("confidence", said("x", confidence=0.9)), ("logprob", said("x", logprobs=[log(0.9)] * 2))])
async def test_a_learned_threshold_is_held_against_what_the_confidence_is_worth(rule, answer):
    tiers = [{"ask": "m3", "trust": {rule: "learned"}}, {"ask": "m0"}]
    for level, given, sign in ((0.7, "x", ">="), (0.8, "y", "<")):
        port = ScriptedPort({"m3": answer, "m0": "y"})
        found = await port.answer(plan("cascade", tiers, knowledge=promised((f"m3 by {rule}", "m0"), level)), EASY)
        assert found.text == given
        assert found.tiers[0].reason == f"{rule} 0.90, calibrated 0.750 {sign} learned {level:.3f} (promised)"
        assert found.tiers[0].confidence == pytest.approx(0.75)


@pytest.mark.parametrize("learned", [promised(("m2 by confidence", "m0"), 0.0), promised(("m3 by confidence", "m0")), knowledge(), None])
async def test_a_threshold_that_was_not_promised_for_this_cascade_trusts_nothing(learned):
    tiers = [{"ask": "m3", "trust": {"confidence": "learned"}}, {"ask": "m0"}]
    port = ScriptedPort({"m3": said("x", confidence=0.99), "m0": "y"})
    answer = await port.answer(plan("cascade", tiers, knowledge=learned), EASY)
    assert (answer.text, answer.tiers[0].reason) == ("y", "not trusted: no threshold is learned for this tier")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ensemble", {"members": MEMBERS, "merge": {"weighted": {"learned": True}}}),
        ("cascade", [{"ask": "m3", "trust": {"logprob": {"threshold": 0.9, "calibrated": True}}}, {"ask": "m0"}]),
        ("cascade", [{"ask": "m3", "trust": {"agreement": "learned"}}, {"ask": "m0"}]),
        ("frugal", "best"),
    ],
)
def test_a_mesh_file_that_names_nothing_learned_has_no_learned_rules(kind, fields):
    assert "goes by what was learned, and the mesh file names nothing learned" in refused(kind, fields, nothing_learned=True)
