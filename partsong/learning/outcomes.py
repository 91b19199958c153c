"""Outcomes: what each model answered to each question, whether it was right, and what it cost."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partsong.errors import InputError
from partsong.learning.folds import same_text

__all__ = ["FEWEST_ROWS", "Bools", "Embedded", "EmbeddedBy", "Floats", "Ints", "Outcomes", "doubts", "sound"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FEWEST_ROWS = 30
"""Below this many labelled rows nothing is fitted: the interval of any share would be wider than every choice it could inform."""


@dataclass(frozen=True, slots=True)
class EmbeddedBy:
    """What tells an embedding model from any other."""

    model_sha256: str
    tokenizer_sha256: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """What prompts mean, as an embedding model has it."""

    by: EmbeddedBy
    vectors: Floats
    """Prompts x numbers, each row of length 1."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A table of questions (rows) x models (columns)."""

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    right: Floats
    """1 right, 0 wrong, NaN not known."""
    answers: tuple[tuple[str | None, ...], ...]
    """Normalised answers; None where the model gave none that can be read."""
    cost_usd: Floats
    """US dollars of each call; a column of NaN is a model whose price is not known, and no policy may ask it."""
    kinds: tuple[str, ...] = ()
    """The task kind of each row (a subject, a skill), empty when unknown; seen in fitting only."""
    latency_s: Floats | None = None
    """Seconds of each call; NaN where not measured, None where none was."""
    stated: Floats | None = None
    """The confidence in [0, 1] that each model stated, or its mean token probability; NaN where it gave none, None where none did."""
    embedded: Embedded | None = None
    """The prompts' embeddings, where a model for them is there."""

    @property
    def vectors(self) -> Floats | None:
        """The numbers of the prompts' embeddings."""
        return None if self.embedded is None else self.embedded.vectors

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def accuracy(self) -> Floats:
        """Each model's share right of the rows where that is known."""
        return np.asarray(np.nanmean(self.right, axis=0), dtype=np.float64)

    @property
    def mean_cost_usd(self) -> Floats:
        """Each model's mean cost of a call; NaN when its price is not known."""
        known = ~np.isnan(self.cost_usd)
        total = np.where(known, self.cost_usd, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    @property
    def priced(self) -> tuple[int, ...]:
        """Columns of the models that a policy may ask."""
        return tuple(int(m) for m in np.flatnonzero(~np.isnan(self.mean_cost_usd)))

    @property
    def labelled(self) -> Ints:
        """Rows of which it is known whether any answer was right: the others teach nothing of that."""
        return np.flatnonzero(~np.isnan(self.right).all(axis=1))

    def rows(self, which: Sequence[int] | Ints) -> "Outcomes":
        """Return these rows alone."""
        index = [int(i) for i in which]
        return Outcomes(
            self.models,
            tuple(self.prompts[i] for i in index),
            self.right[index],
            tuple(self.answers[i] for i in index),
            self.cost_usd[index],
            tuple(self.kinds[i] for i in index) if self.kinds else (),
            None if self.latency_s is None else self.latency_s[index],
            None if self.stated is None else self.stated[index],
            None if self.embedded is None else Embedded(self.embedded.by, self.embedded.vectors[index]),
        )

    def columns(self, which: Sequence[int]) -> "Outcomes":
        """Return these models alone."""
        index = list(which)
        return Outcomes(
            tuple(self.models[m] for m in index),
            self.prompts,
            self.right[:, index],
            tuple(tuple(row[m] for m in index) for row in self.answers),
            self.cost_usd[:, index],
            self.kinds,
            None if self.latency_s is None else self.latency_s[:, index],
            None if self.stated is None else self.stated[:, index],
            self.embedded,
        )


def sound(outcomes: Outcomes) -> list[str]:
    """Return warnings about outcomes one can learn from; raise InputError when no honest number can come of them."""
    n = len(outcomes)
    if n < FEWEST_ROWS:
        remedy = f"label at least {FEWEST_ROWS} rows"
        raise InputError("too-few-outcomes", f"{n} rows are too few to learn from: any figure would be chance", remedy=remedy)
    known = ~np.isnan(outcomes.right)
    empty = [m for m, some in zip(outcomes.models, np.any(known, axis=0).tolist(), strict=True) if not some]
    if empty:
        raise InputError("no-labels", f"no labelled answer of {', '.join(empty)}", remedy="label some rows, or leave the model out")
    values = outcomes.right[known]
    if values.min() == values.max():
        what = "every answer is labelled " + ("right" if values[0] else "wrong") + ": there is nothing to tell apart"
        raise InputError("one-class", what, remedy="check the labels, or add questions that some models fail")
    return doubts(outcomes)


def doubts(outcomes: Outcomes) -> list[str]:
    """Return what is odd about a table though one can learn from it: gaps, labels that contradict, repeated questions."""
    found: list[str] = []
    missing = np.isnan(outcomes.right).mean(axis=0)
    for model, share in zip(outcomes.models, missing, strict=True):
        if share >= 0.2:
            found.append(
                f"{model}: {100 * share:.0f} % of its outcomes are missing; it is judged on the rest, which may not be like the whole"
            )
    for model, column in zip(outcomes.models, outcomes.right.T, strict=True):
        seen = column[~np.isnan(column)]
        if seen.size and seen.min() == seen.max():
            found.append(f"{model}: all {seen.size} outcomes are alike; its accuracy is shrunk, not taken as certain")
    clashes = _contradictions(outcomes)
    if clashes:
        found.append(
            f"{clashes} rows where one and the same answer is labelled both right and wrong; an ensemble that gives it counts as wrong"
        )
    repeated = sum(count - 1 for count in Counter(same_text(p) for p in outcomes.prompts).values())
    if repeated:
        found.append(f"{repeated} questions are repeated; copies are kept on one side of every split")
    return found


def _contradictions(outcomes: Outcomes) -> int:
    return sum(_contradicts(answers, right) for answers, right in zip(outcomes.answers, outcomes.right, strict=True))


def _contradicts(answers: Sequence[str | None], right: Floats) -> bool:
    verdicts: dict[str, set[float]] = defaultdict(set)
    for answer, value in zip(answers, right, strict=True):
        if answer is not None and not np.isnan(value):
            verdicts[answer].add(float(value))
    return any(len(v) > 1 for v in verdicts.values())
