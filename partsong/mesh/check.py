"""Check: everything that is wrong with a mesh, at once, each with its place and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from partsong.adapters.adapter import Adapter
from partsong.errors import Problem
from partsong.mesh.document import Piece
from partsong.mesh.explain import explained
from partsong.mesh.prompt_files import reader
from partsong.mesh.schema import Mesh

__all__ = ["NO_IMPORTS", "Findings", "ImportFunction", "Look", "examined"]

ImportFunction = Callable[[str], Any] | None
"""Returns what `package.module:name` names; None leaves importing to the first use."""

NO_IMPORTS: ImportFunction = None


@dataclass(frozen=True, slots=True)
class Look:
    """How a mesh is looked at."""

    folder: Path
    file: str
    env: Mapping[str, str]
    check_secrets: bool = True
    import_function: ImportFunction = None
    adapters: Mapping[str, type[Adapter]] | None = None
    """None: those that are installed."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check came to."""

    mesh: Mesh | None
    """None when there are errors."""
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = field(default=())


def examined(root: Piece, look: Look) -> Findings:
    """Return the mesh that the tree describes, or all that is wrong with it."""
    context = {"read_prompt": reader(look.folder), "import_function": look.import_function, "adapters": look.adapters}
    try:
        mesh = Mesh.model_validate(root.plain(), context=context)
    except ValidationError as error:
        return Findings(None, explained(error, root), ())
    return Findings(mesh)
