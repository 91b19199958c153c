"""The port: all that a plan sees of the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from partsong.contracts import Answer, Candidate, Failure, Task

if TYPE_CHECKING:
    from partsong.merging.rule import MergeRule

__all__ = ["Port", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the plan's tree, stable over runs: the journal keys calls by it."""

    path: str = ""

    def __truediv__(self, part: str | int) -> "Step":
        return Step(f"{self.path}/{part}" if self.path else str(part))

    def __str__(self) -> str:
        return self.path


class Port(Protocol):
    """How a plan asks and merges; behind it a Ray pool, the inline engine, or recorded outcomes.

    It keeps the row's deadline and budget: past either, `ask` answers with a failure and makes no call.
    """

    async def ask(self, name: str, task: Task, step: Step, *, final: bool = False) -> Answer | Failure:
        """Ask a model or a plan by its name.

        `final` says that the reply, if it is an answer, will be the row's own whatever it says, so that its text may be streamed.
        """
        ...

    async def merge(self, rule: "MergeRule", task: Task, candidates: Sequence[Candidate], step: Step) -> Answer | Failure:
        """Make one answer of several candidates (in their given order, which breaks ties)."""
        ...

    def skilled(self, skill: str) -> Sequence[str]:
        """Return the models with this skill, in the mesh file's order."""
        ...
