"""Rules that ask a model: best by judge, fuse, compose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Reply, Task
from partsong.merging.best import Best
from partsong.merging.compose import Compose
from partsong.merging.fuse import Fuse
from partsong.merging.rule import MergeRule

TASK = Task.of("Name a colour.").model_copy(update={"answer_schema": {"type": "string"}})
DOWN = Failure(code=FailureCode.TIMEOUT, message="no reply")


def said(*texts: str) -> list[Candidate]:
    return [Candidate(source=f"m{n}", text=text) for n, text in enumerate(texts)]


def replies(*texts: str) -> list[Reply]:
    return [Answer(text=text, source="judge") for text in texts]


def merged(rule: MergeRule, candidates: list[Candidate], given: list[Reply]) -> Answer:
    reply = rule.combine(candidates, given)
    assert isinstance(reply, Answer), reply
    return reply


def test_the_judge_sees_each_pair_in_both_orders():
    asked = Best(judge="large").questions(TASK, said("crimson", "blue", "green"))
    assert [q.part for q in asked] == ["0-1", "0-2", "1-0", "1-2", "2-0", "2-1"]
    assert {q.name for q in asked} == {"large"}
    first, swapped = asked[0].task.text, asked[2].task.text
    assert first.index("crimson") < first.index("blue")
    assert swapped.index("blue") < swapped.index("crimson")
    assert all("Name a colour." in q.task.text for q in asked)


def test_equal_texts_are_never_compared():
    assert len(Best(judge="j").questions(TASK, said("red", "blue", "red"))) == 2
    assert Best(judge="j").questions(TASK, said("red", "red")) == []


def test_the_winner_of_most_comparisons_is_the_answer():
    best = merged(Best(judge="j"), said("red", "blue"), replies("B", "Answer: A"))
    assert (best.text, best.source, best.confidence, best.votes) == ("blue", "m1", 1.0, {"m0": 0.0, "m1": 1.0})


def test_a_verdict_that_changes_with_the_order_is_half_a_win_each_and_the_earlier_stands():
    best = merged(Best(judge="j"), said("red", "blue"), replies("A", "A"))
    assert (best.text, best.confidence, best.votes) == ("red", 0.5, {"m0": 0.5, "m1": 0.5})


def test_a_tie_in_one_order_leaves_the_other_to_decide():
    assert merged(Best(judge="j"), said("red", "blue"), replies("C", "[[A]]")).votes == {"m0": 0.25, "m1": 0.75}


def test_one_failed_verdict_does_not_take_the_others():
    best = merged(Best(judge="j"), said("red", "blue"), [DOWN, *replies("A")])
    assert (best.text, best.confidence) == ("blue", 0.75)


def test_without_any_verdict_the_judges_failure_is_the_answer_unless_the_first_may_stand():
    assert Best(judge="j").combine(said("red", "blue"), [DOWN, DOWN]) == DOWN
    unread = Best(judge="j").combine(said("red", "blue"), replies("hm", "well"))
    assert isinstance(unread, Failure)
    assert unread.code == FailureCode.INVALID_ANSWER
    best = merged(Best(judge="j", otherwise="first"), said("red", "blue"), [DOWN, DOWN])
    assert (best.text, best.confidence) == ("red", None)
    assert "timeout" in best.stopped


@given(st.lists(st.sampled_from(["red", "blue", "green", "black"]), min_size=1, max_size=5), st.data())
def test_all_comparisons_together_give_each_pair_one_win(texts, data):
    rule, candidates = Best(judge="j"), said(*texts)
    asked = rule.questions(TASK, candidates)
    verdicts = data.draw(st.lists(st.sampled_from("ABC"), min_size=len(asked), max_size=len(asked)))
    best = merged(rule, candidates, replies(*verdicts))
    assert sum(best.votes.values()) * 2 == len(asked)
    assert best.confidence is None if not asked else 0.0 <= (best.confidence or 0.0) <= 1.0


@given(st.permutations(["red", "blue", "green"]))
def test_a_consistent_judge_finds_the_best_in_any_order(texts):
    candidates = said(*texts)
    asked = Best(judge="j").questions(TASK, candidates)
    order = [tuple(map(int, q.part.split("-"))) for q in asked]
    verdicts = ["A" if texts[a] == "green" or (texts[a] == "blue" and texts[b] == "red") else "B" for a, b in order]
    best = merged(Best(judge="j"), candidates, replies(*verdicts))
    assert (best.text, best.confidence) == ("green", 1.0)


def test_fuse_shows_all_answers_to_the_writer_and_keeps_the_schema():
    (asked,) = Fuse(model="writer").questions(TASK, said("red", "blue"))
    assert asked.name == "writer"
    assert "[Answer 2]\nblue" in asked.task.text
    assert asked.task.answer_schema == TASK.answer_schema


def test_a_fused_answer_is_the_writers_with_the_candidates_beside_it():
    fused = merged(Fuse(model="w"), said("red", "blue"), [Answer(text="purple", source="w")])
    assert (fused.text, fused.source, len(fused.candidates)) == ("purple", "w", 2)


def test_one_candidate_needs_no_writer():
    assert not Fuse(model="w").questions(TASK, said("red", "red"))
    assert merged(Fuse(model="w"), said("red"), []).text == "red"


def test_a_writer_that_fails_fails_the_fusion_unless_the_first_may_stand():
    assert Fuse(model="w").combine(said("red", "blue"), [DOWN]) == DOWN
    assert merged(Fuse(model="w", otherwise="first"), said("red", "blue"), [DOWN]).text == "red"


def test_compose_without_a_model_puts_the_parts_one_after_the_other():
    assert not Compose().questions(TASK, said("one", "two"))
    assert merged(Compose(), said("one", "two"), []).text == "one\n\ntwo"


def test_compose_asks_its_model_to_join_the_parts():
    (asked,) = Compose(model="writer").questions(TASK, said("one", "two"))
    assert "[Result 1]\none" in asked.task.text
    assert merged(Compose(model="writer"), said("one", "two"), [Answer(text="both", source="writer")]).text == "both"


def test_a_composing_model_that_fails_may_leave_the_parts_as_they_are():
    assert Compose(model="w").combine(said("one", "two"), [DOWN]) == DOWN
    assert merged(Compose(model="w", otherwise="join"), said("one", "two"), [DOWN]).text == "one\n\ntwo"


@pytest.mark.parametrize(
    ("rule", "names"), [(Best(judge="j"), ["j"]), (Fuse(model="w"), ["w"]), (Compose(), []), (Compose(model="c"), ["c"])]
)
def test_each_rule_says_whom_it_may_ask(rule, names):
    assert list(rule.asks()) == names


def test_braces_in_answers_are_left_alone():
    assert Best(judge="j").questions(TASK, said("{x}", "{}"))
    assert "{x}" in Fuse(model="w").questions(TASK, said("{x}", "{}"))[0].task.text
