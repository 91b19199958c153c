"""Replies: what a provider server says when nobody tells it what to say."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.replies import Asked, Reply, ToolUse, fitting, from_table, value_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 18},
        "mood": {"enum": ["glad", "sad"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "home": {"$ref": "#/$defs/place"},
        "nick": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    },
    "required": ["name", "age", "mood", "tags", "home", "nick"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asked(prompt: str, **fields) -> Asked:
    return Asked(prompt, "m", {}, **fields)


def test_the_prompt_comes_back():
    assert fitting(asked("hello")) == "hello"


@given(st.text())
def test_a_schema_is_obeyed_whatever_the_prompt(prompt):
    jsonschema.validate(json.loads(fitting(asked(prompt, schema=PERSON))), PERSON)


def test_a_value_comes_from_the_prompt_where_it_can():
    assert value_of({"enum": ["glad", "sad"]}, "I am sad") == "sad"
    assert value_of({"type": "integer"}, "I am 42 years old") == 42
    assert value_of({"type": "STRING"}, "as Google writes it") == "as Google writes it"


def test_a_tool_is_called_when_the_prompt_says_so():
    assert fitting(asked("please call weather", tools={"weather": WEATHER})) == Reply(
        tool_calls=(ToolUse("weather", {"city": "please call weather"}),)
    )
    assert fitting(asked("hello", tools={"weather": WEATHER})) == "hello"


def test_a_tool_that_must_be_called_is_called():
    assert fitting(asked("hello", tools={"weather": WEATHER}, must_call="weather")).tool_calls[0].arguments == {"city": "hello"}


def test_a_table_says_what_its_prompts_get(tmp_path):
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"2+2?": "4", "hm?": {"text": "perhaps", "logprob": -2.5}}))
    reply = from_table(table)
    assert [reply(asked(prompt)) for prompt in ("2+2?", "hm?", "hello")] == ["4", Reply("perhaps", logprob=-2.5), "hello"]


@pytest.mark.parametrize("text", ["", "one", "two words", "  spaces  around ", "line\nbreak", "世界 ü"])
def test_the_tokens_of_a_reply_are_its_text(text):
    assert "".join(Reply(text).tokens) == text
