"""An open mesh over Ray: the face of `partsong.open`, the work on a cluster."""

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from partsong.contracts.allowed import Allowed
from partsong.mesh import load_mesh, secrets_of
from partsong.opened import OpenMesh
from partsong_cluster.engines import open_engine

__all__ = ["open_mesh"]


@asynccontextmanager
async def open_mesh(
    path: str | Path, *, address: str | None = None, env: Mapping[str, str] | None = None, allowed: Allowed | None = None
) -> AsyncIterator[OpenMesh]:
    """Open a mesh file on Ray: the one at `address`, a local one that runs already, or one started for as long as the mesh is open.

    `env` and `allowed` as in `partsong.open`.
    """
    surroundings = os.environ if env is None else env
    loaded = load_mesh(path, env=surroundings, allowed=allowed)
    secrets = secrets_of(loaded.mesh.models, surroundings, loaded.folder, loaded.allowed)
    with tempfile.TemporaryDirectory(prefix="partsong-") as scratch:
        folder = Path(scratch) if loaded.mesh.store.url is None else loaded.folder
        async with open_engine("ray", loaded, folder, secrets=secrets, address=address) as engine:
            yield await OpenMesh.over(loaded, engine)
