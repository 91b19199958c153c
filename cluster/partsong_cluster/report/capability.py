"""Capability: the part of a run's report that says what each of its models is good at, where its rows tell."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from partsong.errors import PartsongError
from partsong.learning.knowledge import learn_installed
from partsong_cluster.report.contents import Capability, CapabilityCell, CapabilityRow

__all__ = ["capability_of"]

_FEWEST = 30
"""Calls of a model below which nothing is said of it."""
_MOST_ROWS = 5000
"""Of larger runs the report says nothing here: it would wait for it; `partsong matrix` does not mind."""


def capability_of(folder: Path, summary: Mapping[str, Any]) -> Capability | None:
    """Return models by kinds of task; None where fewer than two models answered rows whose right answer is known, or the run is large."""
    asked = [name for name, told in summary["models"].items() if told["calls"] + told["reused"] >= _FEWEST]
    if len(asked) < 2 or not _FEWEST <= summary["rows"]["finished"] <= _MOST_ROWS:
        return None
    try:
        with learn_installed():
            from partsong_cluster.outcomes.matrix import matrix_of_runs
            from partsong_cluster.outcomes.runs import Reading

            found = matrix_of_runs([folder], Reading())
    except PartsongError:  # not installed, or no model's own replies: the report does without
        return None
    models = tuple(usage.model for usage in found.usage if usage.calls >= _FEWEST)
    if found.source == "agreement" or len(models) < 2:
        return None
    at = {(cell.model, cell.kind): cell for cell in found.cells}
    rows = []
    for kind in sorted({cell.kind for cell in found.cells}):
        cells = (at[model, kind] for model in models)
        row = tuple(CapabilityCell(right=c.accuracy, low=c.low, high=c.high, n=c.n) for c in cells)
        rows.append(CapabilityRow(kind=kind, cells=row))
    return Capability(models=models, rows=tuple(rows), found_in_words=found.kinds_from == "words", gaps=tuple(g.words for g in found.gaps))
