"""What people changed of answers: of how many, and how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.evaluation.edits import edit_size, edits_of


@pytest.mark.parametrize(
    ("answer", "edited", "size"),
    [
        ("the same words", "the  same\nwords", 0.0),
        ("one two three four", "one two three five", 0.25),
        ("all of it", "nothing was kept", 1.0),
        ("half stays", "half stays and as much again here", 0.5556),
        ("", "", 0.0),
        ("gone", "", 1.0),
        ("yes no " * 150, "So " + "yes no " * 150, 0.0017),
    ],
)
def test_the_size_of_an_edit_is_the_share_of_words_that_are_not_in_common(answer: str, edited: str, size: float):
    assert edit_size(answer, edited) == pytest.approx(size, abs=1e-3)


@given(st.text(), st.text())
def test_a_size_is_a_share(answer: str, edited: str):
    assert 0.0 <= edit_size(answer, edited) <= 1.0


def test_edits_are_told_of_all_answers_and_their_size_of_those_that_were_changed():
    found = edits_of([0.0, 0.2, 0.4], 10)
    assert (found.edited.value, found.edited.n) == (0.2, 10)
    assert (found.size.value, found.size.n) == (pytest.approx(0.3), 2)
    assert found.size.low < 0.3 < found.size.high


def test_answers_that_nobody_looked_at_tell_nothing():
    assert edits_of([], 10) is None
    assert edits_of([0.0], 10).size is None
