"""When a cascade stops, what it answers, and what it says of it."""

import asyncio
import time

import pytest
from plan_builders import plan, refused

from partsong.contracts import Answer, Constraints, FailureCode, Task
from partsong.testing.scripted import ScriptedPort, failed, said

FAQ = plan("cascade", [{"ask": "mini", "trust": {"logprob": 0.85}}, {"ask": "large"}])
SURE = [-0.01, -0.02]
UNSURE = [-2.0, -0.1]


async def test_a_cascade_stops_at_the_first_trusted_answer():
    port = ScriptedPort({"mini": said("4", logprobs=SURE), "large": "5"})
    answer = await port.answer(FAQ, "2 + 2?")
    assert (answer.text, answer.source, port.names) == ("4", "mini", ["mini"])
    assert answer.stopped == "mini: logprob 0.99 >= 0.85"


async def test_it_climbs_while_the_answer_is_not_trusted():
    port = ScriptedPort({"mini": said("5", logprobs=UNSURE), "large": "4"})
    answer = await port.answer(FAQ, "2 + 2?")
    assert (answer.text, answer.source, answer.escalations) == ("4", "large", 1)


async def test_every_tiers_confidence_and_reason_are_recorded():
    port = ScriptedPort({"mini": said("5", logprobs=UNSURE), "large": "4"})
    answer = await port.answer(FAQ, "2 + 2?")
    assert [(tier.source, tier.trusted, tier.reason) for tier in answer.tiers] == [
        ("mini", False, "logprob 0.35 < 0.85"),
        ("large", True, "last tier"),
    ]
    assert answer.tiers[0].confidence == pytest.approx(0.35, abs=0.01)


async def test_logprobs_are_asked_for_only_where_a_rule_reads_them():
    port = ScriptedPort({"mini": said("5", logprobs=UNSURE), "large": "4"})
    await port.answer(FAQ, "2 + 2?")
    assert [ask.task.sampling.logprobs for ask in port.asked] == [True, False]


async def test_without_logprobs_the_tier_is_not_trusted_and_the_reason_says_so():
    port = ScriptedPort({"mini": "4", "large": "4"})
    answer = await port.answer(FAQ, "2 + 2?")
    assert answer.tiers[0].confidence is None
    assert answer.tiers[0].reason == "not trusted: mini gave no token log-probabilities"


async def test_a_failed_tier_is_climbed_past():
    port = ScriptedPort({"mini": failed(), "large": "4"})
    answer = await port.answer(FAQ, "2 + 2?")
    assert answer.text == "4"
    assert answer.tiers[0].reason == "failed: timeout"


async def test_an_answer_outranks_a_failure_even_of_the_last_tier():
    port = ScriptedPort({"mini": said("5", logprobs=UNSURE), "large": failed(FailureCode.OVERLOADED)})
    answer = await port.answer(FAQ, "2 + 2?")
    assert (answer.text, answer.source) == ("5", "mini")
    assert answer.stopped == "large failed: overloaded; a lower tier's answer kept"


async def test_a_later_answer_outranks_an_earlier_one():
    three = plan("cascade", [{"ask": name, "trust": {"logprob": 0.9}} for name in ("a", "b")] + [{"ask": "c"}])
    port = ScriptedPort({"a": "first", "b": "second", "c": failed()})
    assert (await port.answer(three, "?")).text == "second"


async def test_when_nobody_answers_the_last_failure_is_returned():
    port = ScriptedPort({"mini": failed(), "large": failed(FailureCode.OVERLOADED)})
    assert (await port.answer(FAQ, "?")).code is FailureCode.OVERLOADED


async def test_only_the_last_tier_may_stream():
    port = ScriptedPort({"mini": "4", "large": "4"})
    await port.answer(FAQ, "?")
    assert [ask.final for ask in port.asked] == [False, True]


async def test_a_row_out_of_budget_keeps_what_it_has():
    port = ScriptedPort({"mini": "5", "large": "4"}, limits=Constraints(max_calls=1))
    answer = await port.answer(FAQ, "?")
    assert answer.text == "5"
    assert answer.tiers[-1].reason == "failed: row-budget"


async def test_cascades_nest_by_name():
    outer = plan("cascade", [{"ask": "vote", "trust": {"agreement": 0.6}}, {"ask": "faq"}])
    vote = plan("ensemble", ["a", "b", "c"])
    port = ScriptedPort({"a": "1", "b": "2", "c": "3", "mini": "4", "large": "4"}, plans={"vote": vote, "faq": FAQ})
    answer = await port.answer(outer, "?")
    assert answer.text == "4"
    assert answer.tiers[0].reason == "agreement 0.33 < 0.6"


async def test_agreement_of_a_nested_ensemble_ends_the_cascade():
    outer = plan("cascade", [{"ask": "vote", "trust": {"agreement": 0.6}}, {"ask": "large"}])
    port = ScriptedPort({"a": "1", "b": "1", "c": "3", "large": "4"}, plans={"vote": plan("ensemble", ["a", "b", "c"])})
    answer = await port.answer(outer, "?")
    assert (answer.text, answer.tiers[0].reason) == ("1", "agreement 0.67 >= 0.6")


async def test_agreement_cannot_be_read_off_a_single_model():
    port = ScriptedPort({"mini": "1", "large": "4"})
    answer = await port.answer(plan("cascade", [{"ask": "mini", "trust": {"agreement": 0.6}}, {"ask": "large"}]), "?")
    assert answer.tiers[0].reason == "not trusted: mini took no vote"


async def test_cancelled_while_a_tier_answers_it_ends():
    async def never(_):
        await asyncio.Event().wait()

    port = ScriptedPort({"mini": "5", "large": never})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await port.answer(FAQ, "?")
    assert port.cancelled == ["large"]


def tiers(*trust):
    return [*({"ask": "mini", "trust": rule} for rule in trust), {"ask": "large"}]


@pytest.mark.parametrize(
    ("rule", "answer", "trusted"),
    [
        ({"min_logprob": 0.5}, said("x", logprobs=[-0.1, -0.2]), True),
        ({"min_logprob": 0.5}, said("x", logprobs=[-0.1, -2.0]), False),
        ({"confidence": 0.7}, said("x", confidence=0.8), True),
        ({"confidence": 0.7}, said("x", confidence=0.6), False),
        ({"confidence": 0.7}, said("x"), False),
        ({"regex": "^[ABCD]$"}, said(" B\n"), True),
        ({"regex": "^[ABCD]$"}, said("I think B"), False),
        ({"schema": {"type": "array"}}, said("```json\n[1]\n```"), True),
        ({"schema": {"type": "array"}}, said("{}"), False),
        ({"schema": {"type": "array"}}, said("no JSON"), False),
    ],
)
async def test_rules_that_read_the_answer_alone(rule, answer, trusted):
    reply = await ScriptedPort({"mini": answer, "large": "climbed"}).answer(plan("cascade", tiers(rule)), "?")
    assert reply.tiers[0].trusted is trusted
    assert (reply.text == "climbed") is not trusted


async def test_no_answer_takes_a_regular_expression_long():
    began_s = time.process_time()
    port = ScriptedPort({"mini": "a" * 50_000 + "!", "large": "climbed"})
    assert (await port.answer(plan("cascade", tiers({"regex": "(a+)+$"})), "?")).text == "climbed"
    assert time.process_time() - began_s < 1.0


async def test_a_schema_that_is_satisfied_gives_the_answer_its_value():
    answer = await ScriptedPort({"mini": "[1, 2]", "large": "x"}).answer(plan("cascade", tiers({"schema": {"type": "array"}})), "?")
    assert answer.value == [1, 2]


SAMPLED = plan("cascade", tiers({"samples": {"k": 3, "agreement": 0.6, "temperature": 0.5}}))


async def test_samples_that_agree_are_trusted_and_their_majority_is_the_answer():
    port = ScriptedPort({"mini": ["7", "8", "8"], "large": "9"})
    answer = await port.answer(SAMPLED, "?")
    assert (answer.text, answer.source, answer.tiers[0].reason) == ("8", "mini", "agreement of 3 samples 0.67 >= 0.6")
    assert answer.votes == {"7": 1.0, "8": 2.0}


async def test_samples_that_differ_are_not_trusted():
    answer = await ScriptedPort({"mini": ["7", "8", "9"], "large": "10"}).answer(SAMPLED, "?")
    assert (answer.text, answer.tiers[0].confidence) == ("10", pytest.approx(1 / 3))


async def test_each_sample_is_asked_apart_from_the_others():
    port = ScriptedPort({"mini": ["7", "8", "9"], "large": "10"})
    await port.answer(SAMPLED, "?")
    assert [(ask.task.sampling.sample, ask.task.sampling.temperature) for ask in port.asked] == [(0, None), (1, 0.5), (2, 0.5), (0, None)]


async def test_samples_that_fail_count_as_if_they_disagreed():
    answer = await ScriptedPort({"mini": ["7", failed(), "7"], "large": "9"}).answer(SAMPLED, "?")
    assert answer.tiers[0].confidence == pytest.approx(2 / 3)


BESIDE = plan("cascade", tiers({"agrees_with": {"models": ["b", "c"], "agreement": 0.6}}))


async def test_an_answer_that_cheap_models_share_is_trusted():
    answer = await ScriptedPort({"mini": "Yes.", "b": "yes", "c": "no", "large": "maybe"}).answer(BESIDE, "?")
    assert (answer.text, answer.tiers[0].reason) == ("Yes.", "agreement with b, c 0.67 >= 0.6")


async def test_what_counts_is_agreement_with_the_tiers_own_answer():
    answer = await ScriptedPort({"mini": "yes", "b": "no", "c": "no", "large": "maybe"}).answer(BESIDE, "?")
    assert (answer.text, answer.tiers[0].confidence) == ("maybe", pytest.approx(1 / 3))


async def test_a_cheap_model_that_is_down_counts_as_if_it_disagreed():
    answer = await ScriptedPort({"mini": "yes", "b": "yes", "c": failed(), "large": "maybe"}).answer(BESIDE, "?")
    assert answer.tiers[0].confidence == pytest.approx(2 / 3)


VERIFIED = plan("cascade", tiers({"verifier": {"model": "judge", "threshold": 0.6}}))


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("Yes.", "verifier judge says yes: 1.00 >= 0.6"),
        (said("yes", logprobs=[-1.0]), "verifier judge says yes: 0.37 < 0.6"),
        ("No, it is wrong.", "verifier judge says no"),
        ("Who knows", "not trusted: verifier judge said neither yes nor no"),
        (failed(), "not trusted: verifier judge failed: timeout"),
    ],
)
async def test_a_verifier_says_yes_or_no(verdict, reason):
    answer = await ScriptedPort({"mini": "4", "judge": verdict, "large": "5"}).answer(VERIFIED, "2 + 2?")
    assert answer.tiers[0].reason == reason


async def test_a_verifier_sees_question_and_answer():
    port = ScriptedPort({"mini": "about 4", "judge": "yes", "large": "5"})
    await port.answer(VERIFIED, "2 + 2?")
    assert "2 + 2?" in port.asked[1].task.text
    assert "about 4" in port.asked[1].task.text


def is_short(task: Task, answer: Answer) -> bool:
    return len(answer.text) < 5


async def is_likely(task: Task, answer: Answer) -> float:
    return 0.3


def breaks(task: Task, answer: Answer) -> bool:
    raise KeyError("no")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (is_short, "checks:trusts says yes"),
        (is_likely, "checks:trusts 0.30 < 0.5"),
        (breaks, "not trusted: checks:trusts raised KeyError"),
        (lambda task, answer: "fine", "not trusted: checks:trusts returned str, not a bool or a number in [0, 1]"),
    ],
)
async def test_a_python_function_decides(function, reason):
    made = plan("cascade", tiers({"python": "checks:trusts"}), import_function=lambda path: function)
    answer = await ScriptedPort({"mini": "4", "large": "5"}).answer(made, "?")
    assert answer.tiers[0].reason == reason


async def test_a_python_function_is_imported_when_nobody_found_it_before():
    made = plan("cascade", tiers({"python": {"function": "operator:eq"}}))
    answer = await ScriptedPort({"mini": "4", "large": "5"}).answer(made, "?")
    assert answer.tiers[0].reason == "operator:eq says no"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([{"ask": "a"}, {"ask": "b"}], "cascade: Value error, tier 1 (a) has no `trust`"),
        ([{"ask": "a", "trust": {"logprob": 0.8}}], "the last tier (a) always answers"),
        (tiers({"logprob": 85}), "cascade.0.trust.logprob: Value error, 85 is no threshold"),
        (tiers({"logprob": 85}), "did you mean 0.85?"),
        (tiers({"logprob": -0.2}), "as a log-probability it would be 0.819"),
        (tiers({"samples": {"k": 1}}), "cascade.0.trust.samples.k: Input should be greater than or equal to 2"),
        (tiers({"regex": "("}), "is no regular expression"),
        (tiers({"regex": "(?=a)"}), "is no regular expression that can be used here: look-around"),
        (tiers({"schema": {"type": "nonsense"}}), "no valid JSON Schema"),
        (tiers({"python": "no colon"}), "cascade.0.trust.python"),
        (tiers({"logprop": 0.5}), "no kind of trust rule is called 'logprop'; did you mean 'logprob'?"),
        (tiers({"verifier": {"model": "j", "prompt": "{{ anser }}"}}), "did you mean 'answer'?"),
        ([], "cascade: Tuple should have at least 1 item"),
        (tiers({"logprob": "learnt"}), "cascade.0.trust.logprob: Input should be a valid number"),
        (tiers({"samples": {"k": 3, "agreement": "learned"}}), "cascade.0.trust.samples.agreement: Input should be a valid number"),
        (tiers({"logprob": "learned"}, {"regex": "x"}), "thresholds are learned of all tiers together: let mini have `learned` too"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(fields, words):
    assert words in refused("cascade", fields)


def test_a_cascade_names_all_it_may_ask():
    made = plan("cascade", tiers({"verifier": "judge"}, {"agrees_with": ["b", "c"]}))
    assert list(made.asks()) == ["mini", "judge", "mini", "b", "c", "large"]


def test_tiers_may_stand_under_their_own_key():
    assert plan("cascade", {"tiers": tiers({"logprob": 0.85})}) == FAQ
