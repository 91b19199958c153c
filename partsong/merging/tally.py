"""Tally: votes counted by weight, with one rule for ties and one for when nothing can change any more."""

from collections.abc import Mapping, Sequence
from math import fsum

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Reply
from partsong.evaluation.reading import Kind
from partsong.merging.normalise import voted

__all__ = ["decided", "elected", "tally"]


def tally(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the weight of each vote, in order of its first candidate; sums are exactly rounded, so order never changes them."""
    weights: dict[str, list[float]] = {}
    for candidate in candidates:
        if candidate.vote is not None:
            weights.setdefault(candidate.vote, []).append(candidate.weight)
    return {vote: fsum(given) for vote, given in weights.items()}


def elected(candidates: Sequence[Candidate], kind: Kind) -> Reply:
    """Return the answer with the most weight; of several with the same weight, the one whose first candidate stands earliest.

    Its text is the first winning candidate's. Confidence is the winner's share of all candidates' weight: who abstains agrees with nobody.
    """
    if not candidates:
        return Failure(code=FailureCode.NO_QUORUM, message="no candidate to merge: no member answered")
    counted = voted(candidates, kind)
    votes = tally(counted)
    if not votes:
        return Failure(code=FailureCode.INVALID_ANSWER, message=f"none of {len(counted)} answers can be read as {kind.kind}")
    winner = max(votes, key=votes.__getitem__)  # max keeps the first of equals
    first = next(c for c in counted if c.vote == winner)
    return Answer(
        text=first.text,
        value=first.value,
        source=first.source,
        confidence=share(votes[winner], [c.weight for c in counted]),
        candidates=counted,
        votes=votes,
    )


def share(part: float, weights: Sequence[float]) -> float:
    """Return the part's share of all weights; 0 when there is no weight."""
    total = fsum(weights)
    return min(1.0, part / total) if total > 0 else 0.0


def decided(candidates: Sequence[Candidate], missing: Sequence[float], kind: Kind) -> bool:
    """Return whether the winner stays the winner whatever the missing vote for, and wherever they stand among the members.

    A missing member may stand before all others, so it wins a tie: the leader must be ahead by more than all that is missing. Groups of
    similar texts may be joined by a further text, so a vote on those is decided only when nobody is missing.
    """
    if not missing:
        return True
    if not kind.groups_exactly:
        return False
    votes: Mapping[str, list[float]] = _given(voted(candidates, kind))
    if not votes:
        return False
    totals = sorted((fsum(given) for given in votes.values()), reverse=True)
    leader = max(votes, key=lambda vote: fsum(votes[vote]))
    rivals = [given for vote, given in votes.items() if vote != leader] or [[]]
    return all(fsum([*rival, *missing]) < totals[0] for rival in rivals)


def _given(candidates: Sequence[Candidate]) -> dict[str, list[float]]:
    weights: dict[str, list[float]] = {}
    for candidate in candidates:
        if candidate.vote is not None:
            weights.setdefault(candidate.vote, []).append(candidate.weight)
    return weights
