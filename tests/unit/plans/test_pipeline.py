"""What each stage sees, how its text is checked, and what becomes of a stage that fails."""

import pytest
from plan_builders import plan, refused

from partsong.contracts import FailureCode, ImagePart, Message, Task, TextPart
from partsong.testing.scripted import ScriptedPort, failed

TWO = plan(
    "pipeline",
    [
        {"ask": "reasoner", "prompt": "Think: {{ task }}"},
        {"ask": "writer", "prompt": "Write up: {{ outputs.reasoner }}"},
    ],
)


def prompts(port):
    return [ask.task.text for ask in port.asked]


async def test_each_stage_sees_the_task_and_earlier_outputs():
    port = ScriptedPort({"reasoner": "because", "writer": "The end."})
    answer = await port.answer(TWO, "Why?")
    assert prompts(port) == ["Think: Why?", "Write up: because"]
    assert (answer.text, answer.source) == ("The end.", "writer")


async def test_the_answer_tells_what_each_stage_wrote():
    answer = await ScriptedPort({"reasoner": "because", "writer": "The end."}).answer(TWO, "Why?")
    assert [(c.source, c.text) for c in answer.candidates] == [("reasoner", "because"), ("writer", "The end.")]
    assert answer.stopped == "all of 2 stages written"


async def test_a_first_stage_without_prompt_is_asked_the_task_itself():
    port = ScriptedPort({"a": "x", "b": "y"})
    task = Task.of("Why?")
    await port.answer(plan("pipeline", [{"ask": "a"}, {"ask": "b", "prompt": "{{ previous }}!"}]), task)
    assert port.asked[0].task.messages == task.messages
    assert prompts(port)[1] == "x!"


async def test_only_the_last_stage_may_stream():
    port = ScriptedPort({"reasoner": "because", "writer": "The end."})
    await port.answer(TWO, "Why?")
    assert [ask.final for ask in port.asked] == [False, True]


CHECKED = plan("pipeline", [{"ask": "a", "prompt": "Go{{ ' not: ' + problem if problem }}", "check": {"regex": "^ok"}, "retries": 2}])


async def test_a_text_that_fails_its_check_is_asked_for_anew_and_told_why():
    port = ScriptedPort({"a": ["bad", "ok"]})
    answer = await port.answer(CHECKED, "?")
    assert (answer.text, prompts(port)) == ("ok", ["Go", "Go not: does not match ^ok"])
    assert [ask.task.sampling.sample for ask in port.asked] == [0, 1]


async def test_a_stage_that_never_passes_its_check_fails_the_row():
    port = ScriptedPort({"a": "bad"})
    failure = await port.answer(CHECKED, "?")
    assert (failure.code, failure.where, len(port.asked)) == (FailureCode.INVALID_ANSWER, "a", 3)
    assert failure.message == "stage a failed its check 3 times; the last time: does not match ^ok"


async def test_a_stage_that_is_down_fails_the_row():
    port = ScriptedPort({"reasoner": failed(), "writer": "x"})
    failure = await port.answer(TWO, "?")
    assert (failure.code, failure.where, port.names) == (FailureCode.TIMEOUT, "reasoner", ["reasoner"])


async def test_an_optional_stage_that_is_down_is_left_out():
    made = plan(
        "pipeline",
        [
            {"ask": "a"},
            {"ask": "b", "prompt": "b {{ previous }}", "optional": True},
            {"ask": "c", "prompt": "c {{ previous }}"},
        ],
    )
    port = ScriptedPort({"a": "1", "b": failed(), "c": "3"})
    assert (await port.answer(made, "?")).text == "3"
    assert prompts(port)[-1] == "c 1"


async def test_an_optional_last_stage_that_is_down_leaves_the_one_before():
    made = plan("pipeline", [{"ask": "a"}, {"ask": "b", "prompt": "polish {{ previous }}", "optional": True}])
    answer = await ScriptedPort({"a": "draft", "b": failed()}).answer(made, "?")
    assert (answer.text, answer.stopped) == ("draft", "the last stage failed (timeout); left out")


async def test_the_json_schema_holds_for_the_last_stage_alone():
    task = Task.of("?").model_copy(update={"answer_schema": {"type": "integer"}})
    port = ScriptedPort({"reasoner": "words", "writer": "4"})
    answer = await port.answer(TWO, task)
    assert [ask.task.answer_schema for ask in port.asked] == [None, {"type": "integer"}]
    assert answer.value == 4


async def test_images_go_along_only_where_told_to():
    picture = ImagePart(url="https://example.org/cat.png")
    task = Task(id="1", messages=(Message(role="user", parts=(TextPart(text="?"), picture)),))
    port = ScriptedPort({"a": "cat", "b": "tom"})
    await port.answer(
        plan(
            "pipeline",
            [
                {"ask": "a", "prompt": "what?", "attach": True},
                {"ask": "b", "prompt": "name {{ previous }}"},
            ],
        ),
        task,
    )
    assert [ask.task.part_types for ask in port.asked] == [{"text", "image"}, {"text"}]


async def test_a_row_that_lacks_what_a_prompt_reads_fails_with_the_reason():
    failure = await ScriptedPort({"a": "x"}).answer(plan("pipeline", [{"ask": "a", "prompt": "For {{ metadata.customer }}"}]), "?")
    assert failure.code is FailureCode.BAD_ROW
    assert "customer" in failure.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([{"ask": "a"}, {"ask": "b"}], "stage 2 (b) has no `prompt`, so it would not see what came before"),
        ([{"ask": "a"}, {"ask": "a", "prompt": "x y"}], "two stages are called a; give one of them a `name`"),
        (
            [{"ask": "a", "prompt": "{{ tsk }}"}],
            "pipeline.0.prompt: Value error, template uses 'tsk', which it does not get",
        ),
        ([{"ask": "a", "prompt": "one\n{% if %}"}], "pipeline.0.prompt: Value error, template line 2"),
        ([{"ask": "a", "check": {"logprob": "learned"}}], "thresholds are learned of cascades; write a number"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(fields, words):
    assert words in refused("pipeline", fields)
