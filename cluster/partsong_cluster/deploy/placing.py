"""Placing: which machines an actor fits on, by its amounts and label selectors, and how many of it fit."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from partsong_cluster.deploy.schema import Autoscaling, Deploy, Reserved

__all__ = ["Machine", "Wanted", "capacity", "counted", "machines_of", "matches", "misfit", "selector_problem", "total"]

_LISTED = re.compile(r"in\((.*)\)")
_VALUE = r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_SELECTOR = re.compile(rf"!?(in)?\({_VALUE}(, ?{_VALUE})*\)|!?{_VALUE}")
"""As Ray reads label selectors."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Machines of one kind, or one machine of a cluster."""

    name: str
    amounts: Mapping[str, float]
    """What Ray counts on each, by Ray's names: `CPU`, `GPU`, `memory`, and those of your own."""
    labels: Mapping[str, str] = field(default_factory=dict)
    most: int = 1
    """How many there can be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Actors of one kind."""

    what: str
    """As an error calls one: `a worker of cheap`."""
    amounts: Mapping[str, float]
    labels: Mapping[str, str]
    least: int
    """That are there always."""
    most: int
    path: tuple[str, ...]
    """Where the deploy file speaks of them."""


def counted(reserved: Reserved) -> dict[str, float]:
    """Return the amounts by Ray's names; what is none is left out."""
    named = {"CPU": reserved.cpu, "GPU": getattr(reserved, "gpu", 0.0), "memory": reserved.memory or 0, **reserved.custom}
    return {name: float(amount) for name, amount in named.items() if amount}


def machines_of(deploy: Deploy) -> list[Machine]:
    """Return the machines that the deploy file names; none when it leaves them to the cluster."""
    scaling = deploy.autoscaling
    if scaling is None:
        return []
    kinds = [Machine(name, counted(kind.resources), kind.labels, _at_most(kind.max, scaling)) for name, kind in scaling.node_types.items()]
    head = counted(scaling.head.resources)
    if kinds and not scaling.head.works:
        head.pop("CPU", None)
        head.pop("GPU", None)
    return [*kinds, Machine("the head", head, scaling.head.labels)]


def _at_most(count: int, scaling: Autoscaling) -> int:
    return count if scaling.max_nodes is None else min(count, scaling.max_nodes)


def matches(selector: str, value: str | None) -> bool:
    """Return whether a node's label is what Ray's selector asks for: `v`, `in(a, b)`, `!v`, `!in(a, b)`."""
    asked = selector.removeprefix("!")
    listed = _LISTED.fullmatch(asked)
    words = {word.strip() for word in listed[1].split(",")} if listed else {asked}
    return (value in words) != selector.startswith("!")


def selector_problem(selector: str) -> bool:
    """Return whether Ray would refuse the selector."""
    return _SELECTOR.fullmatch(selector) is None


def misfit(wanted: Wanted, machine: Machine) -> str:
    """Return why one of them cannot be on such a machine; empty when it can."""
    for name, selector in wanted.labels.items():
        if not matches(selector, machine.labels.get(name)):
            has = machine.labels.get(name)
            return f"its label {name} is {has!r}" if has is not None else f"it has no label {name}"
    for name, amount in wanted.amounts.items():
        has_amount = machine.amounts.get(name, 0.0)
        if amount > has_amount:
            return f"it has {_shown(name, has_amount)}"
    return ""


def capacity(wanted: Wanted, machines: Iterable[Machine], max_nodes: int | None = None) -> float:
    """Return how many of them fit if nothing else is there; `math.inf` for what takes no room."""
    fits = [(machine, _on_one(wanted, machine)) for machine in machines if not misfit(wanted, machine)]
    if any(per == math.inf for _, per in fits):
        return math.inf
    total, left = 0.0, math.inf if max_nodes is None else max_nodes
    for machine, per in sorted(fits, key=lambda fit: -fit[1]):
        used = machine.most if machine.name == "the head" else min(machine.most, left)
        left -= 0 if machine.name == "the head" else used
        total += used * per
    return total


def _on_one(wanted: Wanted, machine: Machine) -> float:
    shares = [machine.amounts.get(name, 0.0) / amount for name, amount in wanted.amounts.items() if amount > 0]
    return math.floor(min(shares) + 1e-9) if shares else math.inf


def total(machines: Sequence[Machine], name: str) -> float:
    """Return how much of a resource all machines have."""
    return sum(machine.most * machine.amounts.get(name, 0.0) for machine in machines)


def _shown(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 2**30:.3g} GiB of memory"
    return f"{amount:g} {name}"
