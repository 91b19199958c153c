"""A merge rule: how several candidates become one answer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import JsonValue

from partsong.contracts import Candidate, Frozen, Name, Reply, Task

__all__ = ["MergeRule", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """A model call that a rule needs before it can combine (a judge's comparison, a fusing model's draft)."""

    name: str
    """The model or plan to ask."""
    task: Task
    part: str
    """Unique within the merge: its last part of the step path."""


class MergeRule(Frozen, ABC):
    """One way of merging, pure: it names the questions it needs answered, then combines; its fields are its entry in the mesh file."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `majority`."""

    def entry(self) -> JsonValue:
        """Return the rule as the mesh file writes it: `{"majority": {"kind": "number"}}`."""
        return {self.kind: self.model_dump(mode="json", by_alias=True, exclude_defaults=True)}

    def questions(self, task: Task, candidates: Sequence[Candidate]) -> Sequence[Question]:
        """Return the model calls needed; none for a rule that only counts."""
        return ()

    def asks(self) -> Iterator[Name]:
        """Yield every model or plan that `questions` may name."""
        return iter(())

    def most_asks(self, candidates: int) -> Iterator[Name]:
        """Yield the same names, each as often as merging so many candidates may ask it."""
        return self.asks()

    def members(self) -> Iterator[Name]:
        """Yield the members that the rule speaks of by name (their weights), so that a misspelt one is found."""
        return iter(())

    def on(self, task: Task) -> "MergeRule":
        """Return the rule as it counts on this task: with the weights of its kind, where those were learned."""
        return self

    def weight(self, source: str) -> float:
        """Return what a reply of this member weighs, times its candidate's own weight: what `decided` wants to know of a missing one."""
        return 1.0

    def decided(self, candidates: Sequence[Candidate], missing: Sequence[float]) -> bool:
        """Return whether no reply of the members still missing (given by weight) can change the outcome."""
        return False

    @abstractmethod
    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """Return one answer; `replies` answer the questions, in their order."""
