"""How members are asked together, when they are no longer waited for, and what too few of them come to."""

import asyncio

import pytest
from plan_builders import plan, refused

from partsong.contracts import FailureCode
from partsong.testing.scripted import ScriptedPort, failed, said

VOTE = plan("ensemble", {"members": ["a", "b", "c"], "merge": "majority", "quorum": 2})


async def never(_):
    await asyncio.Event().wait()


def after(turns, text):
    async def line(_):
        for _ in range(turns):
            await asyncio.sleep(0)
        return text

    return line


async def test_the_majority_answers():
    answer = await ScriptedPort({"a": "7", "b": "8", "c": "8"}).answer(VOTE, "?")
    assert (answer.text, answer.source) == ("8", "b")
    assert answer.votes == {"7": 1.0, "8": 2.0}
    assert answer.stopped == "3 of 3 members answered"


async def test_candidates_stand_in_the_members_order_whoever_came_first():
    answer = await ScriptedPort({"a": after(9, "1"), "b": after(5, "2"), "c": "3"}).answer(VOTE, "?")
    assert [candidate.source for candidate in answer.candidates] == ["a", "b", "c"]
    assert answer.text == "1"


async def test_confidence_is_the_winners_share_of_the_votes():
    answer = await ScriptedPort({"a": "7", "b": "8", "c": "8"}).answer(VOTE, "?")
    assert answer.confidence == pytest.approx(2 / 3)


async def test_a_decided_vote_waits_for_nobody_and_cancels_the_rest():
    port = ScriptedPort({"a": "8", "b": "8", "c": never})
    answer = await port.answer(VOTE, "?")
    assert (answer.text, port.cancelled) == ("8", ["c"])
    assert answer.stopped == "2 of 3 members answered; decided, 1 not waited for"


async def test_members_not_waited_for_count_as_if_they_disagreed():
    answer = await ScriptedPort({"a": "8", "b": "8", "c": never}).answer(VOTE, "?")
    assert answer.confidence == pytest.approx(2 / 3)


async def test_told_not_to_stop_early_it_hears_all_members():
    port = ScriptedPort({"a": "8", "b": "8", "c": after(20, "8")})
    answer = await port.answer(plan("ensemble", {"members": ["a", "b", "c"], "early": False}), "?")
    assert (answer.confidence, port.cancelled) == (1.0, [])


async def test_a_vote_is_not_decided_below_the_quorum():
    all_of_them = plan("ensemble", {"members": ["a", "b", "c"], "quorum": 3})
    port = ScriptedPort({"a": "8", "b": "8", "c": after(9, "7")})
    assert len((await port.answer(all_of_them, "?")).candidates) == 3


async def test_failed_members_are_tolerated_down_to_the_quorum():
    answer = await ScriptedPort({"a": failed(), "b": "8", "c": "8"}).answer(VOTE, "?")
    assert (answer.text, answer.stopped) == ("8", "2 of 3 members answered, 1 failed")


async def test_below_the_quorum_the_ensemble_fails_and_says_who_did():
    failure = await ScriptedPort({"a": failed(), "b": "8", "c": failed(FailureCode.OVERLOADED)}).answer(VOTE, "?")
    assert failure.code is FailureCode.NO_QUORUM
    assert failure.message == "2 of 3 members failed, 2 must answer (a: timeout, c: overloaded)"


async def test_once_the_quorum_is_out_of_reach_the_rest_is_cancelled():
    port = ScriptedPort({"a": failed(), "b": failed(), "c": never})
    failure = await port.answer(VOTE, "?")
    assert (failure.code, port.cancelled) == (FailureCode.NO_QUORUM, ["c"])


async def test_more_failures_than_tolerated_fail_the_ensemble():
    strict = plan("ensemble", {"members": ["a", "b", "c"], "tolerate": 0})
    failure = await ScriptedPort({"a": failed(), "b": "8", "c": "8"}).answer(strict, "?")
    assert failure.message == "1 of 3 members failed, 0 may (a: timeout)"


async def test_a_member_named_twice_gives_independent_samples():
    port = ScriptedPort({"a": ["7", "8", "8"]})
    answer = await port.answer(plan("ensemble", ["a", "a", "a"]), "?")
    assert [ask.task.sampling.sample for ask in port.asked] == [0, 1, 2]
    assert answer.text == "8"


async def test_a_members_weight_counts_where_the_rule_weighs():
    weighted = plan("ensemble", {"members": [{"ask": "a", "weight": 3}, "b", "c"], "merge": "weighted"})
    assert (await ScriptedPort({"a": "7", "b": "8", "c": "8"}).answer(weighted, "?")).text == "7"


async def test_a_member_heavy_enough_decides_alone():
    weighted = plan("ensemble", {"members": [{"ask": "a", "weight": 3}, "b", "c"], "merge": "weighted"})
    port = ScriptedPort({"a": "7", "b": never, "c": never})
    answer = await port.answer(weighted, "?")
    assert (answer.text, answer.confidence, sorted(port.cancelled)) == ("7", pytest.approx(0.6), ["b", "c"])


async def test_no_member_may_stream():
    port = ScriptedPort({"a": "7", "b": "8", "c": "8"})
    await port.answer(VOTE, "?")
    assert not any(ask.final for ask in port.asked)


async def test_cancelled_while_waiting_it_cancels_its_members():
    port = ScriptedPort({"a": never, "b": never, "c": "1"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await port.answer(VOTE, "?")
    assert sorted(port.cancelled) == ["a", "b"]


async def test_members_may_be_plans():
    inner = plan("cascade", [{"ask": "x", "trust": {"logprob": 0.9}}, {"ask": "y"}])
    port = ScriptedPort({"x": said("1"), "y": "2", "b": "2"}, plans={"faq": inner})
    answer = await port.answer(plan("ensemble", ["faq", "b"]), "?")
    assert (answer.text, [c.source for c in answer.candidates]) == ("2", ["faq", "b"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"members": ["a", "b"], "quorum": 3}, "a quorum of 3 can never be met by 2 members"),
        ({"members": ["a", "b"], "tolerate": 2}, "tolerating 2 failures of 2 members would leave none to answer"),
        ({"members": [{"ask": "a", "weight": 2}, "b"]}, "majority counts every member once"),
        ({"members": ["a", {"ask": "b", "wieght": 2}]}, "ensemble.members.1.wieght: Extra inputs"),
        ({"members": ["a"], "merge": "majorty"}, "ensemble.merge: no kind of merge rule is called 'majorty'; did you mean 'majority'?"),
        ({"members": []}, "at least 1 item"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(fields, words):
    assert words in refused("ensemble", fields)
