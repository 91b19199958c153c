"""Remote coordinator: a coordinator in another process, and whether rows can be given to it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from ray.actor import ActorProxy
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from partsong.contracts import Row, RowOutcome
from partsong.errors import EngineError, PartsongError
from partsong.journal.away import passes
from partsong_actors.again import BACK_WITHIN_S, own_error
from partsong_actors.bulk import Bulk
from partsong_actors.coordinator import OUTCOMES, ROWS, _CoordinatorActor
from partsong_actors.hearing import DEAF_AFTER_S
from partsong_actors.link import Link, LinkLostError
from partsong_actors.setup import Setup

__all__ = ["RemoteCoordinator"]

_ASKED_FOR_S = 10.0
"""How long one call may take to come back: one to an actor that no node has room for never does."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class RemoteCoordinator:
    """One coordinator, as one engine sees it."""

    def __init__(
        self,
        name: str,
        actor: "ActorProxy[_CoordinatorActor]",
        setup: Setup,
        turned: "Callable[[RemoteCoordinator], None]",
        *,
        back_within_s: float = BACK_WITHIN_S,
        deaf_after_s: float = DEAF_AFTER_S,
    ) -> None:
        """`turned` is called when it has come, gone, turned deaf, hears again, waits for a node, or has failed for good."""
        self.name = name
        self._actor = actor
        self._setup = setup
        self._tell_turned = turned
        self._back_within_s = back_within_s
        self._link: Link[Row, RowOutcome] = Link(self, ROWS, OUTCOMES, turned=self._turned, deaf_after_s=deaf_after_s)
        self._there = False
        self._coming: asyncio.Task[None] | None = None
        self.waits_for_a_node = False
        """Whether it has been away for so long that no node may have what it needs."""
        self.epoch = 0
        """What it claimed of its name at its start, as far as is known."""
        self.failed: PartsongError | None = None
        """Why it will never take rows."""

    @property
    def up(self) -> bool:
        """Whether it takes rows, as far as is known."""
        return self._there and not self._link.deaf

    @property
    def deaf(self) -> bool:
        """Whether it gives no sign of life, though it was not said to have died."""
        return self._there and self._link.deaf

    @property
    def under_way(self) -> int:
        """Rows that were given to it."""
        return self._link.pending

    @property
    def unsent(self) -> int:
        """See Link.unsent."""
        return self._link.unsent

    def come(self) -> None:
        """Wait, beside, until it takes rows."""
        if self._coming is None:
            self._coming = asyncio.create_task(self._came())

    async def answer(self, row: Row) -> RowOutcome:
        """See Coordinator.answer. Raises LinkLostError when its process dies meanwhile, or is given up."""
        try:
            return await self._link.request(row)
        except LinkLostError:
            if self._there and not self._link.deaf:
                self._there = False
                self.come()
                self._turned()
            raise

    async def rows(self, run: str, epoch: int) -> Sequence[int]:
        """Return the run's rows that are under way there; rows of its earlier epochs are refused from now on. Raises RayError."""
        async with asyncio.timeout(_ASKED_FOR_S):
            return await self._actor.rows.remote(run, epoch)

    def over(self, run: str) -> None:
        """See the actor's over."""
        self._actor.over.remote(run)

    def give_up(self) -> None:
        """Let go of the rows that were given to it: others work them. When it hears again it is told to stop."""
        self._link.give_up()

    def exchange(self, caller: str, envelope: bytes, bulk: Bulk = ()) -> Awaitable[bytes]:
        """See Correspondent; rows are whole: they may outlive whoever gives them."""
        return self._actor.exchange.remote(caller, envelope)

    async def close(self) -> None:
        """See the actor's close."""
        if self._coming is not None:
            self._coming.cancel()
        await self._actor.close.remote()

    def leave(self) -> None:
        """Wait for it no more."""
        if self._coming is not None:
            self._coming.cancel()

    async def _came(self) -> None:
        began_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while not await self._is_ready():
            away_s = time.monotonic() - began_s
            if self.failed is None and away_s > self._back_within_s and not self._setup.system.lasting:
                self.failed = self._lost()
            if self.failed is not None or away_s > self._setup.system.health.placed_within_s:
                self.waits_for_a_node = True
                self._turned()
            if self.failed is not None:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        self._there, self.waits_for_a_node, self._coming = True, False, None
        self._turned()

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_ASKED_FOR_S):
                self.epoch = await own_error(self._actor.ready.remote(self._setup))
        except PartsongError as error:
            if passes(error):
                return False  # it cannot claim its name yet
            self.failed = error
        except ActorUnavailableError:
            return False
        except RayActorError:
            self.failed = self._lost()
        except (TimeoutError, RayError):
            return False
        else:
            return True
        return False

    def _lost(self) -> EngineError:
        return EngineError("coordinator-lost", f"the process of {self.name} is gone", remedy="see Ray's logs; the run can be resumed")

    def _turned(self) -> None:
        self._tell_turned(self)
