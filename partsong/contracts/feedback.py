"""Feedback: what somebody who used a row's answer made of it."""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from partsong.contracts.frozen import Frozen, Probability

__all__ = ["Feedback"]

_NO_NUL = r"^[^\x00]*$"
"""PostgreSQL takes no NUL in a text."""


class Feedback(Frozen):
    """One person's verdict on one row's answer; of the same row by the same person the latest counts."""

    run: str
    row: NonNegativeInt
    by: Annotated[str, Field(max_length=200, pattern=_NO_NUL)] = ""
    """Who says so; whoever gives no name is one person."""
    score: Probability
    """1 right, 0 wrong; anything between is how right."""
    comment: Annotated[str, Field(max_length=10_000, pattern=_NO_NUL)] = ""
    at_s: float = 0.0
    """Unix time."""
