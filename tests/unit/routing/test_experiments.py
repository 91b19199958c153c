"""Experiments: which arm answers a row, how likely that was, and what the mesh file may not say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from partsong.contracts import CodePart, ImagePart, Message, Route, Task, TextPart
from partsong.routing.complexity import complexity_of
from partsong.routing.experiments import Experiment, ExperimentField, Shadow, shadow_run
from partsong.routing.router import Router
from partsong.routing.rules import RouteRule

ADAPTER: TypeAdapter[Experiment] = TypeAdapter(ExperimentField)
ARMS = {"champion": "old", "challenger": "new"}


def experiment(kind: str, **fields: object) -> Experiment:
    return ADAPTER.validate_python({kind: {**ARMS, **fields}})


def routed(one: Experiment, row: object, name: str = "trial", **shares: float) -> Route:
    task = row if isinstance(row, Task) else Task.of("hello", id=str(row))
    router = Router(["old", "new", name], [RouteRule(use=name)], experiments={name: one})
    route = router.decide(task, shares)
    assert isinstance(route, Route)
    return route


def user(name: str | None, row: int = 0) -> Task:
    return Task.of("hello", id=f"q{row}").model_copy(update={"metadata": {} if name is None else {"user": name}})


@given(st.text(), st.integers(0, 5))
def test_the_same_key_has_the_same_arm_whatever_the_row(name, row):
    one = experiment("split", key="metadata.user")
    assert routed(one, user(name, row)) == routed(one, user(name, row + 1))


def test_a_row_without_the_key_is_drawn_by_its_id():
    by_key, by_id = experiment("split", key="metadata.user"), experiment("split")
    assert [routed(by_key, user(None, row)).arm for row in range(50)] == [routed(by_id, user(None, row)).arm for row in range(50)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_challenger_gets_its_share(share):
    rows = 20_000
    taken = sum(routed(experiment("split", share=share), row).arm == "challenger" for row in range(rows))
    assert abs(taken - rows * share) < 4 * (rows * share * (1 - share)) ** 0.5


def test_one_experiments_draw_tells_nothing_of_anothers():
    one = experiment("split")
    both = sum(routed(one, row).arm == routed(one, row, "other").arm for row in range(4000))
    assert abs(both - 2000) < 4 * 1000**0.5


def test_a_route_tells_experiment_arm_and_how_likely_it_was():
    routes = [routed(experiment("split", share=0.25), row) for row in range(50)]
    assert {(route.use, route.arm, route.propensity) for route in routes} == {("old", "champion", 0.75), ("new", "challenger", 0.25)}
    assert {route.experiment for route in routes} == {"trial"}
    assert "rule 1: default; trial at 25 %: champion" in {route.reason for route in routes}


def test_who_is_in_at_a_small_share_stays_in_at_a_larger_one():
    one = experiment("rollout", stages=[{"share": 0.1, "rows": 5}, {"share": 0.6}])
    first = {row for row in range(500) if routed(one, row).arm == "challenger"}
    later = {row for row in range(500) if routed(one, row, trial=0.6).arm == "challenger"}
    assert 20 < len(first) < 90
    assert first < later


def test_a_share_of_nothing_goes_to_the_champion_for_sure():
    one = experiment("rollout", stages=[{"share": 0.9}])
    assert {(routed(one, row, trial=0.0).arm, routed(one, row, trial=0.0).propensity) for row in range(50)} == {("champion", 1.0)}


@pytest.mark.parametrize(("arm", "use"), [("champion", "old"), ("challenger", "new")])
@pytest.mark.parametrize("kind", [("split", {}), ("shadow", {"usd_per_run": 1}), ("rollout", {"stages": [{"share": 0.5}]})])
def test_what_is_decided_answers_every_row(kind, arm, use):
    one = experiment(kind[0], **kind[1], decided=arm)
    assert {(routed(one, row).use, routed(one, row).propensity) for row in range(50)} == {(use, 1.0)}


def test_a_shadow_has_the_champion_answer_and_samples_a_share():
    one = experiment("shadow", share=0.2, usd_per_run=1)
    assert isinstance(one, Shadow)
    tasks = [Task.of("hello", id=str(row)) for row in range(2000)]
    assert {routed(one, task).use for task in tasks} == {"old"}
    assert 320 < sum(one.samples("trial", task) for task in tasks) < 480
    assert (one.shadow_route("trial").use, one.shadow_route("trial").arm) == ("new", "challenger")


def test_a_decided_shadow_samples_nothing():
    one = experiment("shadow", usd_per_run=1, decided="champion")
    assert isinstance(one, Shadow)
    assert not one.samples("trial", Task.of("hello"))


def test_a_row_may_name_the_experiment_itself():
    route = routed(experiment("split"), Task.of("hello", use="trial"))
    assert route.reason.startswith("named by the row; trial at 50 %")


def test_a_shadows_run_is_beside_the_run_and_no_experiments_other():
    assert shadow_run("run", "a") != shadow_run("run", "b")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("split", {"share": 0.0}),
        ("split", {"share": 1.0}),
        ("split", {"key": "user"}),
        ("split", {"challenger": "old"}),
        ("split", {"stages": []}),
        ("shadow", {}),
        ("shadow", {"usd_per_run": -1}),
        ("shadow", {"usd_per_run": 1, "waiting": 0}),
        ("rollout", {"stages": []}),
        ("rollout", {"stages": [{"share": 0.5}, {"share": 1.0}]}),
        ("rollout", {"stages": [{"share": 0.5, "rows": 9}, {"share": 0.5}]}),
        ("rollout", {"stages": [{"share": 0.5, "rows": 0}, {"share": 1.0}]}),
        ("spilt", {}),
    ],
)
def test_what_makes_no_sense_is_refused(kind, fields):
    with pytest.raises(ValidationError):
        experiment(kind, **fields)


def test_complexity_tells_kind_parts_code_and_length():
    def of(text: str, *parts: ImagePart | CodePart, **metadata: str) -> str:
        message = Message(role="user", parts=(TextPart(text=text), *parts))
        return complexity_of(Task(id="1", messages=(message,), metadata=dict(metadata)))

    assert of("hello") == "short"
    assert of("x" * 500) == "medium"
    assert of("x" * 5000, ImagePart(url="https://example.org/a.png")) == "image long"
    assert of("hello", CodePart(code="x = 1")) == "code short"
    assert of("def f(x):\n    return x\n") == "code short"
    assert of("hello", kind="logic") == "logic short"
