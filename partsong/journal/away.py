"""Away: a store that cannot be reached for now; who writes waits for it, and writes again: nothing is lost."""

from partsong.contracts import Notice
from partsong.errors import PartsongError, Place, StoreError

__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "away", "away_notice", "is_away"]

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between two attempts: they follow one another less and less soon."""

_CODE = "store-away"


def away(what: str, at: Place) -> StoreError:
    """Return the error of a store that cannot be reached for now."""
    return StoreError(_CODE, what, at=at, remedy="see that it runs and can be reached from here: what waits for it goes on then")


def is_away(error: PartsongError) -> bool:
    """Return whether the error will pass when the store is back."""
    return error.code == _CODE


def away_notice(error: PartsongError) -> Notice:
    """Return what the user is told of it."""
    problem = error.problems[0]
    where = str(problem.at) if problem.at else "store"
    return Notice(code=_CODE, where=where, what=problem.what, doing="everything waits until it is back; nothing is lost")
