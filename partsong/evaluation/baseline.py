"""Baseline: what a way comes to, each figure with its interval, and what it is beside the best single model, on the same rows."""

from collections.abc import Callable, Sequence
from math import isfinite

from pydantic import NonNegativeInt

from partsong.contracts import Frozen, Probability
from partsong.evaluation.comparison import Comparison
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.multiple import holm
from partsong.evaluation.paired import paired_bootstrap
from partsong.evaluation.power import power_of, rows_for
from partsong.evaluation.worked import RIGHT, UNGRADED, WRONG, Worked

__all__ = ["Against", "Figures", "Wanted", "against", "figures", "holm_adjusted"]


class Figures(Frozen):
    """What one way came to by itself."""

    cost_per_1000_right: Figure | None
    """Cost of 1,000 right answers, the wrong ones paid too (cost per quality-adjusted output); None when nothing is graded, or right."""
    success: Figure
    """Share of rows that got an answer, and the right one where that is known (task success)."""
    routing: Figure | None
    """Routing accuracy: of the rows on which the choice among the single models matters, since one is right and another wrong, the share
    that is right, as the best choice in hindsight would have been on all of them. None with fewer than two single models."""


class Wanted(Frozen):
    """What it takes to show a difference that one would act on."""

    difference: Probability
    """Of the accuracies."""
    power: Probability
    """How likely these rows were to show it."""
    rows_needed: NonNegativeInt
    """Rows that show it eight times in ten."""


class Against(Comparison):
    """How B did beside A, the best single model, on the rows that both worked."""

    gain: Figure | None = None
    """B's accuracy less A's, with the interval of `difference_interval`; None when no row of both is graded."""
    saved: Figure | None = None
    """Share of A's cost that B saves, below 0 when it costs more; None when A costs nothing."""
    faster: Figure | None = None
    """Share of A's mean latency that B saves, on the rows that both answered; None when A takes no time."""
    p_holm: Probability | None = None
    """McNemar's p-value adjusted for all combinations that were compared with the same A; None for a single model: A was chosen for being
    right more often than it on these very rows, which no p-value here takes into account."""

    @property
    def rows_needed(self) -> int | None:
        """Rows that would show this difference eight times in ten, if it is what it seems; None when there seems to be none."""
        return rows_for(self.difference, self.disagreement) if self.rows and self.difference else None

    @property
    def disagreement(self) -> Probability:
        """Share of rows on which exactly one of the two is right; half a row is added to either, so that it is never nothing."""
        return (self.only_a + self.only_b + 1) / (self.rows + 2)

    def wanted(self, difference: float) -> Wanted:
        """Return what it takes to show this difference between the two, as often as they disagree here."""
        power = power_of(self.rows, difference, self.disagreement)
        return Wanted(difference=difference, power=power, rows_needed=rows_for(difference, self.disagreement))


def figures(way: Worked, singles: Sequence[Worked], dice: Callable[[], float]) -> Figures | None:
    """Return a way's own figures; None when it has no row. `dice` draws from [0, 1)."""
    rows = [row for row in range(len(way)) if way.has(row)]
    if not rows:
        return None
    graded = [float(way.marks[row] != UNGRADED) for row in rows]
    right = [float(way.marks[row] == RIGHT) for row in rows]
    of_graded = [way.cost[row] * known for row, known in zip(rows, graded, strict=True)]
    [per_right] = paired_bootstrap([of_graded, right], [lambda m: 1000 * m[0] / m[1]], dice)
    success = share_of(sum(way.answered(row) and way.marks[row] != WRONG for row in rows), len(rows))
    assert success is not None
    return Figures(
        cost_per_1000_right=per_right.model_copy(update={"n": int(sum(graded))}) if isfinite(per_right.value) else None,
        success=success,
        routing=_routing(way, singles),
    )


def against(best: Worked, way: Worked, dice: Callable[[], float]) -> Against | None:
    """Return how a way did beside the best single model; None when they have no row in common."""
    rows = [row for row in range(min(len(best), len(way))) if best.has(row) and way.has(row)]
    if not rows:
        return None
    timed = [float(best.answered(row) and way.answered(row)) for row in rows]
    columns = [
        [best.cost[row] for row in rows],
        [way.cost[row] for row in rows],
        [best.latency_s[row] if known else 0.0 for row, known in zip(rows, timed, strict=True)],
        [way.latency_s[row] if known else 0.0 for row, known in zip(rows, timed, strict=True)],
    ]
    saved, faster = paired_bootstrap(columns, [lambda m: 1 - m[1] / m[0], lambda m: 1 - m[3] / m[2]], dice)
    cells = _cells(best, way, rows)
    low, high = cells.difference_interval()
    return cells.model_copy(
        update={
            "gain": Figure(value=cells.difference, low=low, high=high, n=cells.rows) if cells.rows else None,
            "saved": saved if isfinite(saved.value) else None,
            "faster": faster.model_copy(update={"n": int(sum(timed))}) if isfinite(faster.value) else None,
        }
    )


def holm_adjusted(found: Sequence[Against | None]) -> list[Against | None]:
    """Return the comparisons with their p-values adjusted for all of them that have graded rows."""
    compared = [at for at, one in enumerate(found) if one is not None and one.rows]
    adjusted = dict(zip(compared, holm([one.p_value for at in compared if (one := found[at]) is not None]), strict=True))
    return [one if one is None else one.model_copy(update={"p_holm": adjusted.get(at, 1.0)}) for at, one in enumerate(found)]


def _cells(a: Worked, b: Worked, rows: Sequence[int]) -> Against:
    pairs = [(a.marks[row], b.marks[row]) for row in rows]
    return Against(
        both_right=pairs.count((RIGHT, RIGHT)),
        only_a=pairs.count((RIGHT, WRONG)),
        only_b=pairs.count((WRONG, RIGHT)),
        neither=pairs.count((WRONG, WRONG)),
    )


def _routing(way: Worked, singles: Sequence[Worked]) -> Figure | None:
    if len(singles) < 2:
        return None
    graded = (row for row in range(len(way)) if way.marks[row] != UNGRADED)
    matters = [row for row in graded if {RIGHT, WRONG} <= {one.marks[row] for one in singles if row < len(one)}]
    return share_of(sum(way.marks[row] == RIGHT for row in matters), len(matters))
