"""Normalise: what each candidate votes for, by the kind of answer, so that answers which say the same are counted together."""

from collections.abc import Sequence

from partsong.contracts import Candidate
from partsong.evaluation.reading import Kind

__all__ = ["voted"]


def voted(candidates: Sequence[Candidate], kind: Kind) -> tuple[Candidate, ...]:
    """Return the candidates with `vote` set; None for one that cannot be read as the kind: it abstains.

    Free texts that are similar form one group (transitively, so that the order does not matter), which votes for its first text.
    """
    votes = [kind.read(c.text, c.value) for c in candidates]
    named = votes if kind.groups_exactly else _grouped(votes, kind)
    return tuple(c.model_copy(update={"vote": vote}) for c, vote in zip(candidates, named, strict=True))


def _grouped(votes: Sequence[str | None], kind: Kind) -> list[str | None]:
    """Return each vote replaced by the first of its group: connected components of `same`."""
    leader = list(range(len(votes)))
    for here, vote in enumerate(votes):
        for there in range(here):
            earlier = votes[there]
            if vote is not None and earlier is not None and leader[here] != leader[there] and kind.same(earlier, vote):
                first, second = sorted((leader[here], leader[there]))
                leader = [first if at == second else at for at in leader]
    return [votes[at] for at in leader]
