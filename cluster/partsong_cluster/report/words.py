"""Words: numbers as the report and the terminal write them."""

from partsong.evaluation.figure import Figure
from partsong.evaluation.intervals import Interval
from partsong_cluster.report.contents import CostUnit, PlanLine

__all__ = ["counted", "money", "money_range", "percent", "points", "seconds", "seconds_range", "share", "share_range"]


def money(cost: float, unit: CostUnit) -> str:
    """Return a cost with its unit: `$0.42`, `310 CPU s`."""
    if unit == "cpu_s":
        return f"{_digits(cost)} CPU s"
    return f"${_digits(cost)}" if cost < 1 else f"${cost:,.2f}"


def money_range(within: Interval, unit: CostUnit) -> str:
    """Return an interval of costs: `$0.40\u20130.44`."""
    low, high = money(within.low, unit), money(within.high, unit)
    return f"{low.removesuffix(' CPU s')}\u2013{high.removeprefix('$')}"


def counted(count: int, noun: str) -> str:
    """Return how many of them: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(line: PlanLine) -> str:
    """Return the accuracy: `87.4 %`; a hyphen when nothing is graded."""
    return "-" if line.summary.accuracy is None else share(line.summary.accuracy)


def share(value: float) -> str:
    """Return a share: `87.4 %`."""
    return f"{value * 100:.1f} %".replace("100.0", "100").replace(" 0.0 ", " 0 ")


def share_range(within: Figure | Interval) -> str:
    """Return an interval of shares in per cent: `85.1\u201389.3`."""
    return f"{within.low * 100:.1f}\u2013{within.high * 100:.1f}"


def points(difference: float) -> str:
    """Return a difference of shares in points: `+1.2`."""
    return f"{difference * 100:+.1f}"


def seconds(value: float) -> str:
    """Return a time span: `3 ms`, `1.25 s`, `2 min 5 s`."""
    if value < 0.0005:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def seconds_range(within: Interval) -> str:
    """Return an interval of time spans, in the unit of its upper end: `0.9\u20131.2 s`."""
    scale, unit = next(((by, name) for by, name in ((1e6, "\u00b5s"), (1e3, "ms")) if within.high * by < 1000), (1.0, "s"))
    return f"{_digits(within.low * scale)}\u2013{_digits(within.high * scale)} {unit}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
