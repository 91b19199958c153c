"""Permits: exact over any number of callers."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from partsong.pool.permits import Grant, KeepIdle, Permits, Recall


def test_a_caller_gets_what_is_free_and_the_rest_when_it_comes_back():
    permits = Permits(3)
    assert permits.want("a", 2) == [Grant("a", 2)]
    assert permits.want("b", 2)[0] == Grant("b", 1)
    assert Grant("b", 1) in permits.give_back("a", 1)


def test_a_caller_above_its_fair_share_is_asked_to_give_back_what_the_other_lacks():
    permits = Permits(8)
    permits.want("greedy", 8)
    assert permits.want("late", 8) == [Recall("greedy", 4)]
    assert permits.want("late", 1) == []  # what is recalled already is not asked for twice


def test_a_lone_caller_is_never_asked_to_give_back():
    permits = Permits(2)
    permits.want("a", 2)
    assert permits.want("a", 5) == []


def test_a_lone_caller_may_keep_what_it_does_not_use():
    permits = Permits(2)
    assert permits.join("a") == [KeepIdle("a", True)]
    assert permits.join("b") == [KeepIdle("a", False), KeepIdle("b", False)]


def test_below_what_is_leased_nothing_is_granted_until_enough_has_come_back():
    permits = Permits(4)
    permits.want("a", 4)
    permits.resize(2)
    permits.want("b", 1)
    assert not any(isinstance(i, Grant) for i in permits.give_back("a", 2))
    assert Grant("b", 1) in permits.give_back("a", 1)


def test_a_caller_that_joins_again_is_believed_about_what_it_holds():
    permits = Permits(4)
    permits.want("a", 3)
    permits.want("b", 2)
    permits.join("a", held=1)  # two were granted and never reached it
    assert permits.leased == 3
    assert permits.waiting == 0


def test_a_caller_that_joins_in_place_of_a_dead_one_frees_what_that_held():
    permits = Permits(2)
    permits.want("a", 2)
    permits.want("b", 1)
    assert Grant("b", 1) in permits.join("a")


def test_after_a_death_nothing_is_granted_before_the_capacity_is_known():
    permits = Permits()
    permits.join("a", held=4, wanted=2)
    permits.join("b", held=3, wanted=1)
    assert not any(isinstance(i, Grant) for i in permits.resize(7))
    assert Grant("b", 1) in permits.give_back("b", 1)  # who holds the fewest


class PermitsMachine(RuleBasedStateMachine):
    """Callers that want, give back, vanish; a capacity that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = Permits(4)
        self.held = {"a": 0, "b": 0, "c": 0}
        self.wanted = {"a": 0, "b": 0, "c": 0}
        self.shrunk = False

    def follow(self, instructions):
        for instruction in instructions:
            if isinstance(instruction, Grant):
                self.held[instruction.caller] += instruction.count
                self.wanted[instruction.caller] -= instruction.count

    @rule(caller=st.sampled_from("abc"), count=st.integers(1, 6))
    def want(self, caller, count):
        self.wanted[caller] += count
        self.follow(self.permits.want(caller, count))

    @rule(caller=st.sampled_from("abc"), count=st.integers(1, 6))
    def give_back(self, caller, count):
        count = min(count, self.held[caller])
        if count:
            self.held[caller] -= count
            self.follow(self.permits.give_back(caller, count))

    @rule(caller=st.sampled_from("abc"))
    def join_in_place_of_a_dead_one(self, caller):
        self.held[caller] = self.wanted[caller] = 0
        self.follow(self.permits.join(caller))

    @rule(caller=st.sampled_from("abc"), lost=st.integers(0, 3), wanted=st.integers(0, 3))
    def join_again(self, caller, lost, wanted):
        self.held[caller] = max(0, self.held[caller] - lost)  # grants that never reached it
        self.wanted[caller] = wanted
        self.follow(self.permits.join(caller, self.held[caller], wanted))

    @rule(capacity=st.integers(0, 10))
    def resize(self, capacity):
        self.shrunk = capacity < sum(self.held.values())
        self.follow(self.permits.resize(capacity))

    @invariant()
    def never_more_than_the_capacity_unless_it_shrank(self):
        held = sum(self.held.values())
        assert held == self.permits.leased
        self.shrunk = self.shrunk and held > self.permits.capacity
        assert self.shrunk or held <= self.permits.capacity

    @invariant()
    def nothing_is_free_while_somebody_waits(self):
        assert not any(self.wanted.values()) or sum(self.held.values()) >= self.permits.capacity


PermitsMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPermits = PermitsMachine.TestCase


def test_what_comes_back_goes_to_who_holds_the_fewest_however_many_another_asked_for_first():
    at = Permits(6)
    at.join("many")
    at.join("few")
    at.want("many", 1000)
    at.want("few", 10)
    granted = Counter[str]()
    for _ in range(3):
        granted += Counter({one.caller: one.count for one in at.give_back("many", 1) if isinstance(one, Grant)})
    assert granted == {"few": 3}
    granted = Counter({one.caller: one.count for one in at.give_back("few", 1) if isinstance(one, Grant)})
    assert granted == {"few": 1}


def test_what_is_leased_beyond_a_smaller_capacity_is_asked_back_from_who_holds_most():
    permits = Permits(8)
    permits.join("a", 0, 6)
    permits.join("b", 0, 2)
    assert permits.resize(5) == [Recall("a", 3)]
    assert permits.resize(4) == [Recall("a", 1)]
    assert permits.give_back("a", 4) == []
    assert permits.want("b", 1) == []
    assert permits.give_back("b", 1) == [Grant("b", 1)]


def test_what_a_caller_held_that_has_ended_is_free():
    permits = Permits(4)
    permits.join("a", 0, 4)
    permits.join("b", 0, 2)
    assert permits.leave("a") == [Grant("b", 2), KeepIdle("b", True)]
