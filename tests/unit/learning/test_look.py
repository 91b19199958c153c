"""What an answer's own form tells of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.learning.look import FORMS, PLAIN, Look, form_of


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("12", {"number"}),
        ("1,200.0", {"number"}),
        ("33.33", {"number", "broken_number"}),
        ("-4", {"number", "negative"}),
        ("[1, 2]", {"brackets"}),
        ("nan", set()),
        ("yes", set()),
        ("", set()),
    ],
)
def test_a_form_says_what_sort_of_answer_it_is(answer: str, said: set[str]):
    told = dict(zip(FORMS, form_of(answer), strict=True))
    assert {name for name, figure in told.items() if figure and name != "log_length"} == said


@given(st.text())
def test_any_answer_has_a_form_and_none_is_worth_anything_where_nothing_was_learned(answer: str):
    assert len(form_of(answer)) == len(FORMS)
    assert PLAIN.of(answer) == 0.0


def test_the_usual_form_is_worth_nothing_and_others_as_was_learned():
    look = Look(form_of("12"), tuple(-2.0 if name == "broken_number" else 0.0 for name in FORMS))
    assert (look.of("12"), look.of("13"), look.of("1.5")) == (0.0, 0.0, -2.0)
