"""Beside: a file that a mesh file names lies in the mesh file's folder, links followed, unless the user allows others."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError, Place

__all__ = ["OUTSIDE_REMEDY", "FileName", "beside", "folder_beside", "folder_name", "lies_within", "name_checker", "placed"]

OUTSIDE_REMEDY = "put it into the folder, or, if you trust the mesh file, allow it with --allow outside-files"


def lies_within(path: Path, folder: Path) -> bool:
    """Return whether the path, its links followed, stays in the folder."""
    return path.resolve().is_relative_to(folder.resolve())


def placed(folder: Path, named: str) -> Path:
    """Return the path that a mesh file in the folder means, wherever it leads; `~` is the user's own folder."""
    return folder / Path(named).expanduser()


def beside(folder: Path, named: str, allowed: Allowed, at: Place | None = None) -> Path:
    """Return the path of the file; MeshError when it leads out of the folder and that is not allowed."""
    try:
        path = placed(folder, named)
        inside = allowed.outside_files or lies_within(path, folder)
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL, a user without home
        what = f"{named!r} cannot be a file's path: {error}"
        raise MeshError("bad-file-name", what, at=at, remedy="its path starts at the mesh file's folder") from None
    if not inside:
        raise MeshError("outside-folder", f"{named!r} lies outside the mesh file's folder", at=at, remedy=OUTSIDE_REMEDY)
    return path


def folder_beside(folder: Path, named: str, files: Iterable[str], allowed: Allowed) -> Path:
    """Return the path of a folder; MeshError as in `beside` for any of the files that are read in it, since each may be a link."""
    for name in files:
        beside(folder, _within(named, name), allowed)
    return placed(folder, named)


def name_checker(folder: Path, allowed: Allowed) -> Callable[[str], None]:
    """Return what a schema's validators check file names with, as `lies_beside` of the validation context."""

    def check(named: str) -> None:
        try:
            beside(folder, named, allowed)
        except MeshError as error:
            problem = error.problems[0]
            refused = {"what": problem.what, "remedy": problem.remedy}
            raise PydanticCustomError("outside-folder", "{what}; {remedy}", refused) from None

    return check


def folder_name(*files: str) -> AfterValidator:
    """Return what refuses a folder's name while the mesh file is loaded, as FileName does, by the files that are read in it."""

    def checked(named: str, info: ValidationInfo) -> str:
        for name in files:
            _checked(_within(named, name), info)
        return named

    return AfterValidator(checked)


def _within(named: str, name: str) -> str:
    return str(Path(named, name))


def _checked(named: str, info: ValidationInfo) -> str:
    check = (info.context or {}).get("lies_beside")
    if check is not None:
        check(named)
    return named


FileName = Annotated[str, AfterValidator(_checked)]
"""A file that an adapter's entry names; one that leads out of the folder is refused while the mesh file is loaded."""
