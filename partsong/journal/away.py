"""Away: a store that cannot be reached for now; who writes waits for it, and writes again: nothing is lost."""

from partsong.contracts import Notice
from partsong.errors import PartsongError, Place, StoreError

__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "away", "away_notice", "is_away", "passes"]

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
"""Between two attempts: they follow one another less and less soon."""

_CODE = "store-away"

_TO_BE_MENDED = frozenset(
    {
        "literal-secret",
        "missing-secret",
        "store-cannot-open",
        "store-changed",
        "store-foreign",
        "store-missing",
        "store-newer",
        "store-not-a-database",
        "store-older",
        "store-package",
        "store-read-only",
        "store-refused",
        "store-scheme",
    }
)
"""What a store says that cannot be opened until somebody does something about it."""


def away(what: str, at: Place) -> StoreError:
    """Return the error of a store that cannot be reached for now."""
    return StoreError(_CODE, what, at=at, remedy="see that it runs and can be reached from here: what waits for it goes on then")


def is_away(error: PartsongError) -> bool:
    """Return whether the error will pass when the store is back."""
    return error.code == _CODE


def passes(error: PartsongError) -> bool:
    """Return whether a store that cannot be opened now may be later, without anybody's doing."""
    return isinstance(error, StoreError) and error.code not in _TO_BE_MENDED


def away_notice(error: PartsongError) -> Notice:
    """Return what the user is told of it."""
    problem = error.problems[0]
    where = str(problem.at) if problem.at else "store"
    return Notice(code=_CODE, where=where, what=problem.what, doing="everything waits until it is back; nothing is lost")
