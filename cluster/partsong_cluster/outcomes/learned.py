"""Learned: what runs teach as of today: their outcomes, all that can be fitted to them, and what is to be known of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from partsong.learning.learned import Learned, fit_learned
from partsong.learning.outcomes import Embedded
from partsong.learning.settings import Settings
from partsong.learning.tabled import Replies
from partsong.mesh import Mesh
from partsong_cluster.outcomes.climbs import climbs_of
from partsong_cluster.outcomes.runs import Reading, outcomes_of_runs

__all__ = ["learned_of_runs"]


def learned_of_runs(
    folders: Sequence[Path],
    reading: Reading,
    settings: Settings,
    *,
    mesh: Mesh | None = None,
    judge: Callable[[Sequence[Replies]], Sequence[str]] = lambda _: (),
    cards: Mapping[str, float] | None = None,
    read: Callable[[int], None] = lambda _: None,
    embed: Callable[[Sequence[str]], Embedded] | None = None,
) -> Learned:
    """Return what the runs teach of their models, or of this mesh's models and cascades; InputError when no honest number can come of them.

    `judge` and `cards` as in outcomes_of_runs and fit_learned; `read` hears the number of rows before the fit begins; `embed`
    gives the prompts' embeddings.
    """
    models = None if mesh is None else mesh.models
    found = outcomes_of_runs(folders, reading, models, judge, also=models or ())
    read(len(found.outcomes))
    learned = fit_learned(
        found.outcomes if embed is None else replace(found.outcomes, embedded=embed(found.outcomes.prompts)),
        settings,
        date=datetime.now(UTC).date().isoformat(),
        source=found.source,
        kind_fields=reading.kind_fields,
        answer_kind=found.answer_kind,
        cards=cards,
        climbs=tuple(climbs_of(found, {} if mesh is None else mesh.plans)),
    )
    return replace(learned, warnings=(*found.warnings, *learned.warnings))
