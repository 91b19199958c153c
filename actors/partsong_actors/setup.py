"""Setup: what every actor of a run is told at its start."""

import uuid
from functools import partial
from pathlib import Path
from typing import Self

from partsong.adapters.adapter import Surroundings
from partsong.adapters.discreet import adapter_of
from partsong.adapters.python import imported
from partsong.contracts import Frozen
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.mesh import Mesh
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.work.worker import Worker

__all__ = ["Around", "Setup"]


class Around(Frozen):
    """Names of the actors that coordinators need: a handle among an actor's arguments could be gone when it is restarted."""

    journal: str
    pool: str
    synthesizer: str

    @classmethod
    def unique(cls) -> Self:
        """Return names that no other engine on the cluster has."""
        engine = f"partsong-{uuid.uuid4().hex}"
        return cls(journal=f"{engine}-journal", pool=f"{engine}-pool", synthesizer=f"{engine}-synthesizer")


class Setup(Frozen):
    """The same for all actors of one engine."""

    mesh: bytes
    """The packed mesh; it holds references to secrets, never a secret."""
    folder: str
    """Where the mesh's relative paths start."""
    store_url: str
    run_folder: str
    """Where a relative store and the trace files go."""
    allowed: Allowed = NOTHING
    """What the user lets the mesh file do beyond its folder."""

    def unpacked(self, *, importing: bool = False) -> Mesh:
        """Return the mesh; `importing` finds the Python functions that its plans name."""
        find = partial(imported, folder=Path(self.folder), allowed=self.allowed)
        return Mesh.unpack(self.mesh, find if importing else None)

    def telemetry(self, spec: TelemetrySpec, service: str) -> Telemetry:
        """Return this process's telemetry."""
        return Telemetry.start(spec, service, Path(self.run_folder))

    def worker(self, name: str, mesh: Mesh, secret: str | None, telemetry: Telemetry) -> Worker:
        """Return the model's worker, not open yet."""
        spec = mesh.models[name]
        adapter = adapter_of(spec, Surroundings(name, Path(self.folder), secret, self.allowed))
        return Worker(name, adapter, spec.concurrency, telemetry, spec.model)
