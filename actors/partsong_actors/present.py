"""Present: what is so of a system now, where an actor's arguments only say what was so when it was made, and what is too large for them.

Ray's head keeps it beside the actors themselves, for just as long: it is there again when a head with fault tolerance is, and gone when the
system is. Only what a killed driver left of its passing system stays until its Ray ends.
"""

import json
from collections.abc import Iterable

from ray.experimental import internal_kv as head

from partsong_actors.setup import Setup

__all__ = ["callers_of", "entrusted", "forget", "present", "remember", "remember_callers", "whole"]

_NAMESPACE = b"partsong"


def present(setup: Setup) -> Setup:
    """Return what the system was last changed to; as it is where it never was."""
    kept = _kept(setup, "setup") if setup.system.lasting else None
    return setup if kept is None else Setup.model_validate_json(kept)


def remember(setup: Setup) -> None:
    """Keep what the system is changed to."""
    if setup.system.lasting:
        head._internal_kv_put(_key(setup, "setup"), setup.model_dump_json().encode(), overwrite=True, namespace=_NAMESPACE)


def entrusted(setup: Setup) -> Setup:
    """Return what coordinators are made with: the mesh without what was learned, which is left with Ray's head.

    A large argument ends with the process that made the actor, and then no successor of the actor could be started: Ray warns of each.
    """
    if setup.lean == setup:
        return setup
    head._internal_kv_put(_key(setup, f"mesh-{setup.mesh_hash}"), setup.mesh, overwrite=False, namespace=_NAMESPACE)
    return setup.lean


def whole(setup: Setup) -> Setup:
    """Return what `entrusted` was given."""
    mesh = _kept(setup, f"mesh-{setup.mesh_hash}")
    return setup if mesh is None else setup.model_copy(update={"mesh": mesh})


def callers_of(setup: Setup) -> frozenset[str]:
    """Return who has ever joined the system's pools."""
    kept = _kept(setup, "callers") if setup.system.lasting else None
    return frozenset(json.loads(kept)) if kept else frozenset()


def remember_callers(setup: Setup, callers: Iterable[str]) -> None:
    """Keep who has joined the pools: their successor waits for all of them."""
    if setup.system.lasting:
        head._internal_kv_put(_key(setup, "callers"), json.dumps(sorted(callers)).encode(), overwrite=True, namespace=_NAMESPACE)


def forget(system: str, namespace: str) -> None:
    """The system has ended."""
    head._internal_kv_del(f"{namespace}/{system}/".encode(), del_by_prefix=True, namespace=_NAMESPACE)


def _kept(setup: Setup, what: str) -> bytes | None:
    return head._internal_kv_get(_key(setup, what), namespace=_NAMESPACE) or None


def _key(setup: Setup, what: str) -> bytes:
    return f"{setup.system.namespace}/{setup.system.name}/{what}".encode()
