"""A plan: a frozen piece of the mesh file that knows how to answer a task through the port."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from partsong.contracts import Frozen, Name, Reply, Task
from partsong.plans.port import Port, Step

__all__ = ["Plan"]


class Plan(Frozen, ABC):
    """One way of combining models; its fields are its entry in the mesh file."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `cascade`."""

    @abstractmethod
    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """Answer the task, asking and merging through the port alone."""

    @abstractmethod
    def asks(self) -> Iterator[Name]:
        """Yield every model or plan it may ask (for the checks on unknown names and cycles)."""

    def most_asks(self) -> Iterator[Name]:
        """Yield the same names, each as often as one task may ask it at most (for what a row can cost)."""
        return self.asks()
