"""A prompt alone is read by a shorter way than many together; what comes of it is the same."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.learning.made import made

from partsong.learning.forest import grow
from partsong.learning.gate import Gate, fit_gate
from partsong.learning.surface import NAMES, surface
from partsong.packing import pack

COUNTED = {name: place for place, name in enumerate(NAMES)}


@cache
def gate() -> Gate:
    return fit_gate(made(120))[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["question", "easy", "hard and long", "number 7", "unheard", "NOT", "\n", "É", ""]), max_size=12))
def test_a_prompt_is_read_alone_as_it_is_among_others(words: list[str]):
    prompt = " ".join(words)
    together = gate().p_right([prompt, "question number 3 is easy"])
    assert gate().p_right([prompt])[0] == pytest.approx(together[0], abs=1e-9)


def test_of_a_book_both_ends_are_read():
    start, end = "question number 3 is hard. " * 100, " is it easy? " * 100
    one, other = (gate().p_right([start + middle * 50_000 + end]) for middle in ("easy ", "long "))
    assert one == pytest.approx(other)
    assert one != pytest.approx(gate().p_right([end + start]))


def test_a_calibration_is_each_models_own():
    read = np.clip(gate().reader.predict(["question number 3 is easy"]), 0.01, 0.99)
    own = [line(read[:, m])[0] for m, line in enumerate(gate().calibration)]
    assert gate().p_right(["question number 3 is easy"])[0] == pytest.approx(own)


def test_the_forest_says_what_the_library_that_grew_it_says():
    from sklearn.ensemble import ExtraTreesRegressor

    dice = np.random.default_rng(0)
    rows, targets = dice.normal(size=(200, 6)).astype(np.float32).astype(np.float64), dice.random((200, 3))
    theirs = ExtraTreesRegressor(7, min_samples_leaf=3, max_features=0.3, bootstrap=True, random_state=1).fit(rows, targets)
    ours = grow(rows, targets, trees=7, least=3, seed=1).forest
    assert ours.predict(rows) == pytest.approx(theirs.predict(rows))
    assert ours.predict(rows[:1]) == pytest.approx(theirs.predict(rows[:1]))


def test_whole_words_are_counted_where_their_first_letters_are_looked_for():
    found = surface("NOT KNOT ALL ALLOY MOST_ (ONLY) EXCEPT LEAST: 1999 2012 1300 2112 x2012 20123")
    assert found[COUNTED["shouted"]] == 5.0
    assert found[COUNTED["years"]] == 2.0
    assert surface("ÀB cD")[COUNTED["capitals"]] == pytest.approx(3 / 5)


def test_the_same_outcomes_teach_the_same_to_the_last_byte():
    assert pack(fit_gate(made(60))[0]) == pack(fit_gate(made(60))[0])
