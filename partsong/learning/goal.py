"""Goal: what a frugal ensemble aims for."""

from enum import StrEnum

__all__ = ["Goal"]


class Goal(StrEnum):
    """What to aim for."""

    BEST = "best"
    """Cheapest to reach the best single model's accuracy."""
    COST = "cost"
    """Most accurate at no more than the best single model's cost."""
    VOTE = "vote"
    """Cheapest to reach the log-odds vote of all."""
