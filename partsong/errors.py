"""Errors: what stops a command, each with a code, what was wrong, where, and what to do.

PartsongError
├── MeshError      the mesh file (every problem at once)
├── InputError     the input as a whole (one bad row is a Failure, not an error)
├── RunError       the run folder: locked, of another mesh, not writable
├── StoreError     the journal's store
├── WeightsError   model weights: missing, wrong sum
├── BudgetError    the next call could pass the run's dollars
├── FencedError    another holds the name by now: what was to be done is its to do
├── EngineError    Ray or the inline engine cannot start or has died
└── WireError      a message between actors: other version, truncated, not ours

A model call that goes wrong is no exception: it is a `Failure`, which plans decide about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

__all__ = [
    "BudgetError",
    "EngineError",
    "FencedError",
    "InputError",
    "MeshError",
    "PartsongError",
    "Place",
    "Problem",
    "RunError",
    "StoreError",
    "WeightsError",
    "WireError",
    "most_telling",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's files; line and column count from 1, 0 when unknown."""

    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    """Dotted path: `plans.faq.cascade.0.trust`."""

    def __str__(self) -> str:
        spot = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])
        return f"{spot} {self.field}".rstrip()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a stable code, what, where, what to do."""

    code: str
    what: str
    at: Place | None = None
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        lines += [f"  at {self.at}"] if self.at else []
        lines += [f"  {self.remedy}"] if self.remedy else []
        return "\n".join(lines)


class PartsongError(Exception):
    """Something a user can mend; `problems` holds at least one."""

    def __init__(self, code: str, what: str, *, at: Place | None = None, remedy: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(code, what, at, remedy),)
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """Return one error that carries all the problems found."""
        return _rebuilt(cls, problems)

    @property
    def code(self) -> str:
        """The first problem's code."""
        return self.problems[0].code

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.problems)


E = TypeVar("E", bound=PartsongError)


def _rebuilt(kind: type[E], problems: Sequence[Problem]) -> E:
    first = problems[0]
    error = kind(first.code, first.what, at=first.at, remedy=first.remedy)
    error.problems = tuple(problems)
    error.args = ("\n".join(map(str, problems)),)
    return error


class MeshError(PartsongError):
    """The mesh file cannot be used."""


class InputError(PartsongError):
    """The input as a whole cannot be read."""


class RunError(PartsongError):
    """The run folder cannot be used."""


class StoreError(PartsongError):
    """The journal's store cannot be used."""


class WeightsError(PartsongError):
    """Model weights are missing or are not what their sum says."""


class BudgetError(PartsongError):
    """The next call could pass a budget of the run: the run stops, and can go on with a larger one."""


class FencedError(PartsongError):
    """Somebody else holds the name by now: this holder's records are refused, and it ends."""


class EngineError(PartsongError):
    """The engine cannot start, or has died."""


class WireError(PartsongError):
    """A message between actors cannot be read."""


def most_telling(error: BaseException) -> BaseException:
    """Return the error itself, or of a group (tasks that failed together) the one that says most: Partsong's own before anybody else's."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [most_telling(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, PartsongError)), leaves[0])
