"""Proof: a mesh beside what the same dollars buy without it: the best single model, more samples of it, a random mix of models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, isfinite, log
from statistics import fmean
from typing import Literal

from pydantic import NonNegativeInt

from partsong.contracts import Frozen, Probability
from partsong.evaluation.comparison import Comparison
from partsong.evaluation.figure import Figure, share_of
from partsong.evaluation.lane import Lane, best_elsewhere, mixed, spliced
from partsong.evaluation.multiple import holm
from partsong.evaluation.paired import Statistic, paired_bootstrap
from partsong.evaluation.power import rows_for

__all__ = ["BEST", "MIX", "SAMPLES", "Contender", "Curve", "CurvePoint", "Proof", "Rivals", "prove"]

BEST, SAMPLES, MIX = "best single model", "self-consistency", "random mix"
"""The contenders."""

_SURE = 0.05
_NOTHING_GAINED = 0.01
"""Of accuracy: an interval below it shows that nothing worth more money is gained; none shows that nothing at all is."""
_STEPS = 14
_WIDER = 1.02


Pays = Literal["yes", "trade", "no", "unclear"]
"""Whether combining pays: `yes`, surely more accurate than all that was compared at the same cost; `trade`, that too, but it surely saves
money on the best single model and is surely less accurate; `no`, surely less accurate than some of it, or dearer than the best single model
and less than a point above it, or no cheaper and surely less accurate; `unclear`, these rows cannot tell."""


class Contender(Frozen):
    """A way without the mesh, and what the mesh gains on it; every figure is of the same rows."""

    name: str
    about: str
    accuracy: Figure
    cost_per_1000: Figure
    gain: Figure
    """The mesh's accuracy less this one's."""
    saved: Figure | None
    """Share of this one's cost that the mesh saves, below 0 when it costs more; None when this one is free."""
    p_value: Probability | None
    """McNemar's, adjusted for all contenders (Holm); None for a mix, which is right on a row with some chance: its interval tells."""
    equal_cost: bool
    """Whether it costs as much as the mesh, or all that can be usefully spent."""


class CurvePoint(Frozen):
    """Accuracy at a cost, with its 95 % band."""

    cost_per_1000: float
    accuracy: float
    low: float
    high: float


class Curve(Frozen):
    """Accuracy over cost for one way of spending."""

    name: str
    kind: Literal["mesh", "single", "samples", "mix"]
    points: tuple[CurvePoint, ...]


class Proof(Frozen):
    """What can be said of a mesh."""

    mesh: str
    """The plan, or the mesh whose routes decide."""
    rows: NonNegativeInt
    """Rows that all ways have a graded answer to."""
    accuracy: Figure
    cost_per_1000: Figure
    contenders: tuple[Contender, ...]
    curves: tuple[Curve, ...]
    pays: Pays
    rows_needed: NonNegativeInt | None
    """When unclear: about how many rows would tell, if the difference to the strongest contender is what it seems."""


@dataclass(frozen=True, slots=True)
class Rivals:
    """What was recorded besides the mesh, all of the same rows."""

    singles: Mapping[str, Lane]
    samples: Mapping[str, Mapping[int, Lane]] = field(default_factory=dict)
    """By model, the majority of so many samples of it."""
    levels: Sequence[Lane] = ()
    """The mesh's own plan at other levels of confidence to stop at, where it has one."""


def prove(mesh: str, lane: Lane, rivals: Rivals, fold: Sequence[int], dice: Callable[[], float]) -> Proof:
    """Return how the mesh stands; `fold` splits the rows, and whatever is chosen is chosen on the folds that it is not judged on.

    Equal cost is the mesh's mean cost of a row (budget-aware evaluation: Wang et al. 2024, arXiv 2406.06461; self-consistency: arXiv
    2203.11171; random mixes as in RouteLLM, arXiv 2406.18665). `dice` draws from [0, 1).
    """
    budget = fmean(lane.cost)
    chosen = best_elsewhere(rivals.singles, fold)
    drafts = [(BEST, _who(chosen), spliced(rivals.singles, chosen), False), *_sampled(rivals, chosen, fold, budget)]
    drafts.append((MIX, "each row to one of two models, by lot, at the mesh's cost", mixed(rivals.singles, fold, budget), True))
    contenders = _contenders(lane, drafts, dice)
    [cost] = paired_bootstrap([lane.cost], [_mean(0, 1000)], dice)
    pays = _verdict(contenders)
    return Proof(
        mesh=mesh,
        rows=len(fold),
        accuracy=_accuracy(lane, dice),
        cost_per_1000=cost,
        contenders=tuple(contenders),
        curves=tuple(_curves(lane, rivals, chosen, fold, dice)),
        pays=pays,
        rows_needed=_needed(lane, drafts) if pays == "unclear" else None,
    )


_Draft = tuple[str, str, Lane, bool]


def _who(chosen: Sequence[str]) -> str:
    names = sorted(set(chosen), key=chosen.count, reverse=True)
    return f"{' or '.join(names)}, chosen on other rows than those it is judged on"


def _sampled(rivals: Rivals, chosen: Sequence[str], fold: Sequence[int], budget: float) -> list[_Draft]:
    """Return the best model asked several times for the same dollars; nothing when that was not recorded, or two samples cost more."""
    if any(name not in rivals.samples for name in chosen):
        return []
    mixes = {name: mixed({1: rivals.singles[name], **rivals.samples[name]}, fold, budget) for name in set(chosen)}
    lane = spliced(mixes, chosen)
    if fmean(spliced(rivals.singles, chosen).cost) >= budget:
        return []
    most = max(count for name in set(chosen) for count in rivals.samples[name])
    return [(SAMPLES, f"the majority of up to {most} samples of the best single model, at the mesh's cost", lane, True)]


def _contenders(lane: Lane, drafts: Sequence[_Draft], dice: Callable[[], float]) -> list[Contender]:
    cells = [_cells(one, lane) if _whole(one) else None for _, _, one, _ in drafts]
    adjusted = iter(holm([each.p_value for each in cells if each is not None]))
    found = []
    for (name, about, one, equal), each in zip(drafts, cells, strict=True):
        columns = [lane.right, lane.cost, one.right, one.cost]
        told: list[Statistic] = [_mean(3, 1000), lambda m: m[0] - m[2], lambda m: 1 - m[1] / m[3]]
        cost, gain, saved = paired_bootstrap(columns, told, dice)
        found.append(
            Contender(
                name=name,
                about=about,
                accuracy=_accuracy(one, dice),
                cost_per_1000=cost,
                gain=gain if each is None else _gained(each),
                saved=saved if isfinite(saved.value) else None,
                p_value=None if each is None else next(adjusted),
                equal_cost=equal,
            )
        )
    return found


def _accuracy(lane: Lane, dice: Callable[[], float]) -> Figure:
    """Return the share right; of whole rows with the interval of a share, which a bootstrap has none of where all are right."""
    share = share_of(int(sum(lane.right)), len(lane.right)) if _whole(lane) else None
    return share or paired_bootstrap([lane.right], [_mean(0)], dice, resamples=500)[0]


def _cells(a: Lane, b: Lane) -> Comparison:
    pairs = list(zip(a.right, b.right, strict=True))
    return Comparison(
        both_right=pairs.count((1.0, 1.0)), only_a=pairs.count((1.0, 0.0)), only_b=pairs.count((0.0, 1.0)), neither=pairs.count((0.0, 0.0))
    )


def _gained(cells: Comparison) -> Figure:
    low, high = cells.difference_interval()
    return Figure(value=cells.difference, low=low, high=high, n=cells.rows)


def _whole(lane: Lane) -> bool:
    return all(right in (0.0, 1.0) for right in lane.right)


def _verdict(contenders: Sequence[Contender]) -> Pays:
    equal = [one for one in contenders if one.equal_cost]
    best = contenders[0]
    is_dearer = best.saved is not None and best.saved.high < 0
    is_worse = best.gain.value < 0 and best.p_value is not None and best.p_value < _SURE
    saves = best.saved is not None and best.saved.low > 0
    if any(one.gain.high < 0 for one in equal) or (is_dearer and best.gain.high < _NOTHING_GAINED) or (is_worse and not saves):
        return "no"
    if not all(one.gain.low > 0 and (one.p_value is None or one.p_value < _SURE) for one in equal):
        return "unclear"
    return "trade" if is_worse else "yes"


def _needed(lane: Lane, drafts: Sequence[_Draft]) -> int | None:
    """Return how many rows would show the gain on the strongest contender at equal cost."""
    _, _, strongest, _ = max((draft for draft in drafts if draft[3]), key=lambda draft: fmean(draft[2].right))
    differences = [x - y for x, y in zip(lane.right, strongest.right, strict=True)]
    gain = fmean(differences)
    return rows_for(gain, fmean(each * each for each in differences)) if gain else None


def _curves(lane: Lane, rivals: Rivals, chosen: Sequence[str], fold: Sequence[int], dice: Callable[[], float]) -> list[Curve]:
    """Return accuracy over cost of the mesh, more samples, and the mixes with and without the mesh."""
    drawn: list[tuple[str, Literal["mesh", "single", "samples", "mix"], list[Lane]]] = [
        (name, "single", [single]) for name, single in rivals.singles.items()
    ]
    costs = [fmean(one.cost) for one in (*rivals.singles.values(), lane)]
    budgets = _budgets(min(costs), max(costs))
    drawn.append((MIX, "mix", [mixed(rivals.singles, fold, budget) for budget in budgets]))
    if all(name in rivals.samples for name in chosen):
        counts = sorted(set.intersection(*(set(rivals.samples[name]) for name in set(chosen))))
        lanes = [spliced({name: rivals.samples[name][count] for name in set(chosen)}, chosen) for count in counts]
        drawn.append((SAMPLES, "samples", [spliced(rivals.singles, chosen), *lanes]))
    drawn.append(("this mesh", "mesh", sorted([lane, *rivals.levels], key=lambda one: fmean(one.cost))))
    return [Curve(name=name, kind=kind, points=tuple(_points(lanes, dice))) for name, kind, lanes in drawn]


def _budgets(low: float, high: float) -> list[float]:
    if low <= 0 or high <= low * _WIDER:
        return [high]
    return [exp(log(low) + (log(high) - log(low)) * step / (_STEPS - 1)) for step in range(_STEPS)]


def _points(lanes: Sequence[Lane], dice: Callable[[], float]) -> list[CurvePoint]:
    figures = [_accuracy(lane, dice) for lane in lanes]
    return [
        CurvePoint(cost_per_1000=1000 * fmean(lane.cost), accuracy=one.value, low=one.low, high=one.high)
        for lane, one in zip(lanes, figures, strict=True)
    ]


def _mean(at: int, times: float = 1.0) -> Statistic:
    return lambda means: times * means[at]
