"""Explain: a schema's errors in plain words, each at its place in the file."""

from pydantic import ValidationError

from partsong.errors import Problem
from partsong.mesh.document import Piece

__all__ = ["explained"]


def explained(error: ValidationError, root: Piece) -> tuple[Problem, ...]:
    """Return one problem for each line of the error."""
    return tuple(Problem(line["type"], line["msg"], root.spot) for line in error.errors(include_url=False, include_input=False))
