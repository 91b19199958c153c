"""Prompt templates: where they come from, what they may do, and what is found before anything runs."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from partsong.contracts import Failure, FailureCode
from partsong.prompts import PROMPT_LIMIT_CHARS, PromptTemplate

FILES = {"reason.j2": "Think: {{ task }}", "broken.j2": "one\ntwo {% if %}"}


def read_prompt(name):
    if name == "latin.txt":
        return b"\xff".decode()
    try:
        return FILES[name]
    except KeyError:
        raise FileNotFoundError(2, "No such file or directory", name) from None


def template(value, **context):
    return PromptTemplate.model_validate(value, context=context)


def refusal(value, **context):
    with pytest.raises(ValidationError) as caught:
        template(value, **context)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


def test_a_name_with_a_templates_ending_is_a_file():
    prompt = template("reason.j2", read_prompt=read_prompt)
    assert (prompt.render(task="Why?"), prompt.file) == ("Think: Why?", "reason.j2")


@pytest.mark.parametrize("text", ["Say {{ task }}", "Answer this", "Read\nnotes.txt", "See {{ file }}.md"])
def test_any_other_text_is_the_template(text):
    assert template(text).text == text


def test_text_under_its_own_key_is_never_a_file():
    assert template({"text": "notes.txt"}).render() == "notes.txt"


def test_it_survives_dump_and_validation_without_the_file():
    prompt = template("reason.j2", read_prompt=read_prompt)
    assert PromptTemplate.model_validate_json(prompt.model_dump_json()) == prompt
    assert pickle.loads(pickle.dumps(prompt)).render(task="x") == "Think: x"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("missing.j2", "missing.j2: cannot be read: No such file or directory"),
        ("latin.txt", "latin.txt: is not UTF-8 text"),
        ("broken.j2", "broken.j2 line 2: Expected an expression"),
        ("{{ task", "template line 1: "),
    ],
)
def test_what_cannot_be_read_or_compiled_is_found_at_once(value, words):
    assert refusal(value, read_prompt=read_prompt).startswith(words)


def test_a_file_is_read_only_while_a_mesh_file_is_loaded():
    assert "only while a mesh file is loaded" in refusal("reason.j2")


def test_a_missing_value_is_a_failure_that_names_it():
    failure = template("{{ metadata.topic }}").render(metadata={})
    assert failure.code is FailureCode.BAD_ROW
    assert "topic" in failure.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ task.__init__.__globals__ }}",
        "{{ items.append(4) }}",
        "{{ range(10 ** 9) | list }}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ [1] * 10 ** 9 }}",
    ],
)
def test_the_sandbox_lets_nothing_out_and_nothing_grow(text):
    assert isinstance(template(text).render(task="x", items=[1]), Failure)


def test_a_prompt_past_the_limit_is_a_failure():
    failure = template("{% for _ in range(9999) %}{{ task }}{% endfor %}").render(task="x" * (PROMPT_LIMIT_CHARS // 1000))
    assert failure.code is FailureCode.TOO_LARGE


def test_values_are_never_taken_for_templates():
    assert template("{{ task }}").render(task="{{ secret }}") == "{{ secret }}"


@given(st.text())
def test_a_value_comes_out_as_it_went_in(task):
    assert template("{{ task }}").render(task=task) == task


@given(st.text())
def test_any_text_is_a_template_or_is_refused(text):
    try:
        prompt = TypeAdapter(PromptTemplate).validate_python(text)
    except ValidationError:
        return
    assert isinstance(prompt.render(task="x"), str | Failure)
