"""System: the actors that answer rows together, found by their names or made; and its orderly end."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from partsong_actors.coordinator import CoordinatorActor, _CoordinatorActor
from partsong_actors.journal import JournalActor, _JournalActor
from partsong_actors.news import key_of
from partsong_actors.nodes import Nodes
from partsong_actors.pool import ModelPool, _ModelPool
from partsong_actors.present import entrusted, forget
from partsong_actors.setup import NAMESPACE, Health, Setup
from partsong_actors.staff import StaffActor, _StaffActor
from partsong_actors.synthesizer import SynthesizerActor, _SynthesizerActor

__all__ = ["System", "end_system", "names_of"]

_ENDED_IN_TURN = (("job/",), ("coordinator-",), ("staff",), ("worker/", "pools", "synthesizer-"), ("journal-",))
"""Who writes ends before what is written to."""

_FINISHED = frozenset({"coordinator-"})
"""Kinds that have work under way which is to be finished first."""

_CLOSED = frozenset({"coordinator-", "staff", "journal-"})
"""Kinds that have something to bring to an end."""


@dataclass(frozen=True, slots=True)
class System:
    """Handles of one system's actors."""

    journals: "Sequence[ActorProxy[_JournalActor]]"
    pools: "ActorProxy[_ModelPool]"
    synthesizers: "Sequence[ActorProxy[_SynthesizerActor]]"
    coordinators: "Sequence[ActorProxy[_CoordinatorActor]]"
    staff: "ActorProxy[_StaffActor] | None"
    """None where workers are started by the process that made the system."""

    @classmethod
    def of(cls, setup: Setup) -> "System":
        """Return the system; of one that lasts, what is there already is found, and what is not is made."""
        spec, around, lean, setup = setup.system, setup.around, setup.lean, entrusted(setup)
        journals = [JournalActor.options(**spec.options("journal", around.journal(n))).remote(lean) for n in range(spec.journal_shards)]
        names = [around.coordinator(n) for n in range(spec.coordinators)]
        pools = ModelPool.options(**spec.options("pools", around.pools)).remote(lean, names, around.journal())
        mergers = [around.synthesizer(n) for n in range(spec.synthesizers)]
        synthesizers = [SynthesizerActor.options(**spec.options("synthesizer", name)).remote(lean, name) for name in mergers]
        coordinators = [CoordinatorActor.options(**spec.options("coordinator", name)).remote(setup, name) for name in names]
        staff = StaffActor.options(**spec.options("staff", around.staff)).remote(lean) if spec.lasting else None
        return cls(journals, pools, synthesizers, coordinators, staff)

    @property
    def all(self) -> Sequence[Any]:
        """All of them, the journal last."""
        return [*self.coordinators, *([] if self.staff is None else [self.staff]), self.pools, *self.synthesizers, *self.journals]

    def end_pools(self) -> None:
        """End the pools for good: whoever waits for them hears that they are gone."""
        pools: Any = self.pools
        ray.kill(pools)


def names_of(system: str, namespace: str = NAMESPACE) -> Sequence[str]:
    """Return the names of all actors that a system has on the cluster that this process is connected to."""
    there = ray.util.list_named_actors(all_namespaces=True)
    return [one["name"] for one in there if one["namespace"] == namespace and one["name"].startswith(f"{system}/")]


async def end_system(system: str, namespace: str = NAMESPACE, closes_within_s: float = Health().closes_within_s) -> Sequence[str]:
    """End a system wherever it was started; return what it had. Rows under way are finished, no others are begun.

    What takes longer than `closes_within_s`, to finish or to close, is ended all the same.
    """
    names, nodes = await asyncio.to_thread(names_of, system, namespace), Nodes()
    for kinds in _ENDED_IN_TURN:
        in_turn = [(kind, name) for name in names for kind in kinds if name.removeprefix(f"{system}/").startswith(kind)]
        actors = [(kind, actor) for kind, name in in_turn if (actor := _found(name, namespace)) is not None]
        at_work = [(kind, actor) for kind, actor in actors if not await asyncio.to_thread(nodes.unplaced, key_of(actor))]
        await _closed([actor.finish.remote() for kind, actor in at_work if kind in _FINISHED], closes_within_s)
        await _closed([actor.close.remote() for kind, actor in at_work if kind in _CLOSED], closes_within_s)
        for _, actor in actors:
            ray.kill(actor)
    left = [actor for name in await asyncio.to_thread(names_of, system, namespace) if (actor := _found(name, namespace)) is not None]
    for actor in left:  # started meanwhile
        ray.kill(actor)
    await asyncio.to_thread(forget, system, namespace)
    return names


def _found(name: str, namespace: str) -> Any:
    try:
        return ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None


async def _closed(closing: Sequence[Awaitable[None]], within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await asyncio.gather(*closing, return_exceptions=True)
    except (TimeoutError, RayError):
        pass
