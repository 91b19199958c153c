"""Edits: what people changed of answers: of how many, and how much."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from partsong.contracts import Frozen
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.mean import Mean

__all__ = ["Edits", "edit_size", "edits_of"]

_MOST_MATCHED = 4_000
"""Words of both texts together up to which each is matched; beyond, words that make up over a hundredth of a text only beside others."""


class Edits(Frozen):
    """What people made of a way's answers."""

    edited: Figure
    """Share of the answers that somebody changed; an answer that nobody edited counts as left as it was."""
    size: Figure | None
    """Mean size of a change (`edit_size`); None when fewer than two answers were changed."""


def edit_size(answer: str, edited: str) -> float:
    """Return the share of both texts' words that they do not have in common, in this order: 0 the same words, 1 none.

    One less the ratio of Ratcliff and Obershelp's matching (difflib), by words.
    """
    before, after = answer.split(), edited.split()
    many = len(before) + len(after) > _MOST_MATCHED  # the time grows with the square of a word's count
    return 1.0 - SequenceMatcher(None, before, after, autojunk=many).ratio()


def edits_of(sizes: Sequence[float], answers: int) -> Edits | None:
    """Return what edits come to, one size for each answer that was looked at; None when none was."""
    changed = Mean()
    for share in sizes:
        if share > 0.0:
            changed.add(share)
    edited, within = share_of(changed.n, answers), changed.interval()
    if not sizes or edited is None:
        return None
    size = None if within is None else Figure(value=changed.value, low=within.low, high=min(1.0, within.high), n=changed.n)
    return Edits(edited=edited, size=size)
