"""However plans are nested over whatever their models say: a row ends, within its limits, in an answer or a failure."""

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import plan

from partsong.contracts import Answer, Constraints, Failure, FailureCode, Task
from partsong.testing.scripted import ScriptedPort, failed, said

MODELS = ["a", "b", "c"]
GRAPH = {"subtasks": [{"id": "x", "kind": "k", "prompt": "p", "needs": []}, {"id": "y", "kind": "k", "prompt": "p", "needs": ["x"]}]}
LINES = st.sampled_from(
    [
        "yes",
        "no",
        "4",
        "",
        json.dumps(GRAPH),
        '{"subtasks": [{"id": "x", "kind": "k", "prompt": "p", "needs": ["x"]}]}',
        said("4", logprobs=[-0.2]),
    ]
    + [failed(code) for code in (FailureCode.TIMEOUT, FailureCode.CONTENT_FILTER, FailureCode.INVALID_ANSWER)]
)
SCRIPTS = st.fixed_dictionaries({name: st.lists(LINES, min_size=1, max_size=4) for name in MODELS})
TRUST = st.sampled_from(
    [
        {"logprob": 0.8},
        {"agreement": 0.7},
        {"samples": 3},
        {"agrees_with": ["b"]},
        {"verifier": "c"},
        {"regex": "y"},
        {"schema": {"type": "integer"}},
    ]
)


def entries(names: list[str]) -> st.SearchStrategy[tuple[str, object]]:
    """Return one plan that asks some of these."""
    name = st.sampled_from(names)
    some = st.lists(name, min_size=1, max_size=3)
    tier = st.fixed_dictionaries({"ask": name, "trust": TRUST})
    stage = st.fixed_dictionaries({"ask": name, "prompt": st.just("{{ task }} {{ previous }}"), "optional": st.booleans()})
    return st.one_of(
        st.tuples(st.just("direct"), name),
        st.tuples(st.just("cascade"), st.builds(lambda tiers, last: [*tiers, {"ask": last}], st.lists(tier, max_size=2), name)),
        st.tuples(st.just("ensemble"), st.fixed_dictionaries({"members": some, "early": st.booleans()})),
        st.tuples(
            st.just("pipeline"),
            st.lists(stage, min_size=1, max_size=3).map(lambda stages: [{**one, "name": f"s{i}"} for i, one in enumerate(stages)]),
        ),
        st.tuples(
            st.just("decompose"),
            st.fixed_dictionaries({"planner": name}, optional={"compose": name, "otherwise": name, "tolerate": st.integers(0, 2)}),
        ),
        st.tuples(st.just("layers"), st.fixed_dictionaries({"proposers": some, "aggregator": name, "rounds": st.integers(1, 2)})),
    )


@st.composite
def nests(draw):
    """Return plans by name, each asking models and the plans before it; the last is the row's."""
    plans = {}
    for number in range(draw(st.integers(1, 4))):
        kind, fields = draw(entries([*MODELS, *plans]))
        plans[f"plan{number}"] = plan(kind, fields)
    return plans


CAP = Constraints(max_calls=60)
SCHEMA = st.sampled_from([None, None, {"type": "integer"}])


def run(plans, scripts, schema, limits=None):
    port = ScriptedPort(scripts, plans=plans, limits=limits or Constraints())
    task = Task.of("Is it?").model_copy(update={"answer_schema": schema})

    async def bounded():
        async with asyncio.timeout(20):
            return await port.answer(plans[f"plan{len(plans) - 1}"], task)

    return asyncio.run(bounded()), port


@settings(max_examples=150, deadline=None)
@given(nests(), SCRIPTS, SCHEMA, st.integers(1, 12))
def test_a_row_ends_within_its_limit_of_calls(plans, scripts, schema, max_calls):
    reply, port = run(plans, scripts, schema, Constraints(max_calls=max_calls))
    assert isinstance(reply, Answer | Failure)
    assert len(port.asked) <= max_calls


@settings(max_examples=100, deadline=None)
@given(nests(), SCRIPTS, SCHEMA)
def test_the_same_replies_lead_to_the_same_end_at_the_same_steps(plans, scripts, schema):
    (first, one), (second, other) = run(plans, scripts, schema, CAP), run(plans, scripts, schema, CAP)
    assert first == second
    assert one.asked == other.asked


@settings(max_examples=100, deadline=None)
@given(nests(), SCRIPTS)
def test_at_most_one_call_may_stream_and_if_it_answers_it_is_the_answer(plans, scripts):
    reply, port = run(plans, scripts, None, CAP)
    finals = [ask for ask in port.asked if ask.final]
    answered = [ask for ask in finals if not isinstance(port.said[ask.step], Failure)]
    assert len(answered) <= 1
    if answered:
        assert isinstance(reply, Answer)
        assert reply.text == port.said[answered[0].step].text
