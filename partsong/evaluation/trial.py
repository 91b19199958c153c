"""A trial: one row of an experiment, as far as the comparison of its arms goes."""

from dataclasses import dataclass

from partsong.contracts import Answer, Arm, Reply

__all__ = ["Trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one arm came to on a row."""

    arm: Arm
    share: float
    """The challenger's share of rows when chance chose; 0 or 1 where it had no part."""
    right: bool | None
    """None where there is nothing to grade it by; a failure is wrong."""
    failed: bool
    cost_usd: float
    latency_s: float
    """Of an answer; 0 of a failure."""
    stratum: str = ""
    """Rows alike in what they ask."""
    key: str = ""
    """What the arm was chosen by, where several rows have the same: they say together what one says."""

    @classmethod
    def of(cls, arm: Arm, share: float, reply: Reply, right: bool | None, stratum: str = "", key: str = "") -> "Trial":
        """Return the trial that a reply makes."""
        cost_usd = sum(line.cost_usd for line in reply.bill)
        latency_s = reply.latency_s if isinstance(reply, Answer) else 0.0
        return cls(arm, share, right, not isinstance(reply, Answer), cost_usd, latency_s, stratum, key)

    @property
    def by_chance(self) -> bool:
        """Whether either arm could have come of it."""
        return 0.0 < self.share < 1.0
