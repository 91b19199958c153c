"""News: what the pools and their members tell each other."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from ray.actor import ActorProxy

from partsong.contracts import Failure, ModelSpec, Notice
from partsong.errors import PartsongError
from partsong.pool.meter import NOTHING, Amounts
from partsong.pool.pool import Hand
from partsong.pool.purse import PurseWish
from partsong.pool.waits import Waited
from partsong_actors.setup import Setup
from partsong_actors.worker import _ModelWorker

__all__ = ["STAFF", "Lease", "Member", "PoolNews", "Recruit", "Staffing", "Welcome", "Wish", "WorkerReport", "key_of"]

STAFF = "staff"
"""The member that starts workers."""


def key_of(worker: "ActorProxy[_ModelWorker]") -> str:
    """Return the one name of a worker that survives its handle's copies."""
    known: Any = worker
    return str(known._actor_id.hex())


@dataclass(frozen=True, slots=True)
class Recruit:
    """A worker that was opened."""

    actor: "ActorProxy[_ModelWorker]"
    concurrency: int
    """Calls that it makes at once."""
    built: str
    """See built_from."""
    node: str
    """Ray's id of the node that it is on."""
    leaving: bool = False
    """Whether it was told to be drained."""
    away: bool = False
    """Whether its process is away."""

    @property
    def key(self) -> str:
        """What the pools know it by."""
        return key_of(self.actor)

    def hand(self, now_s: float) -> Hand:
        """Return what the pool's machine is told of it."""
        return Hand(self.key, self.concurrency, self.built, now_s if self.away else None)


@dataclass(frozen=True, slots=True)
class Lease:
    """What a caller that joins holds of a model's permits, and how many more it wants."""

    held: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the pools answer to a caller that joins."""

    epoch: int = 0
    """The number of their epoch; 0 where the pools end with whoever made them."""
    alone_for_s: float = 0.0
    """How long a caller may use what it holds without them; 0: for as long as it takes."""


@dataclass(frozen=True, slots=True)
class Staffing:
    """A model's workers, as the staff that joins knows them."""

    recruits: tuple[Recruit, ...]
    starting: int
    failed: PartsongError | None


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What the staff tells of one worker."""

    model: str
    kind: Literal["ready", "failed", "given-up", "no-room", "away", "leaves", "gone"]
    """It takes calls (again); it could not be started; it will not be, as its entry has changed; the nodes that could take it are full;
    its process is away; its node is going away; it has ended."""
    key: str = ""
    recruit: Recruit | None = None
    error: PartsongError | None = None


@dataclass(frozen=True, slots=True)
class PoolNews:
    """What the pools tell one member."""

    model: str
    kind: Literal[
        "granted",
        "recalled",
        "keep",
        "workers",
        "leave",
        "failed",
        "again",
        "leased",
        "ahead",
        "refused",
        "spec",
        "start",
        "drain",
        "end",
        "change",
        "notice",
    ]
    count: int = 0
    run: str = ""
    amounts: Amounts = NOTHING
    failure: Failure | None = None
    notice: Notice | None = None
    recruits: tuple[Recruit, ...] = ()
    error: PartsongError | None = None
    spec: ModelSpec | None = None
    """None with `spec`: the model is no longer there."""
    limited: bool = False
    key: str = ""
    setup: Setup | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """A caller wants permits of a model, or gives some back; wants amounts of what is limited; or has something to tell."""

    life: str
    model: str
    want: int = 0
    give_back: int = 0
    purse: PurseWish | None = None
    notice: Notice | None = None
    waited: Waited | None = None
    left: str = ""
    """The key of a worker that nothing of this caller is at any more."""


@dataclass(frozen=True, slots=True)
class Member:
    """A party as the pools see it; None among its news says that this life is over."""

    life: str
    news: "asyncio.Queue[PoolNews | None]" = field(default_factory=asyncio.Queue)
