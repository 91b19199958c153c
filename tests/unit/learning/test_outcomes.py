from dataclasses import replace

import numpy as np
import pytest
from unit.learning.made import made

from partsong.errors import InputError
from partsong.learning.folds import folds
from partsong.learning.outcomes import sound


def test_sound_outcomes_raise_no_doubt():
    assert sound(made(200)) == []


def test_three_rows_are_refused_with_how_many_are_needed():
    with pytest.raises(InputError, match="too few") as caught:
        sound(made(3))
    assert caught.value.code == "too-few-outcomes"
    assert "30" in str(caught.value)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_class_only_are_refused(label: float):
    table = made(100)
    with pytest.raises(InputError) as caught:
        sound(replace(table, right=np.full_like(table.right, label)))
    assert caught.value.code == "one-class"


def test_a_model_without_a_single_label_is_refused_by_name():
    table = made(100)
    right = table.right.copy()
    right[:, 2] = np.nan
    with pytest.raises(InputError, match="m2"):
        sound(replace(table, right=right))


def test_a_model_that_misses_half_its_outcomes_is_named():
    table = made(100)
    right = table.right.copy()
    right[::2, 1] = np.nan
    assert any(note.startswith("m1: 50 %") for note in sound(replace(table, right=right)))


def test_an_answer_labelled_both_right_and_wrong_is_counted():
    table = made(100)
    answers = (("same", "same", "x", "y"), *table.answers[1:])
    right = table.right.copy()
    right[0] = [1.0, 0.0, 0.0, 0.0]
    assert any(
        "1 rows where one and the same answer" in note and "counts as wrong" in note
        for note in sound(replace(table, answers=answers, right=right))
    )


def test_repeated_questions_are_counted_and_fall_into_one_fold():
    table = made(100)
    prompts = (table.prompts[1].upper() + "!", *table.prompts[1:])
    assert any(note.startswith("1 questions are repeated") for note in sound(replace(table, prompts=prompts)))
    assert folds(prompts, 5)[0] == folds(prompts, 5)[1]


def test_a_price_that_is_not_known_keeps_a_model_from_being_asked():
    table = made(50)
    cost = table.cost_usd.copy()
    cost[:, 0] = np.nan
    assert replace(table, cost_usd=cost).priced == (1, 2, 3)
