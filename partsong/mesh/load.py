"""Load: a mesh file becomes a Mesh, or one MeshError with everything that is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from partsong.contracts.allowed import ALLOW_VARIABLE, NOTHING, Allowed
from partsong.errors import MeshError, Problem
from partsong.mesh.check import Findings, ImportFunction, Look, examined
from partsong.mesh.compose import Composed, composed_file, composed_text
from partsong.mesh.content import content_hash
from partsong.mesh.document import Piece
from partsong.mesh.schema import Mesh

__all__ = ["LoadedMesh", "check_mesh", "load_mesh", "load_text"]


@dataclass(frozen=True, slots=True)
class LoadedMesh:
    """A mesh, and where it came from."""

    mesh: Mesh
    folder: Path
    """Relative paths of the mesh start here."""
    files: tuple[Path, ...]
    """Every file it was read from, its own first."""
    hash: str
    """Hexadecimal; changes when anything changes that answers depend on: models, prompts, plans, routes, files they name."""
    written: Piece
    """What was written, composed, before defaults."""
    warnings: tuple[Problem, ...] = ()
    allowed: Allowed = NOTHING
    """What the user allows it beyond its folder."""


def load_mesh(
    path: str | Path,
    *,
    env: Mapping[str, str],
    check_secrets: bool = True,
    import_function: ImportFunction | None = None,
    allowed: Allowed | None = None,
    learning: bool = False,
) -> LoadedMesh:
    """Read a mesh file and all it names; MeshError carries every problem found.

    `env` is the process's environment, read at the edge. With `check_secrets` false nobody looks whether the secrets are there.
    `import_function` finds the Python functions that plans name (`package.module:name`) while the file is checked; without it they
    are imported on first use. `allowed` is what the file may do beyond its own folder; by default what `PARTSONG_ALLOW` in `env` says.
    `learning`: what was learned is left out, and plans may go by what is not learned yet.
    """
    at = Path(path)
    may = _may(allowed, env)
    return _loaded(composed_file(at, may), Look(at.parent, env, check_secrets, import_function, allowed=may, learning=learning))


def load_text(
    text: str,
    folder: Path,
    *,
    env: Mapping[str, str],
    check_secrets: bool = True,
    import_function: ImportFunction | None = None,
    allowed: Allowed | None = None,
) -> LoadedMesh:
    """Read a mesh from its text, as if it stood in a file of the folder; see load_mesh."""
    may = _may(allowed, env)
    return _loaded(composed_text(text, folder, "<text>", may), Look(folder, env, check_secrets, import_function, allowed=may))


def check_mesh(
    path: str | Path,
    *,
    env: Mapping[str, str],
    check_secrets: bool = True,
    import_function: ImportFunction | None = None,
    ask_adapters: bool = False,
    allowed: Allowed | None = None,
) -> Findings:
    """Return everything that is wrong with a mesh file; unlike load_mesh it does not raise.

    With `ask_adapters` each model's adapter looks for the files and imports the code that its entry names.
    """
    at = Path(path)
    try:
        may = _may(allowed, env)
        composed = composed_file(at, may)
    except MeshError as error:
        return Findings(None, error.problems, ())
    return examined(composed.root, Look(at.parent, env, check_secrets, import_function, ask_adapters=ask_adapters, allowed=may))


def _loaded(composed: Composed, look: Look) -> LoadedMesh:
    found = examined(composed.root, look)
    if found.mesh is None:
        raise MeshError.of(found.errors)
    digest = content_hash(found.mesh, look.folder)
    return LoadedMesh(found.mesh, look.folder, composed.files, digest, composed.root, found.warnings, look.allowed)


def _may(allowed: Allowed | None, env: Mapping[str, str]) -> Allowed:
    if allowed is not None:
        return allowed
    try:
        return Allowed.by_environment(env)
    except ValueError as error:
        raise MeshError("unknown-allowance", f"{ALLOW_VARIABLE}: {error}", remedy="words with commas between") from None
