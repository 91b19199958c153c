"""Grading: whether an answer is right."""

import pytest
from pydantic import TypeAdapter, ValidationError

from partsong.contracts import Answer, Failure, FailureCode
from partsong.evaluation.grading import Grader, GraderField, graded

GRADER: TypeAdapter[Grader] = TypeAdapter(GraderField)


@pytest.mark.parametrize(
    ("grader", "text", "reference", "right"),
    [
        ("exact", "Paris", "Paris", True),
        ("exact", "paris", "Paris", False),
        ("label", "paris.", "Paris", True),
        ({"label": ["positive", "negative"]}, "Clearly positive!", "positive", True),
        ("number", "It is $1,200.", 1200, True),
        ("number", "It is 1201.", "1,200", False),
        ("letter", "The answer is (B).", "B", True),
        ("letter", "B", ["A", "B"], True),
        ("json", '{"a": 1, "b": [2]}', {"b": [2], "a": 1.0}, True),
        ("json", '{"a": 1}', '{"a": 1}', True),
        ("json", "[1, 2]", [1, 2], True),
        ("json", "1", [1, 2], False),
        ({"text": 0.5}, "the cat sat", "the cat sits", True),
        ("contains", "It is Paris, of course", "paris", True),
        ("contains", "It is Rome", ["Paris", "Rome"], True),
        ({"contains": {"any_case": False}}, "PARIS", "Paris", False),
        ("regex", "abc123", r"\d+$", True),
        ("regex", "abc", "(", False),
        ({"regex": r"total: (\d+)"}, "total: 12", 12, True),
        ({"regex": r"total: (\d+)"}, "total: 12", "13", False),
    ],
)
def test_answers_are_graded_by_kind(grader, text, reference, right):
    assert graded(GRADER.validate_python(grader), Answer(text=text), reference) is right


def test_a_failure_is_wrong():
    assert not graded(GRADER.validate_python("contains"), Failure(code=FailureCode.TIMEOUT, message="late"), "")


def test_an_unknown_grader_is_refused_with_the_nearest_name():
    with pytest.raises(ValidationError, match="number"):
        GRADER.validate_python("numbr")
