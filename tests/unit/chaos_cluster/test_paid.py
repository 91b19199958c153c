"""Paid again: an ask is excused only by a fault that can have taken the earlier one along, and never once the journal holds the call."""

import pytest
from chaos_cluster.paid import Paid, Reach, paid_again
from providers.provider import Arrival

FAULT = Reach(from_s=10.0, until_s=20.0, at_most=2)


def asks(*at_s, what="small: a"):
    return [Arrival(at, what.partition(":")[0], what, 1) for at in at_s]


def test_a_call_that_is_asked_once_is_paid_once():
    assert paid_again(asks(5.0), {"small: a": 6.0}, FAULT) == []


def test_a_call_that_the_journal_held_is_paid_again_whatever_struck():
    [paid] = paid_again(asks(12.0, 14.0), {"small: a": 13.0}, FAULT)
    assert paid == Paid("small: a", 14.0, 12.0, 13.0)
    assert paid.told(10.0) == "'small: a' came +4.00 s, asked before +2.00 s, held +3.00 s"


@pytest.mark.parametrize("at_s", [(9.0, 11.0), (12.0, 14.0), (19.0, 40.0)])
def test_a_call_that_was_under_way_at_the_fault_may_be_asked_again(at_s):
    assert paid_again(asks(*at_s), {"small: a": at_s[-1] + 1}, FAULT) == []


@pytest.mark.parametrize("at_s", [(5.0, 9.0), (21.0, 23.0)])
def test_a_call_that_the_fault_cannot_have_taken_along_may_not(at_s):
    assert len(paid_again(asks(*at_s), {"small: a": at_s[-1] + 1}, FAULT)) == 1


def test_a_fault_that_takes_no_call_along_excuses_none():
    assert len(paid_again(asks(12.0, 14.0), {"small: a": 15.0}, None)) == 1


def test_no_more_calls_are_excused_than_can_have_been_under_way():
    again = [ask for letter in "abc" for ask in asks(12.0, 14.0, what=f"small: {letter}")]
    assert len(paid_again(sorted(again, key=lambda ask: ask.at_s), {}, FAULT)) == 1


def test_a_call_that_the_journal_never_held_is_excused_by_the_fault_alone():
    assert paid_again(asks(12.0, 14.0, 31.0), {}, FAULT) == []
    assert len(paid_again(asks(1.0, 2.0), {}, FAULT)) == 1
