"""Table: how trials are printed, a line each as they end."""

from chaos_cluster.trial import Outcome

__all__ = ["HEAD", "line"]

_COLUMNS = ("rows", "lost", "twice", "failed", "other answer", "paid again", "asked again", "fault s", "goes on s", "stood still s")
_NAME_WIDTH = 52


def _laid_out(name: str, cells: tuple[str, ...]) -> str:
    return f"{name:<{_NAME_WIDTH}}" + "".join(f"{cell:>{len(column) + 2}}" for cell, column in zip(cells, _COLUMNS, strict=True))


HEAD = _laid_out("fault (seed)", _COLUMNS) + "  struck"


def line(fault: str, seed: int, outcome: Outcome | None) -> str:
    """Return a trial's line; None stands for a job that did not go on."""
    name = f"{fault} ({seed})"
    if outcome is None:
        return f"{name:<{_NAME_WIDTH}}  did not go on"
    counts = (outcome.rows, outcome.lost, outcome.twice, outcome.failed, outcome.other, outcome.paid_again, outcome.asked_again)
    times = (outcome.lasted_s, outcome.goes_on_s, outcome.stood_still_s)
    return (
        _laid_out(name, (*(f"{count:,}" for count in counts), *("-" if time_s is None else f"{time_s:.1f}" for time_s in times)))
        + f"  {outcome.struck}"
    )
