"""Votes: majority and weighted, their ties, and when they are decided."""

from itertools import product
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from partsong.contracts import Answer, Candidate, Failure, FailureCode
from partsong.merging import MERGE_RULES, MergeField, MergeRule, merge_rule
from partsong.merging.majority import Majority
from partsong.merging.weighted import Weighted

RULE: TypeAdapter[MergeRule] = TypeAdapter(MergeField)


def rule(entry: object) -> MergeRule:
    return RULE.validate_python(entry)


def said(*texts: str, weights: tuple[float, ...] = ()) -> list[Candidate]:
    weighs = weights or (1.0,) * len(texts)
    return [Candidate(source=f"m{n}", text=text, weight=weight) for n, (text, weight) in enumerate(zip(texts, weighs, strict=True))]


def answer(reply: Answer | Failure) -> Answer:
    assert isinstance(reply, Answer), reply
    return reply


def test_the_majority_wins_with_the_text_of_its_first_voter():
    merged = answer(rule("majority").combine(said("no", "Yes.", "yes"), ()))
    assert (merged.text, merged.source, merged.votes) == ("Yes.", "m1", {"no": 1.0, "yes": 2.0})
    assert merged.confidence == pytest.approx(2 / 3)


def test_numbers_that_are_written_differently_are_counted_together():
    merged = answer(rule({"majority": {"kind": "number"}}).combine(said("It costs $1,200.00.", "1300", "#### 1.2e3"), ()))
    assert merged.votes == {"1200": 2.0, "1300": 1.0}


def test_what_cannot_be_read_abstains_and_agrees_with_nobody():
    merged = answer(rule({"majority": {"kind": "letter"}}).combine(said("no idea", "(B)", "the answer is **B**"), ()))
    assert [c.vote for c in merged.candidates] == [None, "B", "B"]
    assert merged.confidence == pytest.approx(2 / 3)


def test_when_nobody_can_be_read_there_is_no_answer():
    reply = rule({"majority": {"kind": "number"}}).combine(said("none", "nil"), ())
    assert isinstance(reply, Failure)
    assert reply.code == FailureCode.INVALID_ANSWER


@pytest.mark.parametrize("name", sorted(MERGE_RULES))
def test_no_candidate_is_no_quorum(name):
    needed = {"best": {"judge": "j"}, "fuse": {"model": "w"}}
    reply = rule({name: needed.get(name)}).combine([], ())
    assert isinstance(reply, Failure)
    assert reply.code == FailureCode.NO_QUORUM


@pytest.mark.parametrize("name", sorted(MERGE_RULES))
def test_every_rule_survives_being_written_and_read(name):
    needed = {"best": {"judge": "j"}, "fuse": {"model": "w"}, "weighted": {"weights": {"a": 2.0}, "kind": {"label": ["x", "y"]}}}
    made = rule({name: needed.get(name)})
    assert merge_rule(made.entry()) == made


def test_of_equal_votes_the_earlier_member_wins():
    assert answer(rule("majority").combine(said("b", "a", "a", "b"), ())).text == "b"


def test_similar_texts_are_one_group_whatever_their_order():
    texts = ["the cat sat on the mat", "a dog ran", "the cat sat on a mat"]
    kind = {"majority": {"kind": {"text": 0.6}}}
    assert answer(rule(kind).combine(said(*texts), ())).votes == {"the cat sat on the mat": 2.0, "a dog ran": 1.0}
    assert sorted(answer(rule(kind).combine(said(*reversed(texts)), ())).votes.values()) == [1.0, 2.0]


def test_weights_are_given_by_member_and_outvote_numbers():
    merged = answer(rule({"weighted": {"weights": {"m0": 2.5}}}).combine(said("x", "y", "y"), ()))
    assert (merged.text, merged.votes) == ("x", {"x": 2.5, "y": 2.0})


def test_accuracies_weigh_by_their_log_odds():
    weighted = Weighted(accuracy={"m0": 0.9, "m1": 0.6, "m2": 0.6})
    assert weighted.weight("m0") == pytest.approx(log(9))
    merged = answer(weighted.combine(said("x", "y", "y"), ()))
    assert merged.text == "x"


def test_more_options_make_a_right_vote_weigh_more():
    assert Weighted(accuracy={"a": 0.5}, options=10).weight("a") == pytest.approx(log(9))
    assert Weighted(accuracy={"a": 0.3}).weight("a") == 0.0


def test_an_accuracy_that_is_not_given_is_the_least_of_those_given():
    weighted = Weighted(accuracy={"a": 0.9, "b": 0.7})
    assert weighted.weight("c") == weighted.weight("b")


def test_the_weight_of_the_ensemble_multiplies_the_rules():
    merged = answer(Weighted(weights={"m0": 2.0}).combine(said("x", "y", weights=(3.0, 1.0)), ()))
    assert merged.votes == {"x": 6.0, "y": 1.0}


@pytest.mark.parametrize(
    "entry",
    [
        {"weighted": {"weights": {"a": 1.0}, "accuracy": {"a": 0.5}}},
        {"weighted": {"accuracy": {"a": 1.0}}},
        {"weighted": {"weights": {"a": -1.0}}},
        {"majority": {"kind": "numbr"}},
        {"majorty": {}},
        {"trimmed_mean": {"trim": 0.5}},
    ],
)
def test_what_makes_no_sense_is_refused(entry):
    with pytest.raises(ValidationError):
        rule(entry)


VOTES = st.lists(st.tuples(st.sampled_from("abc?"), st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.0])), max_size=5)
LETTERS = {"kind": {"letter": "ABCD"}}


def _rule_and_candidates(votes: list[tuple[str, float]], by_weight: bool) -> tuple[MergeRule, list[Candidate]]:
    return rule({("weighted" if by_weight else "majority"): LETTERS}), said(*[v for v, _ in votes], weights=tuple(w for _, w in votes))


@given(VOTES, st.booleans(), st.randoms(use_true_random=False))
def test_order_changes_the_winner_only_among_equals(votes, by_weight, random):
    merge, candidates = _rule_and_candidates(votes, by_weight)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    one, other = merge.combine(candidates, ()), merge.combine(shuffled, ())
    assert isinstance(one, Failure) == isinstance(other, Failure)
    if isinstance(one, Answer) and isinstance(other, Answer):
        assert one.votes == other.votes
        top = max(one.votes.values())
        assert all(reply.votes[_vote(reply)] == top for reply in (one, other))
        if list(one.votes.values()).count(top) == 1:
            assert _vote(one) == _vote(other)


def _vote(reply: Answer) -> str:
    return next(c.vote for c in reply.candidates if c.text == reply.text and c.source == reply.source) or ""


def _changes(merge: MergeRule, candidates: list[Candidate], missing: list[float]) -> bool:
    """Try every vote of everyone missing, placed before, between or after the others."""
    before = merge.combine(candidates, ())
    if isinstance(before, Failure):
        return True
    for votes in product("ABCD?", repeat=len(missing)):
        late = [Candidate(source=f"late{n}", text=vote, weight=weight) for n, (vote, weight) in enumerate(zip(votes, missing, strict=True))]
        for at in range(len(candidates) + 1):
            after = merge.combine([*candidates[:at], *late, *candidates[at:]], ())
            if isinstance(after, Failure) or _vote(after) != _vote(before):
                return True
    return False


@settings(max_examples=150, deadline=None)
@given(VOTES, st.lists(st.sampled_from([0.0, 0.1, 0.3, 1.0]), min_size=1, max_size=3), st.booleans())
def test_a_vote_is_decided_exactly_when_nothing_missing_can_change_it(votes, missing, by_weight):
    merge, candidates = _rule_and_candidates(votes, by_weight)
    weights = missing if by_weight else [1.0] * len(missing)
    assert merge.decided(candidates, weights) == (not _changes(merge, candidates, weights))


def test_a_vote_with_nobody_missing_is_decided():
    assert Majority().decided([], [])
    assert rule({"majority": {"kind": "text"}}).decided(said("x"), [])


def test_a_vote_on_free_text_waits_for_all():
    assert not rule({"majority": {"kind": "text"}}).decided(said("x", "x", "x"), [1.0])
