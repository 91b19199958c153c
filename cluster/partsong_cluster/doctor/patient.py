"""Patient: all that the checks look at, gathered once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from partsong.contracts import Frozen
from partsong.mesh import LoadedMesh
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.deploy import LoadedDeploy
from partsong_cluster.doctor.probe import Facts

__all__ = ["Clock", "ModelHealth", "Node", "Patient"]


class Clock(Frozen):
    """A node's clock against the one here."""

    offset_s: float
    """Above 0: it is ahead."""
    round_trip_s: float
    """The offset is known to half of this."""


class ModelHealth(Frozen):
    """What one machine has of what a model needs."""

    model: str
    weights: str | None = None
    """Of a local model: empty when they are there, else what is wrong; None: it needs none."""
    weights_remedy: str = ""
    key: str | None = None
    """Of a model with a key: empty when it can be read, else what is wrong; None: it needs none."""
    key_name: str = ""
    """What the mesh file calls it, never what it is."""
    asked: str | None = None
    """Of a model that was asked: empty when it answered, else its failure; None: it was not asked."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the cluster."""

    facts: Facts | None
    """None: it did not answer in time."""
    where: str
    ports: Mapping[int, str] = field(default_factory=dict)
    """What listens at Ray's own ports of it."""
    clock: Clock | None = None
    models: Sequence[ModelHealth] | None = None
    """None where Partsong could not look."""
    object_store_bytes: int = 0
    is_head: bool = False


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined; what was not given is None or empty, and its checks find nothing."""

    here: Facts
    nodes: Sequence[Node] = ()
    dashboard: Dashboard | None = None
    loaded: LoadedMesh | None = None
    deploy: LoadedDeploy | None = None
    models_here: Sequence[ModelHealth] = ()
    """Looked at here, when there is no cluster."""

    @property
    def machines(self) -> Sequence[Facts]:
        """The nodes that answered; this machine where there is no cluster."""
        return [node.facts for node in self.nodes if node.facts is not None] or [self.here]

    @property
    def clustered(self) -> bool:
        """Whether there is a cluster to look at."""
        return bool(self.nodes)
