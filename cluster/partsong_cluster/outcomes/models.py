"""Models: those of the mesh that is to learn; its plans may already go by what is not learned yet."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from partsong.contracts import ModelSpec
from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError
from partsong.mesh import LoadedMesh, load_mesh
from partsong.mesh.compose import composed_file
from partsong.mesh.load import load_text

__all__ = ["mesh_models", "mesh_to_learn"]

_OF_MODELS = ("version", "models", "accounts")


def mesh_models(mesh: Path, allowed: Allowed) -> Mapping[str, ModelSpec]:
    """Return the mesh's models; see mesh_to_learn."""
    return mesh_to_learn(mesh, allowed).mesh.models


def mesh_to_learn(mesh: Path, allowed: Allowed) -> LoadedMesh:
    """Return the mesh, or its models alone when only they are sound; MeshError when they are not either. No key need be there."""
    try:
        return load_mesh(mesh, env=os.environ, check_secrets=False, allowed=allowed)
    except MeshError as error:
        whole = composed_file(mesh, allowed).root.fields
        text = json.dumps({key: whole[key].plain() for key in _OF_MODELS if key in whole})
        try:
            return load_text(text, mesh.parent, env=os.environ, check_secrets=False, allowed=allowed)
        except MeshError:
            raise error from None
