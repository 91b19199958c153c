"""Plot: cost against accuracy as an SVG drawn by hand, coloured by the page's own CSS so that it reads in the light and in the dark.

Ways are marks with upright bars, ways of spending more or less are curves with bands.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from partsong.evaluation.proof import Curve, CurvePoint, Proof
from partsong_cluster.report.contents import CostUnit, PlanLine, Section
from partsong_cluster.report.headline import front_names
from partsong_cluster.report.words import money

__all__ = ["plot", "proof_plot"]

_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 18, 52
_CHARACTER = 7.2
"""Width of a character of a label, for keeping labels apart."""
_Box = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str
    single: bool
    on_front: bool
    cost: float
    accuracy: float
    low: float
    high: float


def plot(section: Section) -> Markup:
    """Return the plot; nothing when fewer than two ways are graded."""
    on_front = front_names(section)
    marks = [mark for line in section.lines for mark in _marks_of(line, section.unit, on_front=line.name in on_front)]
    return Markup("") if len(marks) < 2 else _Plot(marks, section.unit).drawn()


def proof_plot(proof: Proof, beside: Sequence[PlanLine] = ()) -> Markup:
    """Return accuracy over cost of a mesh, of all that the same money buys without it, and of further ways on the same rows."""
    singles = [_marked(curve.name, curve.points[0], single=True) for curve in proof.curves if curve.kind == "single"]
    mesh = CurvePoint(
        cost_per_1000=proof.cost_per_1000.value, accuracy=proof.accuracy.value, low=proof.accuracy.low, high=proof.accuracy.high
    )
    others = [mark for line in beside for mark in _marks_of(line, "usd")]
    curves = [curve for curve in proof.curves if curve.kind != "single" and len(curve.points) > 1]
    return _Plot([*singles, *others, _marked(proof.mesh, mesh, single=False)], "usd", curves).drawn()


def _marks_of(line: PlanLine, unit: CostUnit, *, on_front: bool = False) -> Iterator[_Mark]:
    """Yield the line's mark; none when nothing of it is graded."""
    accuracy, interval = line.summary.accuracy, line.summary.accuracy_interval
    if accuracy is not None and interval is not None:
        yield _Mark(line.name, line.single, on_front, line.cost_per_1000(unit), accuracy, interval.low, interval.high)


def _marked(name: str, point: CurvePoint, *, single: bool) -> _Mark:
    return _Mark(name, single, False, point.cost_per_1000, point.accuracy, point.low, point.high)


class _Plot:
    def __init__(self, marks: Sequence[_Mark], unit: CostUnit, curves: Sequence[Curve] = ()) -> None:
        self._marks = sorted(marks, key=lambda mark: (mark.cost, -mark.accuracy))
        self._curves = curves
        self._unit = unit
        points = [point for curve in curves for point in curve.points]
        positive = [cost for cost in (*(m.cost for m in marks), *(p.cost_per_1000 for p in points)) if cost > 0] or [1.0]
        self._least, self._most = min(positive) / 1.6, max(positive) * 1.8
        lowest = min(*(mark.low for mark in marks), *(point.low for point in points))
        highest = max(*(mark.high for mark in marks), *(point.high for point in points))
        self._low = max(0.0, math.floor((lowest - 0.01) * 10) / 10)
        self._high = min(1.0, math.ceil((highest + 0.001) * 20) / 20)

    def drawn(self) -> Markup:
        parts = Markup("").join([*self._axes(), *self._bands(), *self._front(), *self._points(), *self._labels()])
        label = "Cost against accuracy; up and to the left is better"
        return Markup('<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(_WIDTH, _HEIGHT, label, parts)

    def _x(self, cost: float) -> float:
        inside = math.log(max(cost, self._least) / self._least) / math.log(self._most / self._least)
        return _LEFT + inside * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, accuracy: float) -> float:
        return _TOP + (self._high - accuracy) / (self._high - self._low) * (_HEIGHT - _TOP - _BOTTOM)

    def _axes(self) -> Iterator[Markup]:
        floor = _HEIGHT - _BOTTOM
        step = 0.1 if self._high - self._low > 0.35 else 0.05
        for number in range(math.ceil(self._low / step - 1e-9), math.floor(self._high / step + 1e-9) + 1):
            y = self._y(number * step)
            yield _line("grid", _LEFT, y, _WIDTH - _RIGHT, y)
            yield _text("tick end", _LEFT - 8, y + 4, f"{number * step * 100:.0f} %")
        for tick in _decades(self._least, self._most):
            yield _line("grid", self._x(tick), _TOP, self._x(tick), floor)
            yield _text("tick middle", self._x(tick), floor + 18, money(tick, self._unit))
        what = "US dollars" if self._unit == "usd" else "processor seconds"
        yield _text("axis middle", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, f"{what} per 1,000 rows, logarithmic →")
        yield _text("axis", _LEFT, _TOP - 5, "↑ right answers, with 95 % intervals")

    def _front(self) -> Iterator[Markup]:
        """The Pareto front as stairs: at this cost, no recorded way is more often right."""
        path: list[str] = []
        for mark in (m for m in self._marks if m.on_front):
            x, y = self._x(mark.cost), self._y(mark.accuracy)
            path.append(f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {_HEIGHT - _BOTTOM}V{y:.1f}")
        if path:
            yield Markup('<path class="front" d="{}H{}"/>').format("".join(path), _WIDTH - _RIGHT)

    def _bands(self) -> Iterator[Markup]:
        for curve in self._curves:
            upper = [(self._x(point.cost_per_1000), self._y(point.high)) for point in curve.points]
            lower = [(self._x(point.cost_per_1000), self._y(point.low)) for point in curve.points]
            middle = [(self._x(point.cost_per_1000), self._y(point.accuracy)) for point in curve.points]
            yield Markup('<polygon class="band {}" points="{}"/>').format(curve.kind, _pairs([*upper, *reversed(lower)]))
            yield Markup('<polyline class="curve {}" points="{}"><title>{}</title></polyline>').format(
                curve.kind, _pairs(middle), curve.name
            )

    def _points(self) -> Iterator[Markup]:
        for mark in self._marks:
            x, y = self._x(mark.cost), self._y(mark.accuracy)
            kind = "single" if mark.single else "combined"
            yield _line(f"interval {kind}", x, self._y(mark.low), x, self._y(mark.high))
            tip = f"{mark.name}: {mark.accuracy * 100:.1f} %, {money(mark.cost, self._unit)} per 1,000"
            shape = (
                Markup('<circle cx="{:.1f}" cy="{:.1f}" r="6"/>') if mark.single else Markup('<path d="M{:.1f} {:.1f}m0-8l8 8-8 8-8-8z"/>')
            )
            yield Markup('<g class="mark {}"><title>{}</title>{}</g>').format(kind, tip, shape.format(x, y))

    def _labels(self) -> Iterator[Markup]:
        """Each name beside its mark, moved up or down where it would lie on another, and nearer to its own than to any other."""
        centres = [(self._x(m.cost), self._y(m.accuracy)) for m in self._marks]
        taken: list[_Box] = [(self._x(m.cost) - 8, self._y(m.accuracy) - 8, 16, 16) for m in self._marks]
        for mark in sorted(self._marks, key=lambda m: (m.single, -m.accuracy)):
            width = len(mark.name) * _CHARACTER
            box = _free(self._x(mark.cost), self._y(mark.accuracy), width, taken, centres)
            taken.append(box)
            yield _text(f"label {'single' if mark.single else 'combined'}", box[0], box[1] + 12, mark.name)


def _free(x: float, y: float, width: float, taken: Sequence[_Box], centres: Sequence[tuple[float, float]]) -> _Box:
    starts = (x + 12, x - 12 - width, x - width / 2)
    places = [(start, y - 8 + shift, width, 16.0) for shift in (0, -14, 14, -26, 26, -38, 38, -52, 52) for start in starts]
    free = [box for box in places if _inside(box) and not any(_overlap(box, other) for other in taken)]
    own = (box for box in free if all(_away(box, x, y) <= _away(box, *centre) for centre in centres))
    return next(own, free[0] if free else places[0])


def _inside(box: _Box) -> bool:
    left, top, width, height = box
    return left >= _LEFT and left + width <= _WIDTH - 4 and top >= _TOP - 4 and top + height <= _HEIGHT - _BOTTOM


def _away(box: _Box, x: float, y: float) -> float:
    """Return how far the point is from the box."""
    left, top, width, height = box
    return math.hypot(max(left - x, 0.0, x - left - width), max(top - y, 0.0, y - top - height))


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _decades(least: float, most: float) -> Iterator[float]:
    """Yield round numbers between the two: 1, 2 and 5 of each power of ten while there is room, else the powers alone."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    wide = math.log10(most / least) > 2.5
    stride = max(1, round(math.log10(most / least) / 6))
    for power in powers:
        if wide and power % stride:
            continue
        for factor in (1,) if wide else (1, 2, 5):
            if least <= factor * 10.0**power <= most:
                yield factor * 10.0**power


def _pairs(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, escape(text))
