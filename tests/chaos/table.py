"""Table: how trials are printed, a line each as they end."""

from collections.abc import Sequence

from chaos.faults import Fault
from chaos.trial import Outcome

__all__ = ["HEAD", "line"]

_COLUMNS = ("rows", "lost", "twice", "failed", "other answer", "paid again", "asked again", "s to recover")


def _laid_out(name: str, cells: Sequence[str]) -> str:
    return f"{name:<44}" + "".join(f"{cell:>{len(column) + 2}}" for cell, column in zip(cells, _COLUMNS, strict=True))


HEAD = _laid_out("fault (seed)", _COLUMNS)


def line(faults: Sequence[Fault], seed: int, outcome: Outcome | None) -> str:
    """Return a trial's line; None stands for a run that did not go on."""
    name = f"{', '.join(dict.fromkeys(map(str, faults)))} ({seed})"
    if outcome is None:
        return f"{name:<44}  did not go on"
    found = outcome.reckoning
    counts = (found.rows, found.lost, found.twice, found.failed, found.other, found.paid_again, found.asked_again)
    return _laid_out(name, [*(f"{count:,}" for count in counts), f"{outcome.stood_still_s:.1f}"])
