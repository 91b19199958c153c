"""Whom to ask next, and when it is enough."""

from dataclasses import replace
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.learning.inquiry import Heard, Inquiry, Voice
from partsong.learning.look import FORMS, Look, form_of

OPTIONS = 10


def voice(model: str, right: float, cost_usd: float) -> Voice:
    return Voice(model, max(0.0, log((OPTIONS - 1) * right / (1 - right))), right, cost_usd)


MINI, MID, LARGE = voice("mini", 0.8, 0.0002), voice("mid", 0.85, 0.001), voice("large", 0.95, 0.005)


def inquiry(*voices: Voice, enough: float = 0.99, value_usd: float | None = None, in_order: bool = False) -> Inquiry:
    return Inquiry(voices or (LARGE, MID, MINI), log(OPTIONS - 1), enough, value_usd, in_order)


def heard(**answers: str | None) -> list[Heard]:
    return [Heard(model, answer) for model, answer in answers.items()]


def test_who_promises_most_per_dollar_is_asked_first():
    standing = inquiry().standing([])
    assert (standing.ask, standing.best, standing.sure) == (MINI, None, 0.0)


def test_one_answer_is_as_likely_right_as_its_model():
    assert inquiry().standing(heard(mini="x")).chances == pytest.approx({"x": 0.8})


def test_answers_that_agree_are_surer_than_each_and_end_it():
    standing = inquiry().standing(heard(mini="x", mid="x"))
    assert standing.sure > 0.99
    assert standing.ask is None
    assert standing.why == "sure enough: 0.995 >= 0.99"


def test_answers_that_differ_share_what_is_likely_and_another_is_asked():
    standing = inquiry().standing(heard(mini="x", mid="y"))
    assert standing.best == "y"
    assert sum(standing.chances.values()) < 1.0
    assert standing.ask == LARGE


def test_it_ends_when_no_answer_to_come_could_change_it():
    standing = inquiry(LARGE, voice("weak", 0.5, 0.001), enough=0.9999).standing(heard(large="x"))
    assert (standing.ask, standing.why) == (None, "no answer to come could change it")


def test_an_answer_that_looks_wrong_is_less_sure_and_does_not_end_it():
    look = Look(form_of("12"), tuple(-8.0 if name == "broken_number" else 0.0 for name in FORMS))
    usual, broken = (replace(inquiry(LARGE, MINI, enough=0.9), look=look).standing(heard(large=said)) for said in ("12", "1.5"))
    assert (usual.ask, usual.sure) == (None, pytest.approx(0.95))
    assert (broken.ask, broken.sure) == (MINI, pytest.approx(0.006, abs=0.001))


def test_a_model_that_failed_is_passed_over():
    standing = inquiry().standing(heard(mini=None))
    assert standing.ask == MID
    assert standing.chances == {}


def test_it_ends_when_all_were_asked_though_nobody_answered():
    standing = inquiry().standing(heard(mini=None, mid=None, large=None))
    assert (standing.ask, standing.why, standing.best) == (None, "all asked", None)


@pytest.mark.parametrize(("value_usd", "asked"), [(0.001, None), (0.1, MID), (10.0, MID)])
def test_the_price_stops_it_where_a_right_answer_is_worth_less(value_usd: float, asked: Voice | None):
    standing = inquiry(value_usd=value_usd).standing(heard(mini="x"))
    assert standing.ask == asked
    assert asked is not None or standing.why.startswith("no answer to come is worth its price")


def test_two_that_are_worth_nothing_alone_are_asked_for_what_they_bring_together():
    equals = [voice(name, 0.8, 0.001) for name in "abc"]
    assert inquiry(*equals, value_usd=1.0).standing(heard(a="x")).ask is not None


def test_without_an_answer_somebody_is_asked_whatever_the_price():
    assert inquiry(value_usd=1e-9).standing([]).ask is not None
    assert inquiry(value_usd=1e-9).standing(heard(mini=None)).ask is not None


def test_a_learned_order_is_kept():
    assert inquiry(LARGE, MINI, in_order=True).standing([]).ask == LARGE
    assert inquiry(LARGE, MINI, in_order=True, value_usd=1.0).standing([]).ask == LARGE


VOICES = st.lists(
    st.builds(voice, st.uuids().map(str), st.floats(0.02, 0.99), st.floats(0.0, 0.1)), min_size=1, max_size=5, unique_by=lambda v: v.model
)


@given(VOICES, st.lists(st.sampled_from(["a", "b", "c", None]), min_size=5, max_size=5), st.sampled_from([None, 0.001, 0.1]), st.booleans())
def test_it_always_ends_asks_nobody_twice_and_its_chances_are_chances(voices, answers, value_usd, in_order):
    asked: list[Heard] = []
    one = inquiry(*voices, value_usd=value_usd, in_order=in_order)
    while (standing := one.standing(asked)).ask is not None:
        asked.append(Heard(standing.ask.model, answers[len(asked)]))
        assert len(asked) <= len(voices)
    assert len({h.model for h in asked}) == len(asked)
    assert 0.0 <= sum(standing.chances.values()) <= 1.0 + 1e-9
    assert standing.best in {None, *(h.answer for h in asked)}
    assert standing.why
