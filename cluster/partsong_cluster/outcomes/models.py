"""Models: those of the mesh that is to learn; its plans may already go by what is not learned yet."""

import os
from collections.abc import Mapping
from pathlib import Path

from partsong.contracts import ModelSpec
from partsong.contracts.allowed import Allowed
from partsong.mesh import LoadedMesh, load_mesh

__all__ = ["mesh_models", "mesh_to_learn"]


def mesh_models(mesh: Path, allowed: Allowed) -> Mapping[str, ModelSpec]:
    """Return the mesh's models; see mesh_to_learn."""
    return mesh_to_learn(mesh, allowed).mesh.models


def mesh_to_learn(mesh: Path, allowed: Allowed) -> LoadedMesh:
    """Return the mesh without what was learned; MeshError when it is not sound. No key need be there."""
    return load_mesh(mesh, env=os.environ, check_secrets=False, allowed=allowed, learning=True)
