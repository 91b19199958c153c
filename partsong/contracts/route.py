"""A route: which model or plan a row went to, why, and how likely that was where chance had a part in it."""

from typing import Literal

from partsong.contracts.frozen import Frozen, Probability

__all__ = ["Arm", "Route"]

Arm = Literal["champion", "challenger"]
"""A side of an experiment: what is in use, and what may take its place."""


class Route(Frozen):
    """Which model or plan a row went to, and why."""

    use: str
    reason: str
    propensity: Probability | None = None
    """How likely this choice was, where chance decided; None where it did not."""
    experiment: str = ""
    """The experiment that chose between its arms; empty when none did."""
    arm: Arm | None = None
    """Which arm of it this is."""
