"""How a request is taken apart, who does which part, and what happens to plans that cannot be used."""

import asyncio
import json

import pytest
from plan_builders import plan, refused

from partsong.contracts import FailureCode, Sampling, Task
from partsong.testing.scripted import ScriptedPort, failed

FIELDS = {"planner": "boss", "workers": {"text": "mini", "code": "coder"}, "compose": "writer"}
SPLIT = plan("decompose", FIELDS)
WITH_FALLBACK = plan("decompose", {**FIELDS, "otherwise": "large"})


def node(name, kind="text", needs=(), prompt="do it"):
    return {"id": name, "kind": kind, "prompt": prompt, "needs": list(needs)}


def graph(*nodes):
    return json.dumps({"subtasks": nodes})


def models(planned, **others):
    return {"boss": planned, "mini": "by mini", "coder": "by coder", "writer": "whole", "large": "instead", **others}


async def test_parts_go_to_the_worker_of_their_kind_and_are_composed():
    port = ScriptedPort(models(graph(node("words"), node("program", "code"))))
    answer = await port.answer(SPLIT, "Explain and program it")
    assert port.names == ["boss", "mini", "coder", "writer"]
    assert (answer.text, answer.source) == ("whole", "writer")
    assert answer.stopped == "2 of 2 subtasks done: words by mini, program by coder"


async def test_the_answer_tells_what_each_part_came_to():
    answer = await ScriptedPort(models(graph(node("words"), node("program", "code")))).answer(SPLIT, "?")
    assert [(c.source, c.text) for c in answer.candidates] == [("words by mini", "by mini"), ("program by coder", "by coder")]


async def test_independent_parts_are_worked_at_the_same_time():
    both = asyncio.Barrier(2)

    async def together(_):
        await both.wait()
        return "done"

    port = ScriptedPort(models(graph(node("one"), node("two", "code")), mini=together, coder=together))
    async with asyncio.timeout(1):
        assert (await port.answer(SPLIT, "?")).text == "whole"


async def test_a_part_sees_the_results_it_needs_and_no_others():
    port = ScriptedPort(models(graph(node("one"), node("two", "code"), node("three", needs=["two"])), coder="SECRET", mini="OPEN"))
    await port.answer(SPLIT, "The request")
    third = port.asked[-2].task.text
    assert "SECRET" in third
    assert "OPEN" not in third
    assert "The request" in third


async def test_the_composer_sees_the_request_and_every_result():
    port = ScriptedPort(models(graph(node("one"), node("two", "code"))))
    await port.answer(SPLIT, "The request")
    assert all(words in port.asked[-1].task.text for words in ("The request", "## one", "by mini", "## two", "by coder"))


async def test_the_planner_may_write_more_than_the_answer():
    port = ScriptedPort(models(graph(node("one"))))
    await port.answer(SPLIT, Task.of("?").model_copy(update={"sampling": Sampling(max_tokens=20)}))
    assert [ask.task.sampling.max_tokens for ask in port.asked] == [1024, 20, 20]


async def test_only_the_composer_may_stream():
    port = ScriptedPort(models(graph(node("one"))))
    await port.answer(SPLIT, "?")
    assert [ask.name for ask in port.asked if ask.final] == ["writer"]


async def test_the_planner_is_held_to_a_json_schema_that_names_the_kinds():
    port = ScriptedPort(models(graph(node("one"))))
    await port.answer(SPLIT, "?")
    schema = json.dumps(port.asked[0].task.answer_schema)
    assert '"enum": ["text", "code"]' in schema


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("a", needs=["b"]), node("b", needs=["a"])], "in a circle: "),
        ([node("a", needs=["a"])], "in a circle: a -> a"),
        ([node("a", needs=["ghost"])], "subtask 'a' needs 'ghost', which is no subtask's id"),
        ([node("a"), node("a")], "two subtasks have the same id"),
        ([node("a", prompt="")], "none of them empty"),
        ([node(str(i), needs=[str(i - 1)] if i else []) for i in range(6)], "wait for each other 6 deep; at most 4"),
    ],
)
async def test_a_graph_that_cannot_be_used_is_repaired_once(nodes, told):
    port = ScriptedPort(models([graph(*nodes), graph(node("fine"))]))
    answer = await port.answer(SPLIT, "?")
    assert answer.text == "whole"
    assert told in port.asked[1].task.text


async def test_text_that_is_no_graph_is_repaired_once():
    port = ScriptedPort(models(["I would start with...", graph(node("fine"))]))
    assert (await port.answer(SPLIT, "?")).text == "whole"
    assert port.names[:3] == ["boss", "boss", "mini"]


async def test_too_many_subtasks_are_refused():
    port = ScriptedPort(models(graph(*(node(str(i)) for i in range(9)))))
    assert (await port.answer(SPLIT, "?")).code is FailureCode.BAD_PLAN


@pytest.mark.parametrize("nonsense", ["no JSON", "[]", '{"subtasks": []}', graph(node("a", kind="dance")), graph(node("a", needs=["b"]))])
async def test_nonsense_after_the_repair_is_a_failure_that_says_why(nonsense):
    port = ScriptedPort(models(nonsense))
    failure = await port.answer(SPLIT, "?")
    assert (failure.code, port.names) == (FailureCode.BAD_PLAN, ["boss", "boss"])


async def test_or_the_named_plan_takes_over():
    port = ScriptedPort(models("nonsense"))
    answer = await port.answer(WITH_FALLBACK, "?")
    assert (answer.text, port.asked[-1].final) == ("instead", True)
    assert answer.stopped.startswith("large answered instead (bad-plan: ")


async def test_the_named_plan_takes_over_for_a_planner_that_is_down():
    assert (await ScriptedPort(models(failed())).answer(WITH_FALLBACK, "?")).text == "instead"


async def test_a_subtask_that_fails_fails_the_row_and_cancels_the_rest():
    async def never(_):
        await asyncio.Event().wait()

    port = ScriptedPort(models(graph(node("one"), node("two", "code")), mini=never, coder=failed()))
    failure = await port.answer(SPLIT, "?")
    assert (failure.code, port.cancelled) == (FailureCode.TIMEOUT, ["mini"])


async def test_tolerated_failures_leave_out_what_needed_them():
    made = plan("decompose", {**FIELDS, "tolerate": 2})
    port = ScriptedPort(models(graph(node("one"), node("two", "code"), node("three", needs=["two"])), coder=failed()))
    answer = await port.answer(made, "?")
    assert answer.stopped == "1 of 3 subtasks done: one by mini"


async def test_a_kind_without_worker_goes_to_the_first_model_with_that_skill():
    port = ScriptedPort({"boss": graph(node("one", "poetry")), "bard": "verse"}, skills={"poetry": ["bard"]})
    answer = await port.answer(plan("decompose", {"planner": "boss"}), "?")
    assert answer.text == "## one\nverse"


async def test_and_without_any_skilled_model_to_the_default_else_the_planner():
    port = ScriptedPort({"boss": [graph(node("one", "poetry")), "prose"], "other": "default"})
    assert (await port.answer(plan("decompose", {"planner": "boss"}), "?")).text == "## one\nprose"
    port = ScriptedPort({"boss": graph(node("one", "poetry")), "other": "default"})
    assert (await port.answer(plan("decompose", {"planner": "boss", "default": "other"}), "?")).text == "## one\ndefault"


async def test_without_composer_a_task_with_a_schema_gets_the_results_by_id():
    task = Task.of("?").model_copy(update={"answer_schema": {"type": "object", "required": ["one"]}})
    made = plan("decompose", {"planner": "boss", "workers": {"text": "mini"}})
    assert (await ScriptedPort(models(graph(node("one")))).answer(made, task)).value == {"one": "by mini"}
    assert (await ScriptedPort(models(graph(node("two")))).answer(made, task)).code is FailureCode.INVALID_ANSWER


async def test_the_composer_answers_to_the_tasks_schema():
    task = Task.of("?").model_copy(update={"answer_schema": {"type": "integer"}})
    assert (await ScriptedPort(models(graph(node("one")), writer="4")).answer(SPLIT, task)).value == 4


PARTS = [
    {"id": "pain_points", "about": "the complaints", "prompt": "List the complaints in: {{ task }}"},
    {"id": "mood", "kind": "sentiment", "about": "the mood", "prompt": "{{ task }}"},
    {"id": "reply", "about": "an e-mail", "prompt": "Reply to {{ results.pain_points }}", "needs": ["pain_points"]},
]
FEEDBACK = {"planner": "boss", "workers": {"text": "mini", "sentiment": "vader"}, "parts": PARTS}


async def test_with_parts_given_a_small_planner_only_chooses():
    port = ScriptedPort({"boss": '{"parts": ["mood"]}', "vader": "negative"})
    answer = await port.answer(plan("decompose", FEEDBACK), "It broke!")
    assert (answer.text, port.asked[-1].task.text) == ("## mood\nnegative", "It broke!")


async def test_what_a_chosen_part_needs_is_done_too():
    port = ScriptedPort({"boss": '{"parts": ["reply"]}', "mini": ["it broke", "Sorry!"]})
    answer = await port.answer(plan("decompose", FEEDBACK), "It broke!")
    assert port.asked[-1].task.text == "Reply to it broke"
    assert answer.stopped == "2 of 2 subtasks done: pain_points by mini, reply by mini"


async def test_without_planner_all_parts_are_done():
    port = ScriptedPort({"mini": "text", "vader": "negative"})
    answer = await port.answer(plan("decompose", {"workers": FEEDBACK["workers"], "parts": PARTS}), "It broke!")
    assert answer.stopped.startswith("3 of 3 subtasks done")


async def test_prompts_can_be_your_own():
    made = plan(
        "decompose",
        {
            **FIELDS,
            "plan_prompt": "PLAN {{ task }}",
            "work_prompt": "WORK {{ subtask }}",
            "compose_prompt": "END {{ results }}",
        },
    )
    port = ScriptedPort(models(graph(node("one", prompt="this"))))
    await port.answer(made, "it")
    assert [ask.task.text for ask in port.asked] == ["PLAN it", "WORK this", "END {'one': 'by mini'}"]


async def test_cancelled_while_subtasks_run_it_cancels_them():
    async def never(_):
        await asyncio.Event().wait()

    port = ScriptedPort(models(graph(node("one"), node("two", "code"), node("three", needs=["one"])), mini=never, coder=never))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await port.answer(SPLIT, "?")
    assert sorted(port.cancelled) == ["coder", "mini"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"workers": {"text": "a"}}, "name a `planner`, or the `parts` to be done"),
        ({"parts": PARTS, "workers": {"text": "a"}}, "no worker for sentiment; name one under `workers`, or a `default`"),
        ({"planner": "p", "parts": [{**PARTS[2], "needs": ["ghost"]}]}, "parts: subtask 'reply' needs 'ghost', which is no subtask's id"),
        ({"planner": "p", "parts": [{**PARTS[0], "needs": ["pain_points"]}]}, "parts: subtasks need each other in a circle"),
        ({"planner": "p", "work_prompt": "{{ subtsk }}"}, "did you mean 'subtask'?"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(fields, words):
    assert words in refused("decompose", fields)
