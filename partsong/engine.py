"""An engine: what answers rows, in this process or over Ray; both have this one face."""

from collections.abc import Callable
from typing import Protocol

from partsong.contracts import Row, RowOutcome
from partsong.journal.port import JournalPort
from partsong.telemetry import Telemetry

__all__ = ["Engine"]


class Engine(Protocol):
    """Answers rows of one mesh. Start it with `async with`."""

    @property
    def journal(self) -> JournalPort:
        """The journal that holds what this engine finishes."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """Where this process's spans and levels go."""
        ...

    @property
    def concurrency(self) -> int:
        """Rows worth having in flight: enough to keep every worker busy, no more."""
        ...

    def over(self, run: str) -> None:
        """Forget the run: no more of its rows will come in this session. What the journal holds of it stays."""
        ...

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        """Answer one row; its record is durable when this returns.

        A plan's failure is data (`RowOutcome.reply`); PartsongError means that the engine itself cannot go on. `on_text` gets the text of
        the final reply as it comes, where the plan allows it and the engine runs in this process.
        """
        ...
