"""Words: numbers as the report and the terminal write them."""

from partsong_cluster.report.contents import CostUnit, PlanLine

__all__ = ["counted", "money", "percent", "points", "seconds", "share"]


def money(cost: float, unit: CostUnit) -> str:
    """Return a cost with its unit: `$0.42`, `310 CPU s`."""
    if unit == "cpu_s":
        return f"{_digits(cost)} CPU s"
    return f"${_digits(cost)}" if cost < 1 else f"${cost:,.2f}"


def counted(count: int, noun: str) -> str:
    """Return how many of them: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(line: PlanLine) -> str:
    """Return the accuracy: `87.4 %`; a hyphen when nothing is graded."""
    return "-" if line.summary.accuracy is None else share(line.summary.accuracy)


def share(value: float) -> str:
    """Return a share: `87.4 %`."""
    return f"{value * 100:.1f} %".replace("100.0", "100").replace(" 0.0 ", " 0 ")


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


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
