"""Repeated: questions that stand in several rows, and what that does to figures of them."""

from collections.abc import Iterable, Iterator

from partsong_cluster.report.words import counted

__all__ = ["repeats_told"]


def repeats_told(rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Yield what to know of rows, each a question and what is right (None: nobody says); nothing where each question is asked once."""
    labels: dict[int, int | None] = {}  # hashes: of a million rows the texts would take gigabytes
    torn, copies = set[int](), 0
    for text, expected in rows:
        question, label = hash(" ".join(text.split())), None if expected is None else hash(repr(expected))
        copies += question in labels
        known = labels.setdefault(question, label)
        if None not in (known, label) and known != label:
            torn.add(question)
    if torn:
        yield f"Labels contradict each other on {counted(len(torn), 'question')}: no answer is right to all rows of such a one."
    if copies:
        yield f"In {counted(copies, 'row')} a question stands again: intervals and p-values take it for new evidence, and are too sure."
