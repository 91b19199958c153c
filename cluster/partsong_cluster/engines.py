"""Engines: the inline one, or the Ray one on a Ray that is joined or started, with store and traces in a run's folder."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from partsong.engine import Engine
from partsong.mesh import LoadedMesh
from partsong.opened import inline_engine
from partsong.telemetry import Telemetry

__all__ = ["EngineKind", "open_engine", "ray_engine"]

EngineKind = Literal["inline", "ray"]


@asynccontextmanager
async def open_engine(
    kind: EngineKind,
    loaded: LoadedMesh,
    folder: Path,
    *,
    secrets: Mapping[str, str],
    address: str | None = None,
    coordinators: int = 1,
) -> AsyncIterator[Engine]:
    """Start an engine; `address` and `coordinators` are the Ray engine's. Raises PartsongError with a remedy when it cannot start."""
    if kind == "inline":
        async with inline_engine(loaded, folder, secrets=secrets) as engine:
            yield engine
        return
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(address), ray_engine(loaded, folder, secrets=secrets, coordinators=coordinators) as engine:
        yield engine


@asynccontextmanager
async def ray_engine(loaded: LoadedMesh, folder: Path, *, secrets: Mapping[str, str], coordinators: int = 1) -> AsyncIterator[Engine]:
    """Start the Ray engine on the Ray that this process is connected to."""
    from partsong_actors.engine import RayEngine  # imports Ray, which the runtime prepares for

    telemetry = Telemetry.start(loaded.mesh.telemetry, "driver", folder)
    store_url = loaded.mesh.store.url or "sqlite:///journal.db"
    started = RayEngine(
        loaded.mesh,
        store_url,
        folder,
        folder=loaded.folder,
        secrets=secrets,
        telemetry=telemetry,
        coordinators=coordinators,
        allowed=loaded.allowed,
    )
    try:
        async with started as engine:
            yield engine
    finally:
        telemetry.close()
