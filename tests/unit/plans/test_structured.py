"""What becomes of an answer that must satisfy a JSON Schema."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Answer, FailureCode, Task, ToolCall
from partsong.plans.structured import InvalidAnswerError, parsed, schema_problem, validated
from partsong.testing.scripted import failed

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
TASK = Task.of("How old?").model_copy(update={"answer_schema": AGE})


def repairs(*replies):
    """Return an `ask_again` that gives these replies, and the list of what it was asked."""
    asked, left = [], list(replies)

    async def ask_again(task):
        asked.append(task)
        return left.pop(0)

    return ask_again, asked


async def test_a_valid_answer_gets_its_value_and_costs_no_further_call():
    ask_again, asked = repairs()
    answer = await validated(Answer(text='{"age": 4}'), TASK, ask_again)
    assert (answer.value, asked) == ({"age": 4}, [])


async def test_an_invalid_answer_is_repaired_once_with_the_error_told():
    ask_again, asked = repairs(Answer(text='{"age": 4}'))
    answer = await validated(Answer(text='{"age": "four"}'), TASK, ask_again)
    assert answer.value == {"age": 4}
    roles = [message.role for message in asked[0].messages]
    assert roles == ["user", "assistant", "user"]
    assert "at $.age: 'four' is not of type 'integer'" in asked[0].messages[-1].text
    assert asked[0].answer_schema == AGE


async def test_after_one_repair_it_is_a_failure():
    ask_again, asked = repairs(Answer(text="still no JSON", source="mini"))
    failure = await validated(Answer(text="no JSON"), TASK, ask_again)
    assert (failure.code, failure.where, len(asked)) == (FailureCode.INVALID_ANSWER, "mini", 1)
    assert "it is not JSON" in failure.message


async def test_an_answer_that_was_cut_off_is_told_to_be_shorter():
    ask_again, asked = repairs(Answer(text='{"age": 4}'))
    await validated(Answer(text='{"age": ', finish_reason="length"), TASK, ask_again)
    assert "cut off at the limit of tokens, be shorter" in asked[0].messages[-1].text


async def test_a_repair_that_fails_is_that_failure():
    ask_again, _ = repairs(failed())
    assert (await validated(Answer(text="no JSON"), TASK, ask_again)).code is FailureCode.TIMEOUT


@pytest.mark.parametrize(
    ("reply", "task"),
    [
        (Answer(text="no JSON"), Task.of("?")),
        (failed(), TASK),
        (Answer(text="", tool_calls=(ToolCall(id="1", name="look", arguments="{}"),)), TASK),
    ],
)
async def test_what_is_no_structured_answer_passes_through(reply, task):
    ask_again, asked = repairs()
    assert await validated(reply, task, ask_again) == reply
    assert asked == []


async def test_a_row_with_a_broken_schema_is_a_bad_row_and_is_not_repaired():
    ask_again, asked = repairs()
    failure = await validated(Answer(text="4"), TASK.model_copy(update={"answer_schema": {"type": "nonsense"}}), ask_again)
    assert (failure.code, asked) == (FailureCode.BAD_ROW, [])


@pytest.mark.parametrize("text", ['{"age": 4}', ' {"age": 4}\n', '```json\n{"age": 4}\n```', '```\n{"age": 4}\n```'])
def test_white_space_and_a_code_fence_are_forgiven(text):
    assert parsed(text, AGE) == {"age": 4}


@pytest.mark.parametrize("text", ["", "age: 4", '{"age": 4} I hope', '{"age": NaN}', '{"age": 4', "[" * 100_000, '{"a": 1}', "null"])
def test_anything_else_is_not_valid(text):
    with pytest.raises(InvalidAnswerError):
        parsed(text, AGE)


@pytest.mark.parametrize(
    "schema", [{"$ref": "https://example.org/s.json"}, {"$ref": "#/nowhere"}, {"type": "string", "pattern": "("}, {"$ref": "#"}]
)
def test_a_schema_that_cannot_be_applied_fetches_nothing_and_is_told(schema):
    with pytest.raises(InvalidAnswerError, match="cannot be applied"):
        parsed('"x"', schema)


def test_a_long_error_is_cut_to_what_a_small_model_can_read():
    with pytest.raises(InvalidAnswerError) as caught:
        parsed('"' + "x" * 10_000 + '"', {"type": "integer"})
    assert len(str(caught.value)) <= 300


def test_what_is_wrong_with_a_schema_is_said():
    assert schema_problem(AGE) is None
    assert "nonsense" in schema_problem({"type": "nonsense"})


@given(st.text())
def test_any_text_is_valid_or_refused(text):
    with contextlib.suppress(InvalidAnswerError):
        assert isinstance(parsed(text, {"type": "integer"}), int | float)


@pytest.mark.parametrize("text", ["yes", " yes\n", '"yes"', '```json\n"yes"\n```'])
def test_of_a_choice_among_words_the_quotes_may_be_missing(text):
    assert parsed(text, {"enum": ["yes", "no"]}) == "yes"


def test_a_word_that_is_no_choice_is_refused():
    with pytest.raises(InvalidAnswerError):
        parsed("perhaps", {"enum": ["yes", "no"]})
