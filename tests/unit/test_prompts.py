"""Prompt templates: where they come from, what they may do, and what is found before anything runs."""

import pickle
import time

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


def rendered(text, **values):
    try:
        return template(text).render(**values)
    except ValidationError as error:
        return error


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
        "{{ task['__class__'] }}",
        "{{ task | attr('__class__') }}",
        "{{ (task | string).__getitem__.__self__.__class__ }}",
        "{{ '{0.__class__}'.format(task) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ 'a' | indent(10 ** 9, first=true) }}",
        "{{ 'a'.replace('', 'a' * 999999).replace('', 'a' * 999999) }}",
        "{{ ('a' * 999999) | replace('a', 'a' * 999999) }}",
        "{{ (['a' * 9999] * 9999) | join }}",
        "{{ range.__init__ }}{{ self.__init__ }}{{ self._TemplateReference__context }}",
        "{{ namespace.__class__ }}{{ dict.mro() }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{% set ns = namespace(x='aa') %}{% for _ in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x='aa') %}{% for _ in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}",
        "{% set ns = namespace(x=[1]) %}{% for _ in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for _ in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | string | length }}",
        "{% set ns = namespace(x=9) %}{% for _ in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}",
        "{% set big = 'ab' * 400000 %}{% for _ in range(90000) %}{% if big[1:] == big[:-1] %}x{% endif %}{% endfor %}",
        "{% set big = 'ab' * 400000 %}{% for _ in range(90000) %}{% if 'ba' * 9 in big %}{% endif %}{% endfor %}",
        "{% set big = 'ab' * 400000 %}{% for _ in range(90000) %}{% set x = big | upper %}{% endfor %}",
    ],
)
def test_the_sandbox_lets_nothing_out_and_nothing_grow(text):
    began_s = time.process_time()
    assert isinstance(rendered(text, task="x", items=[1]), Failure | ValidationError)
    assert time.process_time() - began_s < 5.0


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' | center(1000000000) }}",
        "{{ lipsum(n=100000) }}",
        "{{ 'a' | pprint }}",
        "{% include 'workers.py' %}",
        "{% import '/etc/passwd' as x %}",
        "{% extends 'x' %}",
        "{% for x in items recursive %}{{ loop([x]) }}{{ loop([x]) }}{% endfor %}",
        "{{ _weighed(1) }}",
    ],
)
def test_what_a_prompt_has_no_use_for_is_refused_when_the_file_is_checked(text):
    assert isinstance(rendered(text, items=[1], x=1), ValidationError | Failure)


def test_ordinary_templates_stay_what_they_were():
    text = (
        "{% for one in answers %}{{ loop.index }}. {{ one.text | trim | upper }}{% if not loop.last %}, {% endif %}{% endfor %}"
        " {{ names | join(' & ') }} {{ task.strip().replace is defined }} {{ 'a' ~ 1 ~ none }} {{ metadata.get('x', 3) + 4 }}"
        " {{ 'yes' if 'b' in task else 'no' }} {{ notes | default('-') }} {{ {'k': [1, 2]} | tojson }} {{ 'a-b' | replace('-', '+') }}"
        " {{ 'x\ny' | indent(2) }} {{ task[1:3] }} {% set n = namespace(sum=0) %}"
        "{% for i in range(3) %}{% set n.sum = n.sum + i %}{% endfor %}{{ n.sum }}"
    )
    values = {"answers": [{"text": " a "}, {"text": "b"}], "names": ["x", "y"], "task": " abc ", "metadata": {}, "notes": "n"}
    assert rendered(text, **values) == ('1. A, 2. B x & y True a1None 7 yes n {"k": [1, 2]} a+b x\n  y ab 3')


def test_a_long_task_and_many_answers_are_no_harm():
    answers = [{"text": "word " * 1000} for _ in range(100)]
    text = "{{ task | trim }}{% for one in answers %}{% if one.text | length > 3 %}{{ one.text }}{% endif %}{% endfor %}"
    assert len(rendered(text, task="x" * 400_000, answers=answers)) == 900_000


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
