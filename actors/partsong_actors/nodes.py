"""Nodes: which of the cluster's are going away, and whether any could ever take a worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray import _raylet
from ray._private import state as ray_state

from partsong.contracts import Notice, Resources
from partsong.errors import EngineError

__all__ = ["Node", "Nodes", "Room", "fits", "no_node_comes", "room", "waits_for_a_node"]

Room = Literal["now", "full", "never"]


@dataclass(frozen=True, slots=True)
class Node:
    """One that is alive."""

    id: str
    resources: Mapping[str, float]
    """In all, whether used or not."""
    labels: Mapping[str, str]
    free: Mapping[str, float]
    """What of it is not used."""


class Nodes:
    """The cluster that this process is connected to."""

    def __init__(self) -> None:
        self._head: Any = None

    def alive(self) -> Sequence[Node]:
        """Return those that are there."""
        known: Any = ray
        known_more: Any = ray_state
        free = known_more.available_resources_per_node()
        return [
            Node(one["NodeID"], one["Resources"], one.get("Labels") or {}, free.get(one["NodeID"], {}))
            for one in known.nodes()
            if one["Alive"]
        ]

    def leaving(self) -> frozenset[str]:
        """Return the ids of those that are being drained, or about to be taken away."""
        if self._head is None:
            raylet: Any = _raylet
            self._head = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
        return frozenset(self._head.get_draining_nodes())

    def unplaced(self, actor: str) -> bool:
        """Whether the actor of this id has no process on any node yet, or no more."""
        found: Any = ray_state.actors(actor)
        return bool(found) and found["State"] in _NOWHERE


def fits(need: Resources, node: Node) -> bool:
    """Whether the node could take such a worker if it were empty; its labels are compared where a selector is a plain value."""
    labelled = all(_matches(wanted, node.labels.get(name)) for name, wanted in need.labels.items())
    return labelled and _fits(need, node.resources)


def room(need: Resources, nodes: Sequence[Node]) -> Room:
    """Return whether a node has room for such a worker, could have if it were emptier, or none ever has."""
    could = [node for node in nodes if fits(need, node)]
    if not could:
        return "never"
    return "now" if any(_fits(need, node.free) for node in could) else "full"


def waits_for_a_node(model: str, need: Resources, nodes: Sequence[Node]) -> Notice:
    """Return what is told of a worker that no node has room for."""
    if room(need, nodes) == "full":
        what = f"a worker waits for a node with room for {_told(_amounts(need), need.labels)}: those that could take it are full"
    else:
        what = f"a worker waits for {_wanted_and_there(need, nodes)}"
    doing = "it starts when there is one; until then its calls wait, or go to the other workers"
    return Notice(code="no-node", where=model, what=what, doing=doing)


def no_node_comes(model: str, need: Resources, nodes: Sequence[Node]) -> EngineError:
    """Return why no worker of the model can start, where no node could ever take one and none has come."""
    what = f"no worker of {model} can start: it needs {_wanted_and_there(need, nodes)}"
    return EngineError("no-node", what, remedy=f"add a node that has it, or ask for less: `models.{model}.resources`")


def _wanted_and_there(need: Resources, nodes: Sequence[Node]) -> str:
    there = "; ".join(sorted({_told(_of_interest(node, need), node.labels if need.labels else {}) for node in nodes}))
    return f"a node with {_told(_amounts(need), need.labels)}: none has it; nodes have {there}"


def _amounts(need: Resources) -> dict[str, float]:
    amounts = {"CPU": need.cpu, "GPU": need.gpu, "memory": float(need.memory or 0)} | dict(need.custom)
    return {name: amount for name, amount in amounts.items() if amount}


def _of_interest(node: Node, need: Resources) -> dict[str, float]:
    return {name: node.resources.get(name, 0.0) for name in ({"CPU": 0.0} | _amounts(need))}


def _told(amounts: Mapping[str, float], labels: Mapping[str, str]) -> str:
    parts = [_amount(name, amount) for name, amount in amounts.items()]
    own = [f"{name}={value}" for name, value in labels.items() if not name.startswith("ray.io/node-id")]
    return ", ".join([*parts, *own]) or "nothing in particular"


def _amount(name: str, amount: float) -> str:
    return f"{amount / 1e9:.3g} GB memory" if name == "memory" else f"{_UNITS.get(name, name)} {amount:g}"


def _fits(need: Resources, there: Mapping[str, float]) -> bool:
    return all(there.get(name, 0.0) >= amount for name, amount in _amounts(need).items())


_UNITS = {"CPU": "cpu", "GPU": "gpu"}
_NOWHERE = frozenset({"DEPENDENCIES_UNREADY", "PENDING_CREATION", "RESTARTING"})


def _matches(wanted: str, label: str | None) -> bool:
    """Compare as Ray does: `value`, `!value`, `in(a, b)`, `!in(a, b)`."""
    negated, rest = wanted.startswith("!"), wanted.removeprefix("!")
    values = [one.strip() for one in rest[3:-1].split(",")] if rest.startswith("in(") and rest.endswith(")") else [rest]
    return (label in values) != negated
