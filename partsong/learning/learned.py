"""Learned: everything that one table of outcomes taught, as one frozen value that is saved, read and put into a mesh as a whole.

What its policies are worth is judged on rows kept back (judged.py); then all is fitted anew on every row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from pydantic import TypeAdapter

from partsong.contracts.task import KIND_FIELDS
from partsong.errors import InputError
from partsong.evaluation.reading import Kind, KindField
from partsong.learning.judged import Kept, PolicyFigures, judged
from partsong.learning.kind_weights import KindWeights, kind_weights
from partsong.learning.matrix import Cell, Gap, capability_matrix, gaps
from partsong.learning.memory import prints_of
from partsong.learning.newcomer import Newcomer, doubts_of, known_models, newcomers
from partsong.learning.outcomes import FEWEST_ROWS, EmbeddedBy, Floats, Ints, Outcomes, sound
from partsong.learning.policies import Policies, costs_something, fit_policies, usual_value_usd
from partsong.learning.settings import Settings, advised
from partsong.learning.thresholds import Climb, Thresholds, fit_thresholds
from partsong.learning.trusted import Trusted, fit_trusted
from partsong.learning.usage import ModelUsage, usage_of

__all__ = ["Learned", "fingerprint", "fit_learned"]

_KIND: TypeAdapter[Kind] = TypeAdapter(KindField)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned; `version` of the format stands in the bytes (packing)."""

    date: str
    """Day, ISO 8601."""
    fingerprint: str
    """Of the outcomes it was learned from, 16 hexadecimal digits."""
    rows: int
    """Those of which it was known whether any answer was right."""
    source: str
    """Where right and wrong came from: `labels`, `judge`, `feedback`, `agreement`."""
    embedded_by: EmbeddedBy | None
    """The model that embedded the prompts, and must embed those to be decided on; None where none did."""
    answer_kind_json: str
    """How answers were read, as a mesh file writes it; empty where that differed from row to row."""
    settings: Settings
    gate_value_usd: float
    """US dollars that a right answer was worth to the gate when it was judged: by the settings, else twenty answers of the best model."""
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
    """Of new models too."""
    newcomers: tuple[Newcomer, ...]
    """Models with too few outcomes of their own: the gate may choose them, nothing else is learned of them."""
    figures: tuple[PolicyFigures, ...]
    """Empty when too few rows could be kept back."""
    kept: Kept | None
    cascades: tuple[Thresholds, ...]
    """Of cascades whose thresholds are learned, those that nothing could be promised of too."""
    advice: str
    """The policy of `figures` that the settings ask for; the best single model where none is measured."""
    warnings: tuple[str, ...]
    questions: Ints
    """Prints (memory) of the prompts that it was learned from."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models it knows by their outcomes."""
        return self.policies.models

    @property
    def answer_kind(self) -> Kind | None:
        """How answers were read; None where that differed from row to row."""
        return _KIND.validate_json(self.answer_kind_json) if self.answer_kind_json else None


def fit_learned(
    outcomes: Outcomes,
    settings: Settings,
    *,
    date: str,
    source: str = "labels",
    kind_fields: Sequence[str] = KIND_FIELDS,
    answer_kind: Kind | None = None,
    cards: Mapping[str, float] | None = None,
    climbs: Sequence[Climb] = (),
) -> Learned:
    """Learn all that the outcomes can teach; InputError when no honest number can come of them.

    `kind_fields` are those that the outcomes' kinds come from; `answer_kind` is how all answers were read, None where that differs;
    `cards`: the share right that models' cards let expect, for those with too few outcomes of their own; `climbs`:
    cascades whose thresholds are to be learned, with a row for each of the outcomes.
    """
    everything, outcomes = outcomes, outcomes.rows(outcomes.labelled)
    own = known_models(outcomes, cards or {})
    known = outcomes.columns(own)
    known = known.rows(known.labelled)
    warnings = _sound(known)
    value_usd = usual_value_usd(known) if settings.value_of_correct_usd is None else settings.value_of_correct_usd
    figures, kept = judged(known, settings.max_loss, value_usd)
    climbed = [fit_thresholds(climb, everything, own, settings.max_loss) for climb in climbs]
    advice = advised(figures, kept, settings)  # without what was promised: those figures are of the rows that chose among its ways
    promised = (None if kept is None else kept.figures, *(figure for _, figure in climbed))
    figures = (*figures, *(figure for figure in promised if figure is not None))
    policies, unseen = _fitted(known, outcomes, own)
    new = newcomers(outcomes, own, unseen, cards or {})
    met = [*own, *(outcomes.models.index(one.model) for one in new)]
    cells = capability_matrix(known)
    weights, discounted = kind_weights(known, cells)
    return Learned(
        date=date,
        fingerprint=fingerprint(outcomes),
        rows=len(outcomes),
        source=source,
        embedded_by=None if outcomes.embedded is None else outcomes.embedded.by,
        answer_kind_json="" if answer_kind is None else _KIND.dump_json(answer_kind, exclude_defaults=True).decode(),
        settings=settings,
        gate_value_usd=value_usd,
        policies=policies,
        kinds=tuple(sorted(set(outcomes.kinds))),
        kind_fields=tuple(kind_fields),
        cells=tuple(cells),
        gaps=tuple(gaps(cells)),
        weights=weights,
        discounted=discounted,
        trusted=fit_trusted(known),
        usage=usage_of(outcomes.columns(met)),
        newcomers=new,
        figures=figures,
        kept=kept,
        cascades=tuple(thresholds for thresholds, _ in climbed),
        advice=advice,
        warnings=(*warnings, *_unjudged(known, figures), *doubts_of(outcomes, own, new, cards or {})),
        questions=prints_of(outcomes.prompts),
    )


def _fitted(known: Outcomes, outcomes: Outcomes, own: Sequence[int]) -> tuple[Policies, Floats]:
    """Return the policies, and what their gate says of every row as if it had not seen it."""
    policies, unseen = fit_policies(known)
    if len(known) == len(outcomes):
        return policies, unseen
    every = policies.gate.p_right(outcomes.prompts, outcomes.vectors)  # some rows are known of new models alone
    every[outcomes.columns(own).labelled] = unseen
    return policies, every


def _sound(known: Outcomes) -> list[str]:
    if not known.models:
        what = f"no model has {FEWEST_ROWS} labelled outcomes: any figure would be chance"
        raise InputError("too-few-outcomes", what, remedy=f"label at least {FEWEST_ROWS} rows that two models answered")
    if len(known.models) == 1:
        what = f"{known.models[0]} is the only model with {FEWEST_ROWS} labelled outcomes: nothing to choose between"
        raise InputError("one-model", what, remedy="add a run of another model")
    return sound(known)


def _unjudged(known: Outcomes, figures: Sequence[PolicyFigures]) -> Iterator[str]:
    """Yield what could not be measured or weighed."""
    if not figures:
        yield f"{len(known)} rows are too few to keep some back: nothing here says what the policies are worth on others"
    if not known.priced:
        yield "no model's price is known: no policy can weigh cost"
    elif len(known.priced) == 1:
        yield f"{known.models[known.priced[0]]} is the only model whose price is known: no ensemble is learned"
    elif not costs_something(known):
        yield "the most accurate model costs nothing: there is nothing to save, and no ensemble is learned"


def fingerprint(outcomes: Outcomes) -> str:
    """Return what tells one table of outcomes from another."""
    found = sha256(repr((outcomes.models, outcomes.prompts, outcomes.answers, outcomes.kinds)).encode("utf-8", "surrogatepass"))
    for table in (outcomes.right, outcomes.cost_usd):
        found.update(np.nan_to_num(table, nan=-1.0).tobytes())
    return found.hexdigest()[:16]
