"""A fingerprint differs when what answers differs, and only then."""

import pytest

from partsong.contracts import Constraints, Message, ModelSpec, Sampling, Task, TextPart
from partsong.work.asked import Fingerprint

ASKED = Task.of("Hello", id="1")
SPEC = ModelSpec(adapter="scripted", model="m-1")


class SeesRow(ModelSpec):
    sees_row = True


def of(task=ASKED, **fields):
    return Fingerprint(SPEC.model_copy(update=fields)).of(task)


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": (Message(role="user", parts=(TextPart(text="Hello!"),)),)},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(sample=1)},
        {"answer_schema": {"type": "object"}},
    ],
)
def test_what_is_asked_otherwise_is_another_call(changed):
    assert of(ASKED.model_copy(update=changed)) != of()


@pytest.mark.parametrize("changed", [{"id": "2"}, {"metadata": {"k": 1}}, {"use": "mini"}, {"constraints": Constraints(deadline_s=1)}])
def test_what_a_model_does_not_see_changes_nothing(changed):
    assert of(ASKED.model_copy(update=changed)) == of()


@pytest.mark.parametrize("changed", [{"id": "2"}, {"metadata": {"k": 1}}])
def test_a_model_that_sees_the_row_is_asked_anew_for_another_row(changed):
    prints = Fingerprint(SeesRow(adapter="scripted"))
    assert prints.of(ASKED.model_copy(update=changed)) != prints.of(ASKED)


def test_another_model_is_another_call():
    assert of(model="m-2") != of()


@pytest.mark.parametrize("changed", [{"concurrency": 1}, {"retries": 0}, {"timeout": 1.0}, {"fallbacks": ("b",)}])
def test_how_a_model_is_run_changes_nothing(changed):
    assert of(**changed) == of()


def test_it_has_sixteen_bytes_and_takes_text_that_is_no_unicode():
    assert len(of(Task.of("lone \ud800"))) == 16


def test_two_models_that_answer_by_their_names_are_two():
    recorded = SeesRow(adapter="scripted")
    assert Fingerprint(recorded, "mini").of(ASKED) != Fingerprint(recorded, "large").of(ASKED)
    assert Fingerprint(SPEC, "mini").of(ASKED) == Fingerprint(SPEC, "large").of(ASKED)
