"""Tenure: the right to act under a name, taken from the store and confirmed by it again and again.

An actor that is cut off goes on running for as long as it can, while Ray starts its successor elsewhere (docs/decisions/0010). Whoever
claims a name fences all earlier holders of it: the store refuses what they append. A holder that the store does not confirm makes no new
provider call and grants nothing; one that the store refuses ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from partsong.contracts.epoch import Epoch
from partsong.errors import EngineError, FencedError, StoreError
from partsong.work.clock import Clock

__all__ = ["Epochs", "Tenure", "Term"]

TermState = Literal["held", "unconfirmed", "lost"]

_log = logging.getLogger(__name__)


class Epochs(Protocol):
    """Where epochs are counted: the store."""

    def claim(self, name: str) -> Awaitable[Epoch]:
        """Return the next epoch of this name; it is durable, and fences all earlier ones."""
        ...

    def holds(self, epoch: Epoch) -> Awaitable[bool]:
        """Return whether it is still the latest of its name."""
        ...


class Term:
    """The machine: what was confirmed, when it was asked for, and what that is worth now.

    A confirmation counts from when it was asked for: the store may have given it at once, and a claim of another may have followed at once.
    So whoever claims a name, and lets `tenure_s` pass, acts alone under it.
    """

    def __init__(self, tenure_s: float) -> None:
        self._tenure_s = tenure_s
        self._until_s = -float("inf")
        self._lost = False

    def confirmed(self, asked_s: float) -> None:
        """The store has answered a question of that time: it is still held."""
        self._until_s = max(self._until_s, asked_s + self._tenure_s)

    def refused(self) -> None:
        """The store knows a later holder; there is no way back."""
        self._lost = True

    def state(self, now_s: float) -> TermState:
        """Return what the holder may do: act, wait, or end."""
        if self._lost:
            return "lost"
        return "held" if now_s < self._until_s else "unconfirmed"


class Tenure:
    """One holder's. `begin` it, and let `keep` run beside the work."""

    def __init__(
        self,
        name: str,
        epochs: Epochs,
        clock: Clock,
        *,
        tenure_s: float = 10.0,
        confirm_every_s: float = 2.0,
        turned: Callable[[TermState], None] = lambda _: None,
    ) -> None:
        """`tenure_s` is how long a confirmation counts; `turned` hears when it is held, not confirmed any more, or lost."""
        self._name = name
        self._epochs = epochs
        self._clock = clock
        self._tenure_s = tenure_s
        self._confirm_every_s = confirm_every_s
        self._turned = turned
        self._term = Term(tenure_s)
        self._told: TermState = "unconfirmed"
        self._changed = asyncio.Event()
        self._epoch: Epoch | None = None

    @property
    def epoch(self) -> Epoch:
        """What is held; EngineError before `begin`."""
        if self._epoch is None:
            raise EngineError("not-started", f"{self._name} has not claimed its epoch yet", remedy="begin its tenure first")
        return self._epoch

    @property
    def under(self) -> tuple[Epoch, ...]:
        """What appends are made under."""
        return (self.epoch,)

    @property
    def state(self) -> TermState:
        """What the holder may do now."""
        return self._term.state(self._clock.now_s())

    @property
    def held(self) -> bool:
        """Whether the holder may act now."""
        return self.state == "held"

    async def begin(self) -> None:
        """Claim the name: from now on earlier holders are fenced. Raises StoreError."""
        asked_s = self._clock.now_s()
        self._epoch = await self._epochs.claim(self._name)
        self._term.confirmed(asked_s)
        self._tell()

    async def keep(self) -> None:
        """Have it confirmed for as long as it is; returns when it is lost."""
        while self.state != "lost":
            await self._clock.sleep(self._confirm_every_s)
            await self._confirm()

    async def confirmed(self) -> None:
        """Return when the holder may act, at once if it may now. Raises FencedError when it never may again."""
        while (state := self.state) != "held":
            if state == "lost":
                raise self.fenced()
            self._changed.clear()
            await self._changed.wait()

    def lose(self) -> None:
        """The store has refused an append made under it: it is lost before it is asked for again."""
        self._term.refused()
        self._tell()

    def fenced(self) -> FencedError:
        """Return the error that says that it is lost."""
        return FencedError("fenced", f"{self._name} has a later holder", remedy="nothing is to be done: the later holder goes on")

    async def _confirm(self) -> None:
        """Ask the store once; no answer in time is no confirmation."""
        asked_s = self._clock.now_s()
        asking = asyncio.ensure_future(self._epochs.holds(self.epoch))
        try:
            waiting = asyncio.ensure_future(self._clock.sleep(self._tenure_s))
            try:
                await asyncio.wait((asking, waiting), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
            if not asking.done():
                return
            if asking.result():
                self._term.confirmed(asked_s)
            else:
                self._term.refused()
        except (StoreError, EngineError):
            pass  # the store, or the journal's process, is away: asked again
        except Exception:  # noqa: BLE001  whatever it was, it confirms nothing; a holder that asks no more never hears that it is fenced
            _log.exception("%s could not be confirmed; it is asked again", self._name)
        finally:
            asking.cancel()
            self._tell()

    def _tell(self) -> None:
        state = self.state
        self._changed.set()
        if state != self._told:
            self._told = state
            self._turned(state)
