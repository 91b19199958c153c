"""What the gate sends where, and what it says of it."""

from collections import Counter

import pytest
from knowledge_builders import EASY, HARD, MODELS, knowledge, with_newcomer

from partsong.contracts import Constraints, ImagePart, Message, Task
from partsong.learning.knowledge import Estimate
from partsong.routing.gate import Gate, GateSpec
from partsong.routing.router import Router
from partsong.routing.rules import RouteRule


def gate(value_usd: float = 0.01, among: tuple[str, ...] = MODELS, plans: dict[str, Estimate] | None = None, **fields: object) -> Gate:
    return Gate(GateSpec(value_of_correct_usd=value_usd, **fields), among, knowledge(), plans or {})


def hurrying(urgency: str, prompt: str = HARD) -> Task:
    return Task.of(prompt).model_copy(update={"constraints": Constraints(urgency=urgency)})


def test_a_hard_question_goes_to_the_strong_model_and_an_easy_one_to_a_cheap_one():
    assert gate(0.005)(Task.of(HARD)).use == "m0"
    assert gate(0.005)(Task.of(EASY)).use == "m1"


def test_the_more_a_right_answer_is_worth_the_more_may_be_paid_for_it():
    assert gate(1e-9)(Task.of(HARD)).use == "m3"
    assert gate(100.0)(Task.of(EASY)).use == "m0"


def test_the_route_tells_the_numbers_that_it_was_chosen_by():
    route = gate(among=("m0", "m3"))(Task.of(HARD))
    known = knowledge().estimates(HARD)
    assert route.reason == "gate"
    m0, m3 = known["m0"], known["m3"]
    assert route.estimates == f"m0 {m0.right:.2f} at $0.001 in {m0.latency_s:.2g} s; m3 {m3.right:.2f} at $2e-05 in {m3.latency_s:.2g} s"
    assert route.in_words == f"gate: {route.estimates}"
    assert route.propensity is None


def test_who_cannot_wait_gets_the_quick_model():
    asked = gate(usd_per_s=0.001)
    assert asked(hurrying("low")).use == "m0"
    assert asked(hurrying("high")).use == "m3"


def test_a_plan_is_weighed_by_what_it_gave_when_it_was_judged():
    route = gate(among=("m0", "f"), plans={"f": Estimate(0.999, 0.0001, float("nan"))})(Task.of(HARD))
    assert route.use == "f"
    assert route.estimates.startswith("f 1.00 at $0.0001; m0")


@pytest.mark.parametrize(("card", "probes", "use"), [(0.5, 0, "m1"), (0.5, 29, "m0")])
def test_a_new_model_is_chosen_by_its_card_and_soon_by_its_probes(card: float, probes: int, use: str):
    known = with_newcomer(card, probes)
    asked = Gate(GateSpec(value_of_correct_usd=0.1), ("m0", "m1", "m2"), known, {})
    assert asked(Task.of(HARD)).use == use
    assert known.estimates(EASY)["m0"].right > known.estimates(HARD)["m0"].right
    assert known.estimates(HARD)["m0"].cost_usd == pytest.approx(0.001)


def test_a_share_of_rows_explores_by_their_ids_and_the_propensity_is_told():
    asked = gate(among=("m0", "m3"), explore=0.2)
    routes = [asked(Task.of(HARD, id=f"row {n}")) for n in range(600)]
    assert [asked(Task.of(HARD, id=f"row {n}")) for n in range(600)] == routes
    count = Counter((route.use, route.reason) for route in routes)
    assert 0.1 < (count["m0", "gate explores"] + count["m3", "gate explores"]) / 600 < 0.3
    assert count["m3", "gate"] == 0
    assert {route.use: route.propensity for route in routes} == {"m0": pytest.approx(0.9), "m3": pytest.approx(0.1)}


def test_a_row_with_an_image_is_left_to_the_next():
    look = Task.of(HARD).model_copy(update={"messages": (Message(role="user", parts=(ImagePart(url="https://example.org/a.png"),)),)})
    assert gate()(look) is None


def test_rules_come_before_the_gate_and_the_default_after():
    rules = [RouteRule.model_validate({"when": {"matches": "easy"}, "use": "m1"}), RouteRule.model_validate({"use": "m2"})]
    router = Router(MODELS, rules, deciders=[gate()])
    assert [router.decide(Task.of(prompt)).reason for prompt in (EASY, HARD)] == ["rule 1: matches easy", "gate"]
    assert router.decide(Task.of(HARD, use="m3")).reason == "named by the row"


@pytest.mark.parametrize("fields", [{"explore": 0.6}, {"explore": -0.1}, {"usd_per_s": -1.0}, {"value_of_correct_usd": 0.0}])
def test_what_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match="should be"):
        GateSpec.model_validate({"value_of_correct_usd": 1.0, **fields})
