"""Known: how a piece of the mesh file gets at what was learned, when the file is read and when the packed mesh is unpacked."""

from typing import Any

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

__all__ = ["known"]


def known(info: ValidationInfo, needed_for: str = "") -> Any:
    """Return what the validation context says is learned (a `Knowledge`), None where that is nothing.

    `needed_for` names what cannot do without it: in a mesh file that names nothing learned that is the error `not-learned`.
    """
    context = info.context or {}
    if needed_for and context.get("nothing_learned"):
        words = {
            "what": f"{needed_for} goes by what was learned, and the mesh file names nothing learned",
            "remedy": "learn it from runs of this mesh, partsong learn MESH RUN... -o learned/, and write `learned: learned/`",
        }
        raise PydanticCustomError("not-learned", "{what}; {remedy}", words)
    return context.get("knowledge")
