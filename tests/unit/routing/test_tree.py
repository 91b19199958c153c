"""A decision tree that a person can read: which leaf takes a task, and what is said of the way there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from partsong.contracts import Constraints, Task
from partsong.errors import MeshError
from partsong.routing.counted import numbers, sentences
from partsong.routing.router import Router
from partsong.routing.rules import RouteRule
from partsong.routing.tree import Tree

TREE = {
    "if": {"longer_than": 50},
    "then": {"if": {"code": True}, "then": "coder", "else": {"use": "large"}},
    "else": {"if": {"more_numbers_than": 2}, "then": {"use": "reckoner"}},
}
LONG = "Tell me at length what you think of all of this, please, and why."


def tree(written: object = TREE) -> Tree:
    return Tree.model_validate(written)


def routed(text: str, written: object = TREE, **fields: object):
    return tree(written).decider(None)(Task.of(text).model_copy(update=fields))


def test_a_task_goes_down_to_its_leaf_and_the_reason_is_the_way():
    route = routed(LONG)
    assert (route.use, route.reason) == ("large", "tree: longer_than 50, not (code True)")
    assert routed("1 + 2 + 3?").use == "reckoner"


def test_a_branch_without_else_leaves_the_others_to_the_next():
    assert routed("Hello") is None


def test_a_leaf_alone_takes_everything():
    assert routed("Hello", "mini").use == "mini"


def test_urgency_and_metadata_are_asked_as_in_routes():
    written = {"if": {"urgency": "high", "metadata": {"kind": ["law", "tax"]}}, "then": "large", "else": "mini"}
    urgent = {"constraints": Constraints(urgency="high"), "metadata": {"kind": "tax"}}
    assert routed("Hello", written, **urgent).use == "large"
    assert routed("Hello", written, metadata={"kind": "tax"}).use == "mini"


def test_it_comes_after_the_rules_and_before_the_gate_and_the_default():
    rules = [RouteRule.model_validate({"when": {"matches": "Tell"}, "use": "small"}), RouteRule.model_validate({"use": "rest"})]
    router = Router(["small", "rest", "reckoner"], rules, deciders=[tree().decider(None), lambda task: None])
    assert [router.decide(Task.of(text)).use for text in (LONG, "1 + 2 + 3?", "Hello")] == ["small", "reckoner", "rest"]


def test_the_language_is_asked_only_where_something_can_tell_it():
    written = {"if": {"language": "de"}, "then": "german", "else": "mini"}
    assert tree(written).decider(lambda text: "de")(Task.of("Guten Tag")).use == "german"
    with pytest.raises(MeshError) as caught:
        tree(written).decider(None)
    assert caught.value.problems[0].code == "no-language-detector"


@pytest.mark.parametrize(
    "written",
    [{}, {"if": {"code": True}}, {"then": "mini"}, {"use": "mini", "then": "large"}, {"if": {}, "then": "mini"}, {"use": "no name"}, 5],
)
def test_what_is_neither_branch_nor_leaf_is_refused(written: object):
    with pytest.raises(ValidationError):
        tree(written)


def test_it_is_written_and_read_back():
    assert Tree.model_validate_json(tree().model_dump_json(by_alias=True)) == tree()
    assert [place for place, _ in tree().walk()] == [(), ("then",), ("then", "then"), ("then", "else"), ("else",), ("else", "then")]


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello", 1), ("Hello. You?", 2), ("It is 3.5 m long.", 1), ("One\n\ntwo", 2), ("你好。再见。", 2), ("Really?! Yes", 2)],
)
def test_sentences_are_counted(text: str, count: int):
    assert sentences(text) == count


def test_numbers_are_counted():
    assert [numbers(text) for text in ("none", "3.5 and 1,200", "x2y3")] == [0, 2, 2]


@given(st.text(max_size=200))
def test_whatever_the_text_counting_ends(text: str):
    assert sentences(text) >= (1 if text.strip() else 0)
    assert numbers(text) >= 0
