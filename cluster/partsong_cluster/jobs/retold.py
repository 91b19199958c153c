"""Retold: an error that a job of the cluster ended with, as its log tells it, raised again where the job is followed."""

from collections.abc import Mapping, Sequence

from partsong import errors
from partsong.errors import PartsongError, Place, Problem

__all__ = ["retold", "told"]


def told(error: PartsongError) -> tuple[Mapping[str, str], ...]:
    """Return its problems, as JSON has them."""
    return tuple({"code": one.code, "what": one.what, "at": str(one.at or ""), "remedy": one.remedy} for one in error.problems)


def retold(family: str, problems: Sequence[Mapping[str, str]]) -> PartsongError:
    """Return the error of this class that has these problems, so that its exit code is the same here as there."""
    kind = getattr(errors, family, PartsongError)
    known: type[PartsongError] = kind if isinstance(kind, type) and issubclass(kind, PartsongError) else PartsongError
    return known.of([Problem(p["code"], p["what"], Place(p["at"]) if p.get("at") else None, p.get("remedy", "")) for p in problems])
