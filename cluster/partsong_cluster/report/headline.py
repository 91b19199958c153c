"""Headline: what a section's numbers say, in words, and no more than they bear out."""

from collections.abc import Iterator, Sequence

from partsong.evaluation.figure import Figure
from partsong.evaluation.pareto import Point, front
from partsong_cluster.report.contents import CostUnit, PlanLine, Section
from partsong_cluster.report.words import counted, money, percent, share

__all__ = ["SURE", "cost_words", "front_names", "headline"]

SURE = 0.05
"""A difference with a smaller p-value is called one."""
_HINDSIGHT = " It is chosen with hindsight, on these very rows, which flatters it a little: a buyer has to choose beforehand."
_FEWEST = 30
"""Graded rows below which an interval is wider than any difference that one could hope for."""


def headline(section: Section) -> Sequence[str]:
    """Return a few sentences, the most important first."""
    if not any(line.summary.rows for line in section.lines):
        return ["There is no row to say anything of.", *section.says]
    if not any(line.summary.graded for line in section.lines):
        return list(_ungraded(section))
    told = [_alone(section.lines[0], section.unit)] if len(section.lines) == 1 else _compared(section)
    return [*_doubts(section), *told, *section.says]


def front_names(section: Section) -> frozenset[str]:
    """Return the ways that no other way beats in both cost and accuracy."""
    graded = [line for line in section.lines if line.summary.accuracy is not None]
    points = [Point(line.name, line.cost_per_1000(section.unit), line.summary.accuracy or 0.0) for line in graded]
    return frozenset(point.name for point in front(points))


def _doubts(section: Section) -> Iterator[str]:
    """Say what keeps these numbers from being believed."""
    summaries = [line.summary for line in section.lines]
    graded = min(one.graded for one in summaries if one.graded)
    if graded < _FEWEST:
        yield f"{counted(graded, 'row')} with an expected answer cannot tell ways apart: label {_FEWEST} or more before believing this."
    if all(one.right in (0, one.graded) for one in summaries):
        verdict = "right" if summaries[0].right else "wrong"
        if len({one.right > 0 for one in summaries if one.graded}) == 1:
            yield f"Every answer is {verdict}: check what the rows expect, or add rows that some way fails."
    if any(one.not_covered for one in summaries):
        yield "Rows that a replay does not cover count for nothing; those that it covers may not be like them."


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
        f"The best single model on these rows is {best.name}: right on {_accuracy(best)} of {best.summary.graded:,} rows, "
        f"for {money(best.cost_per_1000(unit), unit)} per 1,000.{_HINDSIGHT if sum(line.single for line in section.lines) > 1 else ''}"
    )
    combined = [line for line in section.lines if not line.single and line.against_best is not None]
    if not combined:
        return
    top = max(combined, key=lambda line: (line.summary.accuracy or 0.0, -line.cost_per_1000(unit)))
    yield _most_accurate(top, best, len(combined))
    yield _cheapest(combined, top, best, unit)


def _most_accurate(top: PlanLine, best: PlanLine, compared: int) -> str:
    found = top.against_best
    assert found is not None
    assert found.p_holm is not None, "of a combination"
    low, high = found.difference_interval()
    points = f"{found.difference * 100:+.1f} points (95 % interval {low * 100:+.1f} to {high * 100:+.1f})"
    mine, theirs = ((found.both_right + only) / found.rows for only in (found.only_b, found.only_a))
    rows = "the rows" if found.rows == best.summary.graded == top.summary.graded else f"the {found.rows:,} rows that both worked"
    told = f"{share(mine)} of {rows}, the best single model on {share(theirs)}: {points}"
    chance = f"p = {found.p_holm:.2g}{f', adjusted for {compared} comparisons' if compared > 1 else ''}"
    if found.p_holm >= SURE:
        needed = f"; about {counted(found.rows_needed, 'row')} would tell" if found.rows_needed else ""
        what = f"The most accurate combination, {top.name}, is right on {told}"
        return f"{what}. As far as these rows tell, the difference may be chance ({chance}){needed}; {cost_words(found.saved)}."
    if found.difference > 0:
        what = f"Combined, {top.name} is right more often: on {told}"
        return f"{what}. Chance alone rarely does that ({chance}); {cost_words(found.saved)}."
    return f"No combination does better: the most accurate, {top.name}, is right on {told}. Chance alone rarely does that ({chance})."


def cost_words(saved: Figure | None) -> str:
    """Return what it costs beside the best single model: `it costs 71 % less (95 % interval 68 to 74)`."""
    if saved is None:
        return "what it costs beside that one cannot be said, as that one costs nothing"
    if not saved.beyond(0.0):
        return "it costs about as much"
    if saved.value > 0:
        return f"it costs {saved.value * 100:.0f} % less (95 % interval {saved.low * 100:.0f} to {saved.high * 100:.0f})"
    if saved.value > -0.5:
        return f"it costs {-saved.value * 100:.0f} % more (95 % interval {-saved.high * 100:.0f} to {-saved.low * 100:.0f})"
    return f"it costs {1 - saved.value:.1f} times as much (95 % interval {1 - saved.high:.1f} to {1 - saved.low:.1f})"


def _cheapest(combined: Sequence[PlanLine], top: PlanLine, best: PlanLine, unit: CostUnit) -> str:
    """Say which combination is cheapest among those that are not clearly less accurate than the best single model."""
    holding = [line for line in combined if (c := line.against_best) is not None and not (c.p_value < SURE and c.difference < 0)]
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
