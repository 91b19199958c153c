"""Stop: why and how hard a run is to end. First: no new rows, those in flight get a grace. Second: at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

__all__ = ["Outcome", "Stop", "on_signals"]


class Outcome(StrEnum):
    """How a session of a run ended."""

    COMPLETE = "complete"
    """Every row of the input (up to --limit) is answered or has failed."""
    INTERRUPTED = "interrupted"
    """Ctrl-C or SIGTERM."""
    BUDGET = "budget"
    """The next call could have passed --budget, or a limit of dollars in the mesh file."""
    DEADLINE = "deadline"
    """--deadline passed."""


class Stop:
    """What stands between a run and its next row."""

    def __init__(self) -> None:
        self.why: Outcome | None = None
        self.at_once = False
        self._asked = asyncio.Event()
        self._heard: list[Callable[[], None]] = []

    def listen(self, heard: Callable[[], None]) -> None:
        """Be told whenever stopping is asked for."""
        self._heard.append(heard)

    def ask(self, why: Outcome, *, at_once: bool = False) -> None:
        """Ask the run to stop; asked again, it stops at once."""
        self.at_once = at_once or self.why is not None
        self.why = self.why or why
        self._asked.set()
        for heard in self._heard:
            heard()

    async def asked(self) -> None:
        """Return when stopping has been asked for."""
        await self._asked.wait()


@contextmanager
def on_signals(interrupted: Callable[[], None]) -> Iterator[None]:
    """Call back on Ctrl-C and SIGTERM, on the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
