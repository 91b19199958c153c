"""Engines: the inline one, or the Ray one on a Ray that is joined or started, with store and traces in a run's folder."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from partsong_actors.metrics import started
from partsong_actors.setup import Health, SystemSpec

from partsong.engine import Engine
from partsong.mesh import LoadedMesh, variables_of
from partsong.opened import inline_engine
from partsong.work.notices import Tell

__all__ = ["EngineKind", "open_engine", "ray_engine"]

EngineKind = Literal["inline", "ray"]

_OF_A_RAY_OF_OUR_OWN = Health(node_comes_within_s=0)
"""No node joins it."""


@asynccontextmanager
async def open_engine(
    kind: EngineKind,
    loaded: LoadedMesh,
    folder: Path,
    *,
    secrets: Mapping[str, str],
    address: str | None = None,
    system: SystemSpec | None = None,
    tell: Tell | None = None,
) -> AsyncIterator[Engine]:
    """Start an engine; `address` and `system` are the Ray engine's. Raises PartsongError with a remedy when it cannot start.

    `tell` gets notices of what breaks and what is done about it; the log gets them without it.
    """
    if kind == "inline":
        async with inline_engine(loaded, folder, secrets=secrets, tell=tell) as engine:
            yield engine
        return
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(address, variables_of(loaded.mesh.models)) as origin:
        if system is None and origin == "started":
            system = SystemSpec.passing().model_copy(update={"health": _OF_A_RAY_OF_OUR_OWN})
        async with ray_engine(loaded, folder, secrets=secrets, system=system, tell=tell) as engine:
            yield engine


@asynccontextmanager
async def ray_engine(
    loaded: LoadedMesh, folder: Path, *, secrets: Mapping[str, str], system: SystemSpec | None = None, tell: Tell | None = None
) -> AsyncIterator[Engine]:
    """Start the Ray engine on the Ray that this process is connected to: a system of its own, or the one that is named."""
    from partsong_actors.engine import RayEngine  # imports Ray, which the runtime prepares for

    system = system or SystemSpec.passing()
    telemetry = started(loaded.mesh.telemetry, "driver", folder, system.told_as, system.jobs)
    store_url = loaded.mesh.store.url or "sqlite:///journal.db"
    made = RayEngine(
        loaded.mesh,
        store_url,
        folder,
        folder=loaded.folder,
        secrets=secrets,
        telemetry=telemetry,
        system=system,
        mesh_hash=loaded.hash,
        allowed=loaded.allowed,
        tell=tell,
    )
    try:
        async with made as engine:
            yield engine
    finally:
        telemetry.close()
