"""Setup: what every actor of a system is told at its start, and what the system's actors are called."""

import os
import socket
import uuid
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from partsong.adapters.adapter import Surroundings
from partsong.adapters.discreet import adapter_of
from partsong.adapters.python import imported
from partsong.contracts import Frozen
from partsong.contracts.allowed import NOTHING, PYTHON_VARIABLE, Allowed, python_is_off
from partsong.errors import EngineError, Place
from partsong.mesh import Mesh
from partsong.mesh.secrets import model_secret, resolve
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.work.worker import Worker
from partsong_actors.metrics import started
from partsong_actors.traces import RayJobs

__all__ = ["NAMESPACE", "ActorKind", "Around", "Health", "Placement", "Setup", "SystemSpec", "own_version"]

NAMESPACE = "partsong"
"""Ray's namespace of systems that name no other."""

ActorKind = Literal["coordinator", "synthesizer", "journal", "pools", "staff", "job"]
"""Kinds of actors that a system places itself; workers are placed by their models."""

_MANY = 100_000
"""Concurrent calls an async actor takes: bounded by the callers' windows, not by Ray."""


def own_version() -> str:
    """Return the version of Partsong that this process runs."""
    try:
        return version("partsong")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0"


class Placement(Frozen):
    """What Ray reserves for each actor of a kind, and on which nodes it may be."""

    cpu: NonNegativeFloat = 0.0
    """Processors."""
    memory: PositiveInt | None = None
    """Bytes."""
    custom: dict[str, NonNegativeFloat] = {}
    """Amounts of resources that nodes declare, by name."""
    labels: dict[str, str] = {}
    """Labels that the node must have, as Ray's label selectors write them: `zone: in(a,b)`."""

    def __str__(self) -> str:
        wanted = [f"{self.cpu:g} CPU"] if self.cpu else []
        wanted += [f"{self.memory:,} bytes of memory"] if self.memory is not None else []
        wanted += [f"{amount:g} {name}" for name, amount in self.custom.items()]
        return ", ".join([*wanted, *(f"label {name}={value}" for name, value in self.labels.items())])

    def options(self) -> dict[str, Any]:
        """Return it as options of a Ray actor."""
        wanted: dict[str, Any] = {"num_cpus": self.cpu}
        wanted |= {"memory": self.memory} if self.memory is not None else {}
        wanted |= {"resources": dict(self.custom)} if self.custom else {}
        selector = {name: value.replace(" ", "") for name, value in self.labels.items()}  # Ray takes `in(a, b)` and matches no ` b`
        return wanted | ({"label_selector": selector} if selector else {})


class Health(Frozen):
    """How long what is waited for."""

    confirm_every_s: PositiveFloat = 2.0
    """How often the store is asked whether an epoch still holds."""
    tenure_s: PositiveFloat = 10.0
    """How long an epoch counts after it was last confirmed."""
    placed_within_s: PositiveFloat = 60.0
    """From when on it is told that an actor waits for a node with its resources."""
    node_comes_within_s: NonNegativeFloat = 900.0
    """How long a model's first worker waits for a node that could ever take it, before the model's calls fail: clouds take some minutes."""
    closes_within_s: PositiveFloat = 30.0
    """How long actors may take to close before they are ended all the same."""


class SystemSpec(Frozen):
    """One running system: what it is called, how many actors it has, and where they may be."""

    name: str
    """Its actors are called `{name}/...`."""
    namespace: str = NAMESPACE
    """Ray's namespace of its actors."""
    lasting: bool = False
    """Whether it goes on without the process that made it, and is found again by its name."""
    coordinators: PositiveInt = 1
    """Actors that work rows."""
    synthesizers: PositiveInt = 1
    """Actors that merge."""
    journal_shards: PositiveInt = 1
    """Actors that write the journal."""
    placed: dict[ActorKind, Placement] = {}
    """Where the actors of a kind may be; workers are placed by their model's `resources`."""
    python_adapter: bool = True
    """Whether the mesh may run Python code: models of adapter `python`, and functions that plans name."""
    health: Health = Health()
    """How long what is waited for."""

    @classmethod
    def passing(cls, *, coordinators: int = 1, namespace: str = NAMESPACE) -> Self:
        """Return a system that ends with its driver, of a name that no other on the cluster has."""
        return cls(name=f"partsong-{uuid.uuid4().hex}", namespace=namespace, coordinators=coordinators)

    @property
    def told_as(self) -> str:
        """What it is called among metrics, where a name for each passing system would stay for as long as the cluster."""
        return self.name if self.lasting else "passing"

    @property
    def jobs(self) -> RayJobs | None:
        """Its jobs, as spans are given to them; None where there are none."""
        return RayJobs(self.name, self.namespace) if self.lasting else None

    @property
    def around(self) -> "Around":
        """What its actors are called."""
        return Around(system=self.name, namespace=self.namespace)

    def synthesizer_of(self, coordinator: str) -> str:
        """Return the name of the synthesizer that a coordinator of this name asks: one after the other has each."""
        return self.around.synthesizer(int(coordinator.rpartition("-")[2]) % self.synthesizers)

    def room(self, kind: ActorKind) -> str:
        """Return what the node of an actor of this kind must have, in words; empty when any will do."""
        return str(self.placed.get(kind, Placement()))

    def options(self, kind: ActorKind, name: str) -> dict[str, Any]:
        """Return the options of its Ray actor of this kind and name; Ray never asks again by itself: what it repeats may be paid."""
        ray = {"max_concurrency": _MANY, "max_restarts": -1, "max_task_retries": 0, "enable_task_events": False}
        return self.kept(name) | ray | self.placed.get(kind, Placement()).options()

    def kept(self, name: str) -> dict[str, Any]:
        """Return the options that give an actor its name, and its life: as long as the driver's, or until it is ended."""
        named = {"name": name, "namespace": self.namespace}
        return named | ({"lifetime": "detached", "get_if_exists": True} if self.lasting else {})


class Around(Frozen):
    """Names of the actors of one system: a handle among an actor's arguments could be gone when it is restarted."""

    system: str
    namespace: str = NAMESPACE

    @property
    def pools(self) -> str:
        """All model pools."""
        return f"{self.system}/pools"

    @property
    def staff(self) -> str:
        """What starts workers."""
        return f"{self.system}/staff"

    def journal(self, shard: int = 0) -> str:
        """One writer of the journal."""
        return f"{self.system}/journal-{shard}"

    def synthesizer(self, number: int = 0) -> str:
        """One synthesizer."""
        return f"{self.system}/synthesizer-{number}"

    def coordinator(self, number: int) -> str:
        """One coordinator."""
        return f"{self.system}/coordinator-{number}"

    def worker(self, model: str, number: int) -> str:
        """One worker of a model."""
        return f"{self.system}/worker/{model}/{number}"

    def job(self, run: str) -> str:
        """What works one run."""
        return f"{self.system}/job/{run}"

    def actor(self, name: str) -> Any:
        """Return the handle of an actor of this name; ValueError when there is none."""
        import ray

        return ray.get_actor(name, namespace=self.namespace)


class Setup(Frozen):
    """The same for all actors of one system."""

    mesh: bytes
    """The packed mesh; it holds references to secrets, never a secret."""
    mesh_hash: str = ""
    """What the mesh answers with, as a run is told by."""
    folder: str
    """Where the mesh's relative paths start; a relative one starts where Ray unpacked the job's files on the actor's node."""
    store_url: str
    run_folder: str
    """Where a relative store and the trace files go."""
    system: SystemSpec
    """The system that the actor belongs to."""
    version: str = Field(default_factory=own_version)
    """Of whoever made the system; all of its actors run the same."""
    secrets_from: Literal["given", "node"] = "given"
    """Whether whoever makes a worker gives it its key, or its own process reads it from its node's environment or file."""
    allowed: Allowed = NOTHING
    """What the user lets the mesh file do beyond its folder."""

    @property
    def around(self) -> Around:
        """What the system's actors are called."""
        return self.system.around

    @property
    def lean(self) -> "Setup":
        """The same without what was learned, for all but coordinators, who alone have use for it."""
        return self.model_copy(update={"mesh": _lean(self.mesh)})

    def unpacked(self, *, importing: bool = False) -> Mesh:
        """Return the mesh; `importing` finds the Python functions that its plans name. EngineError where another version runs."""
        self.check_version()
        find = partial(imported, folder=Path(self.folder), allowed=self.allowed) if self.runs_python() else _no_python
        return Mesh.unpack(self.mesh, find if importing else None, Path(self.folder))

    def runs_python(self, env: Mapping[str, str] = os.environ) -> bool:
        """Return whether both the system and this node let a mesh run Python code: no job turns on what its node has off."""
        return self.system.python_adapter and not python_is_off(env)

    def check_fits(self, engine: "Setup") -> None:
        """Raise EngineError when an engine with that setup cannot work on this system."""
        self.check_version()
        if engine.version != self.version:
            what = f"the system {self.system.name} is of Partsong {self.version}, and was asked by {engine.version}"
            raise EngineError("version-skew", what, remedy="use the same version on both sides, or end the system and begin it anew")
        if engine.mesh_hash != self.mesh_hash:
            what = f"the system {self.system.name} answers by another mesh"
            remedy = "`partsong deploy apply` changes one that it made; or end that one (`partsong deploy end`), or name another"
            raise EngineError("other-mesh", what, remedy=remedy)

    def check_version(self) -> None:
        """Raise EngineError when this process runs another version than the one that made the system."""
        if self.version != own_version():
            what = f"node {socket.gethostname()} runs Partsong {own_version()}, the system {self.system.name} is of {self.version}"
            raise EngineError("version-skew", what, remedy="install the same version on every node, or let it travel with the job")

    def telemetry(self, spec: TelemetrySpec, service: str) -> Telemetry:
        """Return this process's telemetry, which Ray's metrics are told of too."""
        return started(spec, service, Path(self.run_folder), self.system.told_as, self.system.jobs)

    def secret(self, name: str, mesh: Mesh, given: str | None = None, env: Mapping[str, str] = os.environ) -> str | None:
        """Return the model's key: the one that was given, or the node's own. MeshError when the node has none."""
        ref = model_secret(mesh.models[name])
        if self.secrets_from == "given" or ref is None:
            return given
        at = Place(f"node {socket.gethostname()}", field=f"models.{name}.api_key")
        return resolve(ref, env, Path(self.folder), at, self.allowed)

    def worker(self, name: str, mesh: Mesh, secret: str | None, telemetry: Telemetry) -> Worker:
        """Return the model's worker, not open yet. EngineError when it would run Python code where that is off."""
        spec = mesh.models[name]
        if spec.adapter == "python" and not self.runs_python():
            _no_python(name)
        adapter = adapter_of(spec, Surroundings(name, Path(self.folder), secret, self.allowed))
        return Worker(name, adapter, spec.concurrency, telemetry, spec.model)


@lru_cache(maxsize=2)
def _lean(packed: bytes) -> bytes:
    return Mesh.unpack(packed).lean().pack()


def _no_python(name: str) -> NoReturn:
    what = f"{name!r} is Python code, and the system or node {socket.gethostname()} runs none"
    remedy = f"take it out of the mesh, or have `python_adapter: on` in the deploy file and no {PYTHON_VARIABLE}=off on the node"
    raise EngineError("python-off", what, remedy=remedy)
