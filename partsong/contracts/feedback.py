"""Feedback: what somebody who used a row's answer made of it."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, model_validator

from partsong.contracts.frozen import Frozen, Probability

__all__ = ["Feedback"]

_NO_NUL = r"^[^\x00]*$"
"""PostgreSQL takes no NUL in a text."""


class Feedback(Frozen):
    """What one person made of one row's answer; of the same row by the same person the latest verdict counts, and the latest edit."""

    run: str
    row: NonNegativeInt
    by: Annotated[str, Field(max_length=200, pattern=_NO_NUL)] = ""
    """Who says so; whoever gives no name is one person."""
    score: Probability | None = None
    """1 right, 0 wrong; anything between is how right. None where nothing was said of that."""
    edited: Annotated[str, Field(max_length=100_000, pattern=_NO_NUL)] | None = None
    """The text that the person made of the answer; None where it was not said."""
    comment: Annotated[str, Field(max_length=10_000, pattern=_NO_NUL)] = ""
    at_s: float = 0.0
    """Unix time."""

    @model_validator(mode="after")
    def _says_something(self) -> "Feedback":
        if self.score is None and self.edited is None:
            raise ValueError("neither a score nor an edited text")
        return self
