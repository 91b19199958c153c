"""Members: an enumeration's members, each with the text under it."""

import ast
import inspect
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise
from typing import TypeVar

__all__ = ["members"]

Member = TypeVar("Member", bound=Enum)


def members(kind: type[Member]) -> Iterator[tuple[Member, str]]:
    """Yield the members in their order; one without a text under it is an error."""
    (made,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(made, ast.ClassDef)
    texts = {}
    for statement, below in pairwise([*made.body, ast.Pass()]):
        if isinstance(statement, ast.Assign) and isinstance(name := statement.targets[0], ast.Name):
            assert isinstance(below, ast.Expr), f"{kind.__name__}.{name.id} has no text under it"
            texts[name.id] = " ".join(str(ast.literal_eval(below.value)).split())
    for member in kind:
        yield member, texts[member.name]
