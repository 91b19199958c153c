"""Tally: votes counted by weight, with one rule for ties and one for when nothing can change any more."""

from collections.abc import Sequence
from math import fsum

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Reply
from partsong.evaluation.reading import Kind
from partsong.merging.normalise import voted

__all__ = ["NO_CANDIDATE", "decided", "elected", "share"]

NO_CANDIDATE = Failure(code=FailureCode.NO_QUORUM, message="no candidate to merge: no member answered")


def elected(candidates: Sequence[Candidate], kind: Kind) -> Reply:
    """Return the answer with the most weight; of several with the same weight, the one whose first candidate stands earliest.

    Its text is the first winning candidate's. Confidence is the winner's share of all candidates' weight: who abstains agrees with nobody.
    """
    if not candidates:
        return NO_CANDIDATE
    counted = voted(candidates, kind)
    votes = {vote: fsum(weights) for vote, weights in _weights(counted).items()}
    if not votes:
        return Failure(code=FailureCode.INVALID_ANSWER, message=f"none of {len(counted)} answers can be read as {kind.kind}")
    winner = max(votes, key=votes.__getitem__)  # max keeps the first of equals
    first = next(c for c in counted if c.vote == winner)
    confidence = share(votes[winner], [c.weight for c in counted])
    return Answer(text=first.text, value=first.value, source=first.source, confidence=confidence, candidates=counted, votes=votes)


def decided(candidates: Sequence[Candidate], missing: Sequence[float], kind: Kind) -> bool:
    """Return whether the winner stays the winner whatever the missing vote for, and wherever they stand among the members.

    A missing member may stand before all others, and would win a tie then: the leader must be ahead by more than all that is missing.
    Groups of similar texts may be joined by a further text, so a vote on those is decided only when nobody is missing.
    """
    if not missing:
        return True
    if not kind.groups_exactly:
        return False
    leader, *rivals = sorted(_weights(voted(candidates, kind)).values(), key=fsum, reverse=True) or [[]]
    return all(fsum([*rival, *missing]) < fsum(leader) for rival in rivals or [[]])


def share(part: float, weights: Sequence[float]) -> float:
    """Return the part's share of all weights; 0 when there is no weight."""
    total = fsum(weights)
    return min(1.0, part / total) if total > 0 else 0.0


def _weights(candidates: Sequence[Candidate]) -> dict[str, list[float]]:
    """Return the weights behind each vote, in order of its first candidate; their exactly rounded sum does not depend on order."""
    weights: dict[str, list[float]] = {}
    for candidate in candidates:
        if candidate.vote is not None:
            weights.setdefault(candidate.vote, []).append(candidate.weight)
    return weights
