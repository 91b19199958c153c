"""The mesh file: one YAML file that names models, plans and routes; read, composed, checked, shown."""

from partsong.mesh.check import Findings
from partsong.mesh.load import LoadedMesh, check_mesh, load_mesh, load_text
from partsong.mesh.schema import Mesh, StoreSpec
from partsong.mesh.secrets import secrets_of, variables_of

__all__ = ["Findings", "LoadedMesh", "Mesh", "StoreSpec", "check_mesh", "load_mesh", "load_text", "secrets_of", "variables_of"]
