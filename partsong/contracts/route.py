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
    """In words that are the same for rows alike, so that rows can be counted by it."""
    estimates: str = ""
    """What a learned gate thought of this very row: `mini 0.93 at $0.0002; large 0.95 at $0.004`; empty where no gate decided."""
    propensity: Probability | None = None
    """How likely this choice was, where chance decided; None where it did not."""
    experiment: str = ""
    """The experiment that chose between its arms; empty when none did."""
    arm: Arm | None = None
    """Which arm of it this is."""

    @property
    def in_words(self) -> str:
        """The reason, with what was thought of this row."""
        return f"{self.reason}: {self.estimates}" if self.estimates else self.reason
