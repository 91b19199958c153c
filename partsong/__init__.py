"""Partsong: many voices, one answer. Combine several AI models into one better answer.

    async with partsong.open("mesh.yaml") as mesh:
        answer = await mesh.ask("How do I change my PIN?")

This package is the core: the mesh file, plans, and the inline engine, which needs no Ray. `partsong_cluster` is the same face over Ray.
"""

from partsong.contracts import Answer, Completion, Failure, FailureCode, Message, Reply, Task
from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError, PartsongError
from partsong.mesh import Mesh, load_mesh
from partsong.opened import OpenMesh
from partsong.opened import open_mesh as open  # noqa: A004  it reads `partsong.open(...)`

__all__ = [
    "Allowed",
    "Answer",
    "Completion",
    "Failure",
    "FailureCode",
    "Mesh",
    "MeshError",
    "Message",
    "OpenMesh",
    "PartsongError",
    "Reply",
    "Task",
    "load_mesh",
    "open",
]
