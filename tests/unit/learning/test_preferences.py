from math import log

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partsong.learning.preferences import Pair, length_bias, verdicts


def test_a_judge_that_looks_at_length_alone_is_found_out():
    pairs = [Pair("a", "b", 1.0 if n % 2 else 0.0, log(3) if n % 2 else -log(3)) for n in range(100)]
    assert length_bias(pairs) > 1.0


def test_a_judge_that_does_not_care_has_no_bias():
    dice = np.random.default_rng(0)
    pairs = [Pair("a", "b", float(dice.random() < 0.5), float(dice.normal())) for _ in range(500)]
    assert length_bias(pairs) < 0.2
    assert length_bias([Pair("a", "b", 1.0, -1.0)] * 50) == 0.0
    assert length_bias([]) == 0.0


def test_the_answer_that_wins_in_both_orders_is_right():
    assert verdicts([Pair("a", "b", 1.0, 0.0)], 0.0) == {"a": True, "b": False}
    assert verdicts([Pair("a", "b", 0.0, 0.0)], 0.0) == {"b": True, "a": False}


def test_a_verdict_that_changes_with_the_order_says_nothing():
    assert verdicts([Pair("a", "b", 0.5, 0.0)], 0.0) == {}


def test_what_length_alone_explains_says_nothing_and_a_win_against_length_stands():
    assert verdicts([Pair("a", "b", 1.0, 2.0)], 1.5) == {}
    assert verdicts([Pair("a", "b", 1.0, -2.0)], 1.5) == {"a": True, "b": False}


def test_of_three_the_right_one_beats_both_others():
    pairs = [Pair("a", "b", 1.0, 0.0), Pair("a", "c", 1.0, 0.0), Pair("b", "c", 0.5, 0.0)]
    assert verdicts(pairs, 0.0) == {"a": True, "b": False, "c": False}
    ring = [Pair("a", "b", 1.0, 0.0), Pair("b", "c", 1.0, 0.0), Pair("c", "a", 1.0, 0.0)]
    assert verdicts(ring, 0.0) == {}


@given(st.lists(st.builds(Pair, st.just("a"), st.just("b"), st.floats(0, 1), st.floats(-10, 10)), max_size=30))
def test_the_bias_is_a_number_whatever_the_pairs(pairs: list[Pair]):
    assert 0.0 <= length_bias(pairs) < 1e3
