"""Numeric rules: mean, median, trimmed mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partsong.contracts import Answer, Candidate, Failure
from partsong.merging.numeric import Mean, Median, TrimmedMean
from partsong.merging.rule import MergeRule

RULES: list[MergeRule] = [Mean(), Median(), TrimmedMean()]


def said(*texts: str) -> list[Candidate]:
    return [Candidate(source=f"m{n}", text=text) for n, text in enumerate(texts)]


def value(rule: MergeRule, *texts: str) -> object:
    reply = rule.combine(said(*texts), ())
    assert isinstance(reply, Answer), reply
    return reply.value


def test_the_mean_median_and_trimmed_mean_of_numbers_in_texts():
    texts = ("about 10", "20 %", "$30", "40.0", "1,000")
    assert value(Mean(), *texts) == 220
    assert value(Median(), *texts) == 30
    assert value(TrimmedMean(trim=0.2), *texts) == 30


def test_a_candidate_without_a_number_abstains():
    assert value(Mean(), "1", "many", "2") == 1.5


def test_no_number_at_all_is_a_failure():
    assert isinstance(Mean().combine(said("many", "few"), ()), Failure)


def test_places_round_the_result():
    reply = Mean(places=2).combine(said("1", "1", "2"), ())
    assert isinstance(reply, Answer)
    assert (reply.text, reply.value) == ("1.33", 1.33)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
@given(numbers=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=7), random=st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_result_lies_between(rule, numbers, random):
    texts = list(map(repr, numbers))
    shuffled = list(texts)
    random.shuffle(shuffled)
    result = value(rule, *texts)
    assert result == value(rule, *shuffled)
    assert isinstance(result, int | float)
    assert min(numbers) - 1e-2 <= result <= max(numbers) + 1e-2


SMALL = st.lists(st.integers(0, 3), max_size=4)


@settings(max_examples=100, deadline=None)
@given(SMALL, st.integers(1, 3))
def test_a_median_is_decided_exactly_when_nothing_missing_can_change_it(numbers, missing):
    texts = list(map(str, numbers))
    outcomes = {
        reply.value if isinstance(reply, Answer) else None
        for low in range(missing + 1)
        for high in range(missing + 1 - low)
        for reply in [Median().combine(said(*texts, *["-1e9"] * low, *["1e9"] * high), ())]
    }
    assert Median().decided(said(*texts), [1.0] * missing) == (len(outcomes) == 1 and None not in outcomes)


def test_a_mean_waits_for_all():
    assert not Mean().decided(said("1", "1"), [1.0])
    assert Mean().decided(said("1", "1"), [])
