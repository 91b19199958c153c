"""Matrix: what runs tell of models by kinds of task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from partsong.learning.clusters import clusters
from partsong.learning.matrix import Cell, Gap, capability_matrix, gaps, reading_gaps
from partsong.learning.outcomes import FEWEST_ROWS, doubts
from partsong.learning.usage import ModelUsage, usage_of
from partsong_cluster.outcomes.runs import Reading, models_of, outcomes_of_runs

__all__ = ["Matrix", "matrix_of_runs"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Cells of models and kinds, and what follows from them."""

    rows: int
    source: str
    """Where right and wrong came from."""
    kinds_from: Literal["rows", "words"]
    """Whether the rows named their kinds, or they were found in the prompts' words."""
    cells: tuple[Cell, ...]
    usage: tuple[ModelUsage, ...]
    gaps: tuple[Gap, ...]
    warnings: tuple[str, ...]


def matrix_of_runs(folders: Sequence[Path], reading: Reading) -> Matrix:
    """Return the matrix of the runs' models; InputError where they hold no reply of a model to a row's plain task."""
    specs = models_of(folders)
    found = outcomes_of_runs(folders, reading)
    named = bool(found.outcomes.kinds)
    table = found.outcomes if named else replace(found.outcomes, kinds=clusters(found.outcomes.prompts))
    cells = capability_matrix(table)
    few = [f"{len(table)} rows are too few: any share here may be chance"] if len(table) < FEWEST_ROWS else []
    return Matrix(
        rows=len(table),
        source=found.source,
        kinds_from="rows" if named else "words",
        cells=tuple(cells),
        usage=usage_of(table),
        gaps=(*gaps(cells), *reading_gaps({name: spec.accepts for name, spec in specs.items()})),
        warnings=(*found.warnings, *few, *doubts(table)),
    )
