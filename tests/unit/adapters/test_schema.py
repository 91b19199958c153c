"""Schemas on their way to a provider: what each structured output mode can say, and what is left to words."""

import json

import pytest
from contract_strategies import JSON
from hypothesis import given
from hypothesis import strategies as st

from partsong.adapters.schema import as_object, closed, in_words, is_strict
from partsong.contracts import Task


def an_object(required=("a",), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT = {"type": "string"}
STRICT = [an_object(a=TEXT), an_object(a=an_object(b=TEXT, required="b")), an_object(a={"type": "array", "items": an_object(a=TEXT)}), TEXT]
LOOSE = [
    {"type": "object"},
    {"type": "object", "properties": {"a": TEXT}},
    an_object((), a=TEXT),
    an_object(a={"type": "array", "items": {"type": "object"}}),
    an_object(a={"anyOf": [TEXT, {"type": "object"}]}),
    an_object(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": {"type": "object"}}},
]


@pytest.mark.parametrize("schema", STRICT)
def test_a_schema_is_strict_when_all_its_objects_are_closed_and_want_everything(schema):
    assert is_strict(schema)


@pytest.mark.parametrize("schema", LOOSE)
def test_a_schema_that_leaves_something_open_is_not_strict(schema):
    assert not is_strict(schema)


def test_an_object_stays_as_it_is():
    assert as_object(an_object(a=TEXT)) == (an_object(a=TEXT), None)


def test_anything_else_becomes_the_one_property_of_an_object_and_keeps_its_definitions():
    schema, name = as_object({"$schema": "x", "type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": TEXT}})
    assert name == "answer"
    assert schema == an_object(["answer"], answer={"type": "array", "items": {"$ref": "#/$defs/A"}}) | {"$defs": {"A": TEXT}}


def test_closing_shuts_objects_at_every_depth():
    inner = {"type": "object", "properties": {"b": TEXT}}
    shut = {"type": "object", "properties": {"b": TEXT}, "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {"a": inner, "c": {"anyOf": [inner, TEXT]}},
        "$defs": {"D": {"type": "array", "items": inner}},
    }
    assert closed(schema) == {
        "type": "object",
        "properties": {"a": shut, "c": {"anyOf": [shut, TEXT]}},
        "$defs": {"D": {"type": "array", "items": shut}},
        "additionalProperties": False,
    }


def test_closing_puts_bounds_into_words():
    assert closed({"type": "string", "maxLength": 5, "minLength": 1, "description": "A word.", "examples": ["x"]}) == {
        "type": "string",
        "description": 'A word. {"maxLength": 5, "minLength": 1}',
    }


def test_a_property_named_like_a_keyword_is_a_property():
    schema = {"type": "object", "properties": {"minimum": TEXT, "not": TEXT}, "additionalProperties": False}
    assert closed(schema) == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": TEXT},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "items": True},
        {"anyOf": [TEXT, {"type": "object"}]},
        {"not": TEXT},
        {"type": "array", "prefixItems": [TEXT]},
    ],
)
def test_what_cannot_be_closed_says_so(schema):
    assert closed(schema) is None


def test_words_stand_before_the_task():
    schema = an_object(a=TEXT)
    told, asked = in_words(Task.of("Why?").model_copy(update={"answer_schema": schema}))
    assert told.role == "system"
    assert json.dumps(schema) in told.text
    assert asked.text == "Why?"


KEYWORDS = st.sampled_from(
    ["type", "properties", "required", "items", "anyOf", "additionalProperties", "$defs", "enum", "minimum", "description"]
)


@given(st.dictionaries(KEYWORDS, JSON | st.dictionaries(KEYWORDS, JSON, max_size=3) | st.just("object"), max_size=5))
def test_no_schema_whatever_raises(schema):
    is_strict(schema)
    as_object(schema)
    closed(schema)
