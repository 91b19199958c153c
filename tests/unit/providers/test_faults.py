"""Faults: which calls a rule hits."""

from math import inf

import pytest
from providers.faults import FAULTS, Fault, Faults


def hits(*faults: Fault, prompts: list[str]) -> list[str]:
    """The kind of fault that each call meets; empty for none."""
    rules = Faults()
    for fault in faults:
        rules.add(fault)
    return [fault.kind if (fault := rules.next(prompt)) is not None else "" for prompt in prompts]


def test_a_fault_hits_the_next_call_alone():
    assert hits(Fault("reset"), prompts=["a", "b", "c"]) == ["reset", "", ""]


def test_a_fault_hits_as_many_calls_as_it_is_told():
    assert hits(Fault("reset", times=2), prompts=["a", "b", "c"]) == ["reset", "reset", ""]


def test_a_fault_hits_the_nth_call():
    assert hits(Fault("cut", skip=2), prompts=["a", "b", "c", "d"]) == ["", "", "cut", ""]


def test_a_key_that_expires_is_a_status_from_some_call_on():
    assert hits(Fault("status", status=401, skip=1, times=inf), prompts=["a", "b", "c"]) == ["", "status", "status"]


def test_a_fault_hits_the_prompts_that_hold_its_words():
    assert hits(Fault("empty", match="bad", times=inf), prompts=["a bad one", "a good one", "too bad"]) == ["empty", "", "empty"]


def test_the_first_calls_of_each_prompt_are_counted_apart():
    assert hits(Fault("slow", of_each_prompt=True), prompts=["a", "b", "a", "b"]) == ["slow", "slow", "", ""]


def test_a_share_of_the_calls_is_hit_the_same_ones_each_time():
    fault = Fault("reset", times=inf, share=0.3, seed=7)
    first, second = (hits(fault, prompts=["x"] * 1000) for _ in range(2))
    assert first == second
    assert 250 < first.count("reset") < 350


def test_the_first_rule_that_hits_decides():
    assert hits(Fault("cut", match="b"), Fault("reset", times=inf), prompts=["a", "b", "b"]) == ["reset", "cut", "reset"]


@pytest.mark.parametrize("fields", [{"kind": "typo"}, {"kind": "status"}, {"kind": "status", "status": 200}, {"kind": "cut", "often": 3}])
def test_a_rule_that_makes_no_sense_is_refused(fields):
    with pytest.raises((TypeError, ValueError)):
        Fault.of(fields)


def test_each_kind_of_fault_has_one_name():
    assert len(FAULTS) == len(set(FAULTS))
