"""Learned: everything that one table of outcomes taught, as one frozen value that is saved, read and put into a mesh as a whole.

What its policies are worth is judged on rows kept back (judged.py); then all is fitted anew on every row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from partsong.contracts.task import KIND_FIELDS
from partsong.errors import InputError
from partsong.learning.judged import Figure, Kept, judged
from partsong.learning.kind_weights import KindWeights, kind_weights
from partsong.learning.matrix import Cell, Gap, capability_matrix, gaps
from partsong.learning.outcomes import Floats, Outcomes, sound
from partsong.learning.policies import Policies, costs_something, fit_policies
from partsong.learning.settings import Settings, advised
from partsong.learning.trusted import Trusted, fit_trusted
from partsong.learning.usage import ModelUsage, usage_of

__all__ = ["Learned", "fingerprint", "fit_learned"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned; `version` of the format stands in the bytes (packing)."""

    date: str
    """Day, ISO 8601."""
    fingerprint: str
    """Of the outcomes it was learned from, 16 hexadecimal digits."""
    rows: int
    source: str
    """Where right and wrong came from: `labels`, `judge`, `feedback`, `agreement`."""
    settings: Settings
    policies: Policies
    kinds: tuple[str, ...]
    kind_fields: tuple[str, ...]
    """Metadata fields that name the kind of a task, the first that a row has."""
    cells: tuple[Cell, ...]
    gaps: tuple[Gap, ...]
    weights: tuple[KindWeights, ...]
    discounted: bool
    """Whether weights count models that err alike less."""
    trusted: tuple[Trusted, ...]
    """Calibrations of stated confidences, by model and kind."""
    usage: tuple[ModelUsage, ...]
    figures: tuple[Figure, ...]
    """Empty when too few rows could be kept back."""
    kept: Kept | None
    advice: str
    """The policy of `figures` that the settings ask for; the best single model where none is measured."""
    warnings: tuple[str, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models it knows."""
        return self.policies.models


def fit_learned(
    outcomes: Outcomes,
    settings: Settings,
    *,
    date: str,
    source: str = "labels",
    kind_fields: Sequence[str] = KIND_FIELDS,
    beside: Floats | None = None,
) -> Learned:
    """Learn all that the outcomes can teach; InputError when no honest number can come of them.

    `kind_fields` are those that the outcomes' kinds come from; `beside`: see fit_need.
    """
    if len(outcomes.models) < 2:
        raise InputError("one-model", "there is one model alone: nothing to choose between", remedy="add a run of another model")
    warnings = sound(outcomes)
    figures, kept = judged(outcomes, settings.max_loss, beside)
    if not figures:
        warnings.append(f"{len(outcomes)} rows are too few to keep some back: nothing here says what the policies are worth on others")
    if not outcomes.priced:
        warnings.append("no model's price is known: no policy can weigh cost")
    elif not costs_something(outcomes):
        warnings.append("the most accurate model costs nothing: there is nothing to save, and no ensemble is learned")
    cells = capability_matrix(outcomes)
    weights, discounted = kind_weights(outcomes, cells)
    return Learned(
        date=date,
        fingerprint=fingerprint(outcomes),
        rows=len(outcomes),
        source=source,
        settings=settings,
        policies=fit_policies(outcomes, beside=beside),
        kinds=tuple(sorted(set(outcomes.kinds))),
        kind_fields=tuple(kind_fields),
        cells=tuple(cells),
        gaps=tuple(gaps(cells)),
        weights=weights,
        discounted=discounted,
        trusted=fit_trusted(outcomes),
        usage=usage_of(outcomes),
        figures=figures,
        kept=kept,
        advice=advised(figures, kept, settings),
        warnings=tuple(warnings),
    )


def fingerprint(outcomes: Outcomes) -> str:
    """Return what tells one table of outcomes from another."""
    found = sha256(repr((outcomes.models, outcomes.prompts, outcomes.answers, outcomes.kinds)).encode("utf-8", "surrogatepass"))
    for table in (outcomes.right, outcomes.cost_usd):
        found.update(np.nan_to_num(table, nan=-1.0).tobytes())
    return found.hexdigest()[:16]
