"""Repeated: questions that stand in several rows, and what that does to figures of them."""

from collections.abc import Iterable, Iterator

__all__ = ["repeats_told", "torn_and_copies"]


def torn_and_copies(rows: Iterable[tuple[str, object]]) -> tuple[int, int]:
    """Return how many questions have labels that contradict each other, and how many rows ask what another row asks.

    Each row is a question and what is right (None: nobody says); questions are the same when they differ in white space alone.
    """
    labels: dict[int, int | None] = {}  # hashes: of a million rows the texts would take gigabytes
    torn, copies = set[int](), 0
    for text, expected in rows:
        question, label = hash(" ".join(text.split())), None if expected is None else hash(repr(expected))
        copies += question in labels
        known = labels.get(question)
        labels[question] = label if known is None else known
        if None not in (known, label) and known != label:
            torn.add(question)
    return len(torn), copies


def repeats_told(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Yield what to know of the rows' figures (see torn_and_copies); nothing where each question is asked once."""
    torn, copies = torn_and_copies(rows)
    if torn:
        yield f"Labels contradict each other on {torn:,} question{'' if torn == 1 else 's'}: no answer is right to all rows of such a one."
    if copies:
        again = f"{copies:,} row{'' if copies == 1 else 's'}"
        yield f"In {again} a question stands again: intervals and p-values take it for new evidence, and are too sure."
