"""Coordinators: which of them gets a row, and who goes on with the rows of one that is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from ray.exceptions import RayError

from partsong.contracts import Notice, Row
from partsong.errors import PartsongError
from partsong.work.notices import Tell
from partsong_actors.remote_coordinator import RemoteCoordinator

__all__ = ["DIED", "Coordinators"]

DIED = Notice(
    code="coordinator-died",
    where="coordinator",
    what="its process died",
    doing="it is restarted, and its rows go on from what the journal holds of them",
)
_PAUSE_S = 0.5
_HEARD_WITHIN_S = 20.0
"""How long a coordinator is waited for that may be at work on a run which has a new leader: restarted, it takes a few seconds."""

_DEAF = Notice(
    code="coordinator-deaf",
    where="coordinator",
    what="its process stands still, or its node cannot be reached",
    doing="its rows are handed to another one, with what the journal holds of them",
)


class Coordinators:
    """All coordinators of a system, as one engine sees them."""

    def __init__(self, tell: Tell, room: str, fence: Callable[[str, int], Awaitable[None]] | None = None) -> None:
        """`room` says what a coordinator's node must have; `fence` takes a name's epoch from who may be at work still.

        Without it the rows of one that stands still are waited for: two at work on a row would pay its calls twice.
        """
        self._tell = tell
        self._room = room
        self._fence = fence
        self._all: list[RemoteCoordinator] = []
        self._turn = asyncio.Event()
        self._fencing: dict[str, asyncio.Future[None]] = {}
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> Sequence[RemoteCoordinator]:
        """All of them."""
        return self._all

    @property
    def unsent(self) -> int:
        """Rows, and cancellations, that wait for an earlier message to come back."""
        return sum(one.unsent for one in self._all)

    def add(self, coordinator: RemoteCoordinator) -> None:
        """Give it rows as soon as it takes them."""
        self._all.append(coordinator)
        coordinator.come()

    async def chosen(self, row: Row) -> RemoteCoordinator:
        """Return the one with the fewest rows under way, as soon as there is any. Raises what keeps all of them from coming.

        Of equals the row's number chooses: the only row under way is always the same one's.
        """
        while True:
            first = row.row % len(self._all)
            in_turn = [*self._all[first:], *self._all[:first]]
            up = [one for one in in_turn if one.up]
            if up:
                return min(up, key=_under_way)
            self._raise_if_all_failed()
            self._turn.clear()
            await self._turn.wait()

    async def instead_of(self, lost: RemoteCoordinator, row: Row) -> RemoteCoordinator:
        """Return who goes on with a row of one that was lost: itself if it is back first, else another, when the lost one is fenced."""
        chosen = await self.chosen(row)
        if lost.up or chosen is lost:
            return lost
        return chosen if await self._surely_fenced(lost) else lost

    async def at_work_on(self, run: str, epoch: int) -> tuple[dict[int, RemoteCoordinator], bool]:
        """Return who works which of the run's rows already; from now on rows of its earlier epochs are refused.

        One that cannot be asked within a while counts as lost, and is fenced: then (True) rows may have calls that were journalled lately.
        """
        found: dict[int, RemoteCoordinator] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_WITHIN_S):
                await self._all_settled()
        unheard = [one for one in self._all if not one.up and one.failed is None] if self._fence is not None else []
        for one in unheard:
            await self._surely_fenced(one)
        for one in self._all:
            if one.up:
                with suppress(RayError, TimeoutError):  # it has just gone: what the journal holds is all there is
                    found |= dict.fromkeys(await one.rows(run, epoch), one)
        return found, bool(unheard)

    def leave(self) -> None:
        """Wait for none of them any more."""
        for one in self._all:
            one.leave()
        for passing in self._passing:
            passing.cancel()

    async def any_up(self) -> None:
        """Return when there is one that takes rows. Raises what keeps all of them from coming."""
        while not any(one.up for one in self._all):
            self._raise_if_all_failed()
            self._turn.clear()
            await self._turn.wait()

    def turned(self, coordinator: RemoteCoordinator) -> None:
        """One has come, gone, turned deaf, hears again, waits for a node, or has failed."""
        if coordinator.up:
            self._fencing.pop(coordinator.name, None)
        if coordinator.failed is not None:
            self._tell(_failed(coordinator.name, coordinator.failed))
        elif coordinator.waits_for_a_node:
            self._tell(_waits(coordinator.name, self._room))
        if self._fence is not None and any(one.up for one in self._all):
            for deaf in self._all:
                if deaf.deaf and deaf.under_way:
                    passing = asyncio.create_task(self._passed_on(deaf))
                    self._passing.add(passing)
                    passing.add_done_callback(self._passing.discard)
        self._turn.set()

    async def _passed_on(self, deaf: RemoteCoordinator) -> None:
        """Hand its rows to others, when it cannot append any more what they would not know of."""
        if await self._surely_fenced(deaf):
            self._tell(_DEAF)
            deaf.give_up()

    async def _surely_fenced(self, lost: RemoteCoordinator) -> bool:
        """Return whether it was fenced before it was back; while the store is away, there is nothing that its rows could go on from."""
        if self._fence is None:
            return True
        while not lost.up:
            try:
                await asyncio.shield(self._fenced(lost, self._fence))
            except (PartsongError, RayError):
                await asyncio.sleep(_PAUSE_S)
            else:
                return True
        return False

    def _fenced(self, lost: RemoteCoordinator, fence: Callable[[str, int], Awaitable[None]]) -> asyncio.Future[None]:
        """Fence it, once for all its rows."""
        known = self._fencing.get(lost.name)
        if known is None or (known.done() and known.exception() is not None):
            known = self._fencing[lost.name] = asyncio.ensure_future(fence(lost.name, lost.epoch))
        return known

    async def _all_settled(self) -> None:
        """Return when each of them takes rows, or never will."""
        while not all(one.up or one.failed is not None for one in self._all):
            self._turn.clear()
            await self._turn.wait()

    def _raise_if_all_failed(self) -> None:
        failures = [one.failed for one in self._all if one.failed is not None]
        if len(failures) == len(self._all):
            raise failures[0]


def _under_way(coordinator: RemoteCoordinator) -> int:
    return coordinator.under_way


def _waits(name: str, room: str) -> Notice:
    doing = f"it needs {room}; rows wait, or go to others" if room else "rows wait, or go to others"
    return Notice(code="no-node", where=name, what="it has no node yet", doing=doing)


def _failed(name: str, error: PartsongError) -> Notice:
    return Notice(code="coordinator-failed", where=name, what=error.problems[0].what, doing="rows go to others, if there are any")
