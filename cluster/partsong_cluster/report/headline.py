"""Headline: what a section's numbers say, in words, and no more than they bear out."""

from collections.abc import Iterator, Sequence

from partsong.evaluation.pareto import Point, front
from partsong_cluster.report.contents import CostUnit, PlanLine, Section
from partsong_cluster.report.words import counted, money, percent

__all__ = ["front_names", "headline"]

_SURE = 0.05


def headline(section: Section) -> Sequence[str]:
    """Return a few sentences, the most important first."""
    if not any(line.summary.graded for line in section.lines):
        return list(_ungraded(section))
    if len(section.lines) == 1:
        return [_alone(section.lines[0], section.unit)]
    return list(_compared(section))


def front_names(section: Section) -> frozenset[str]:
    """Return the ways that no other way beats in both cost and accuracy."""
    graded = [line for line in section.lines if line.summary.accuracy is not None]
    points = [Point(line.name, line.cost_per_1000(section.unit), line.summary.accuracy or 0.0) for line in graded]
    return frozenset(point.name for point in front(points))


def _ungraded(section: Section) -> Iterator[str]:
    for line in section.lines:
        summary = line.summary
        answered = summary.rows - summary.failed
        cost = money(line.cost_per_1000(section.unit), section.unit)
        yield f"{line.name} answered {answered:,} of {counted(summary.rows, 'row')} for {cost} per 1,000."
    yield "The rows carry no expected answers, so nothing is said here about how often they are right."


def _alone(line: PlanLine, unit: CostUnit) -> str:
    cost = money(line.cost_per_1000(unit), unit)
    return f"{line.name} is right on {_accuracy(line)} of {counted(line.summary.graded, 'graded row')}, for {cost} per 1,000."


def _compared(section: Section) -> Iterator[str]:
    unit = section.unit
    best = next((line for line in section.lines if line.single and line.against_best is None and line.summary.accuracy is not None), None)
    if best is None:
        top = max(section.lines, key=lambda line: line.summary.accuracy or 0.0)
        yield f"{top.name} is right most often, on {_accuracy(top)} of the rows, for {money(top.cost_per_1000(unit), unit)} per 1,000."
        return
    yield (
        f"The best single model is {best.name}: right on {_accuracy(best)} of {best.summary.graded:,} rows, "
        f"for {money(best.cost_per_1000(unit), unit)} per 1,000."
    )
    combined = [line for line in section.lines if not line.single and line.against_best is not None]
    if not combined:
        return
    top = max(combined, key=lambda line: (line.summary.accuracy or 0.0, -line.cost_per_1000(unit)))
    yield _most_accurate(top, best, unit)
    yield _cheapest(combined, top, best, unit)


def _most_accurate(top: PlanLine, best: PlanLine, unit: CostUnit) -> str:
    comparison = top.against_best
    assert comparison is not None
    low, high = comparison.difference_interval()
    points = f"{comparison.difference * 100:+.1f} points (95 % interval {low * 100:+.1f} to {high * 100:+.1f})"
    costs = f"at {_times(top, best, unit)} its cost"
    chance = f"p = {comparison.p_value:.2g}"
    if comparison.p_value >= _SURE:
        what = f"The most accurate combination, {top.name}, is at {percent(top)}, {points}, {costs}"
        return f"{what}: as far as these rows tell, that may be chance ({chance})."
    if comparison.difference > 0:
        return f"Combined, {top.name} is right more often: {percent(top)}, {points}, {costs}. Chance alone rarely does that ({chance})."
    return f"No combination does better: the most accurate, {top.name}, is right less often, {points}, {costs}."


def _cheapest(combined: Sequence[PlanLine], top: PlanLine, best: PlanLine, unit: CostUnit) -> str:
    """Say which combination is cheapest among those that are not clearly less accurate than the best single model."""
    holding = [line for line in combined if (c := line.against_best) is not None and not (c.p_value < _SURE and c.difference < 0)]
    cheaper = [line for line in holding if line.cost_per_1000(unit) < 0.95 * best.cost_per_1000(unit)]
    if not cheaper:
        return f"No combination is both cheaper than {best.name} and about as often right."
    thrifty = min(cheaper, key=lambda line: line.cost_per_1000(unit))
    cost = f"{money(thrifty.cost_per_1000(unit), unit)} per 1,000"
    if thrifty.name == top.name:
        return f"It is also the cheapest combination that keeps up with {best.name}: {cost}."
    comparison = thrifty.against_best
    assert comparison is not None
    low, high = comparison.difference_interval()
    between = f"the true difference lies between {low * 100:+.1f} and {high * 100:+.1f} points (95 %)"
    what = f"{percent(thrifty)} for {cost}, {_times(thrifty, best, unit)} the cost"
    return f"Cheapest without being clearly worse than {best.name}: {thrifty.name}, {what}; {between}."


def _accuracy(line: PlanLine) -> str:
    interval = line.summary.accuracy_interval
    assert interval is not None
    return f"{percent(line)} (95 % interval {interval.low * 100:.0f} to {interval.high * 100:.0f})"


def _times(line: PlanLine, other: PlanLine, unit: CostUnit) -> str:
    theirs = other.cost_per_1000(unit)
    if not theirs:
        return "more than"
    ratio = line.cost_per_1000(unit) / theirs
    return f"{ratio:.1f} times" if ratio >= 1.5 else f"{ratio * 100:.0f} % of" if ratio >= 0.01 else "under 1 % of"
