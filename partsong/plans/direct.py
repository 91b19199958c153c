"""Direct: one model or plan answers, under a name of its own."""

from collections.abc import Iterator
from typing import ClassVar

from partsong.contracts import Name, Reply, Task
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step

__all__ = ["Direct"]


class Direct(Plan):
    """`{direct: mini}`: asks one model or plan and answers what it answers."""

    kind: ClassVar[str] = "direct"
    bare: ClassVar[str] = "ask"

    ask: Name
    """The model or plan asked."""

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        return await port.ask(self.ask, task, step / self.ask, final=True)

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        yield self.ask
