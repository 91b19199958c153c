"""Routes: where a task goes, and why."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from partsong.contracts import CodePart, Constraints, Failure, FailureCode, ImagePart, Message, Route, Task, TextPart, Tool
from partsong.errors import MeshError
from partsong.routing.router import Router
from partsong.routing.rules import RouteRule

NAMES = ["vision", "coder", "faq", "german"]


def rules(*written: dict[str, object]) -> list[RouteRule]:
    return [RouteRule.model_validate(rule) for rule in written]


def holds(when: dict[str, object], task: Task, language: str = "en") -> bool:
    router = Router(NAMES, rules({"when": when, "use": "coder"}, {"use": "faq"}), language_of=lambda _: language)
    route = router.decide(task)
    assert isinstance(route, Route)
    return route.use == "coder"


def asking(text: str = "hello", **fields: object) -> Task:
    return Task.of(text).model_copy(update=fields)


def with_part(part: ImagePart | CodePart) -> Task:
    return asking(messages=(Message(role="user", parts=(TextPart(text="look"), part)),))


IMAGE = ImagePart(url="https://example.org/a.png")


def test_what_the_row_names_comes_first():
    router = Router(NAMES, rules({"when": {"longer_than": 1}, "use": "coder"}))
    assert router.decide(asking(use="faq")) == Route(use="faq", reason="named by the row")


def test_an_unknown_name_fails_with_the_nearest_one():
    reply = Router(NAMES, rules({"use": "faq"})).decide(asking(use="visoin"))
    assert isinstance(reply, Failure)
    assert reply.code == FailureCode.UNKNOWN_NAME
    assert "did you mean 'vision'?" in reply.message


def test_the_first_rule_that_holds_is_taken_and_named():
    router = Router(NAMES, rules({"when": {"contains": "image"}, "use": "vision"}, {"use": "faq"}))
    assert router.decide(with_part(IMAGE)) == Route(use="vision", reason="rule 1: contains image")
    assert router.decide(asking()) == Route(use="faq", reason="rule 2: default")


def test_a_gate_decides_between_rules_and_default():
    router = Router(
        NAMES,
        rules({"when": {"matches": "^hi"}, "use": "coder"}, {"use": "faq"}),
        deciders=[lambda task: None, lambda task: Route(use="german", reason="gate") if "x" in task.text else None],
    )
    assert [router.decide(asking(text)).use for text in ("hi x", "x", "y")] == ["coder", "german", "faq"]


def test_the_only_name_needs_no_rule():
    assert Router(["faq"]).decide(asking()) == Route(use="faq", reason="the only one there is")


def test_no_route_at_all_is_a_failure_that_says_what_to_do():
    reply = Router(NAMES).decide(asking())
    assert isinstance(reply, Failure)
    assert "routes" in reply.message


@pytest.mark.parametrize(
    ("when", "task", "expected"),
    [
        ({"contains": "image"}, with_part(IMAGE), True),
        ({"contains": ["audio", "image"]}, with_part(IMAGE), True),
        ({"contains": "audio"}, with_part(IMAGE), False),
        ({"longer_than": 4}, asking("hello"), True),
        ({"longer_than": 5}, asking("hello"), False),
        ({"shorter_than": 6}, asking("hello"), True),
        ({"shorter_than": 5}, asking("hello"), False),
        ({"language": "de"}, asking("hallo"), False),
        ({"language": ["fr", "en"]}, asking("hallo"), True),
        ({"matches": "(?i)REFUND"}, asking("a refund, please"), True),
        ({"matches": "^refund"}, asking("a refund, please"), False),
        ({"metadata": {"tier": "gold"}}, asking(metadata={"tier": "gold"}), True),
        ({"metadata": {"tier": ["gold", "silver"]}}, asking(metadata={"tier": "silver"}), True),
        ({"metadata": {"tier": "gold"}}, asking(), False),
        ({"metadata": {"a": 1, "b": True}}, asking(metadata={"a": 1, "b": False}), False),
        ({"urgency": "high"}, asking(constraints=Constraints(urgency="high")), True),
        ({"urgency": ["low", "normal"]}, asking(constraints=Constraints(urgency="high")), False),
        ({"code": True}, with_part(CodePart(code="x")), True),
        ({"code": True}, asking("def f(x):\n    return x"), True),
        ({"code": False}, asking("what is a function?"), True),
        ({"tools": True}, asking(tools=(Tool(name="search"),)), True),
        ({"tools": False}, asking(tools=(Tool(name="search"),)), False),
        ({"schema": True}, asking(answer_schema={"type": "object"}), True),
        ({"contains": "image", "longer_than": 100}, with_part(IMAGE), False),
    ],
)
def test_a_rule_holds_when_all_it_says_holds(when, task, expected):
    assert holds(when, task) is expected


@pytest.mark.parametrize(
    "written",
    [
        {"when": {"contians": "image"}, "use": "a"},
        {"when": {"contains": "picture"}, "use": "a"},
        {"when": {"matches": "("}, "use": "a"},
        {"when": {"matches": r"(a)\1"}, "use": "a"},
        {"when": {"language": "german"}, "use": "a"},
        {"when": {"contains": []}, "use": "a"},
        {"when": {}, "use": "a"},
        {"when": {"longer_than": 10, "shorter_than": 5}, "use": "a"},
        {"use": "no name"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(written):
    with pytest.raises(ValidationError):
        RouteRule.model_validate(written)


def test_a_route_on_language_needs_a_detector():
    with pytest.raises(MeshError, match="no-language-detector"):
        Router(NAMES, rules({"when": {"language": "de"}, "use": "german"}))


def test_the_language_is_looked_at_only_when_all_else_holds():
    asked: list[str] = []

    def language_of(text: str) -> str:
        asked.append(text)
        return "de"

    router = Router(
        NAMES, rules({"when": {"language": "de", "longer_than": 100}, "use": "german"}, {"use": "faq"}), language_of=language_of
    )
    router.decide(asking())
    assert asked == []


PARTS = st.one_of(st.builds(TextPart, text=st.text()), st.builds(CodePart, code=st.text()), st.just(IMAGE))
TASKS = st.builds(
    Task,
    id=st.text(max_size=5),
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), parts=st.lists(PARTS, max_size=3).map(tuple)), max_size=3
    ).map(tuple),
    use=st.sampled_from([None, "faq", "gone"]),
    metadata=st.dictionaries(st.sampled_from("ab"), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers())), max_size=2),
)
WHENS = st.fixed_dictionaries(
    {},
    optional={
        "contains": st.sampled_from(["image", ["code", "text"]]),
        "longer_than": st.integers(1, 50),
        "shorter_than": st.integers(60, 90),
        "language": st.sampled_from(["de", ["en", "fr"]]),
        "matches": st.sampled_from(["a", "^b+$", "[^a]{3}"]),
        "metadata": st.dictionaries(st.sampled_from("ab"), st.one_of(st.integers(), st.lists(st.integers()), st.text()), min_size=1),
        "urgency": st.sampled_from(["low", ["normal", "high"]]),
        "code": st.booleans(),
        "tools": st.booleans(),
        "schema": st.booleans(),
    },
).filter(bool)


@given(st.lists(WHENS, max_size=3), st.booleans(), TASKS)
def test_any_task_gets_a_route_or_a_failure_and_the_same_one_again(whens, has_default, task):
    written = rules(*({"when": when, "use": NAMES[n % 4]} for n, when in enumerate(whens)), *([{"use": "faq"}] if has_default else []))
    router = Router(NAMES, written, language_of=lambda text: "de" if "d" in text else "en")
    route = router.decide(task)
    assert route == router.decide(task)
    assert isinstance(route, Failure) or (route.use in NAMES and route.reason)


@pytest.mark.parametrize("pattern", [r"a.*b.*c$", r"(a+)+$", r"(a|a)*b"])
def test_no_pattern_and_no_text_can_hang_a_route(pattern):
    began_s = time.process_time()
    holds({"matches": pattern}, asking("ab" * 50_000 + "a" * 50_000 + "!"))
    assert time.process_time() - began_s < 1.0
