"""Bundle: the files that travel with a job: its order, what the mesh names beside itself, and small local input."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from partsong.errors import InputError, MeshError, Place
from partsong.mesh import LoadedMesh
from partsong.mesh.content import named_files
from partsong_cluster.batch.places import STDIN, FileKind, input_files
from partsong_cluster.batch.plain_url import check_plain
from partsong_cluster.jobs.order import MESH_FOLDER, JobOrder

__all__ = ["ORDER", "CarriedInput", "carried_input", "mesh_files", "write_bundle"]

ORDER = "order.json"

_INPUT_FOLDER = "input"
_LONGEST_BYTES = 100_000_000
"""Of input, and of the mesh's files: Ray keeps them in the memory of its head."""


@dataclass(frozen=True, slots=True)
class CarriedInput:
    """The input as the job sees it, and the local files that travel for it."""

    named: str
    files: Sequence[Path] = ()


def carried_input(given: str, kind: FileKind | None, *, shared: bool) -> CarriedInput:
    """Return how the job gets its input: a URL as it is, a shared path as it is, local files with the job if they are small."""
    if given == STDIN:
        raise InputError("input-stream", "a job cannot read this terminal's input", remedy="write it to a file first")
    if "://" in given or "::" in given:
        check_plain(given, "the input")
        return CarriedInput(given)
    files = [Path(file.name) for file in input_files(given, kind)]
    if shared:
        return CarriedInput(str(Path(given).absolute()))
    size_bytes = sum(path.stat().st_size for path in files)
    if size_bytes > _LONGEST_BYTES:
        what = f"the input is {size_bytes / 1e6:,.0f} MB; up to {_LONGEST_BYTES / 1e6:,.0f} MB travel with a job"
        remedy = "put it on s3:// (or another URL), or on storage that all nodes share and give --shared-input"
        raise InputError("input-too-large", what, at=Place(given), remedy=remedy)
    if len({path.name for path in files}) != len(files):
        raise InputError("input-names", "two input files have the same name", at=Place(given), remedy="put them into one folder")
    named = f"{_INPUT_FOLDER}/{files[0].name}" if len(files) == 1 and not Path(given).is_dir() else _INPUT_FOLDER
    return CarriedInput(named, files)


def write_bundle(folder: Path, order: JobOrder, loaded: LoadedMesh, files: Iterable[Path]) -> None:
    """Write the job's files into the folder."""
    (folder / MESH_FOLDER).mkdir(parents=True)
    size_bytes = 0
    for path in mesh_files(loaded):
        size_bytes += path.stat().st_size
        if size_bytes > _LONGEST_BYTES:
            what = f"the files that the mesh names are larger than {_LONGEST_BYTES / 1e6:,.0f} MB, {path.name} among them"
            remedy = "put large ones (weights) at an absolute path that every node has"
            raise MeshError("mesh-too-large", what, at=Place(str(path)), remedy=remedy)
        target = folder / MESH_FOLDER / path.relative_to(loaded.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (folder / _INPUT_FOLDER).mkdir()
    for path in files:
        shutil.copyfile(path, folder / _INPUT_FOLDER / path.name)
    (folder / ORDER).write_bytes(order.pack())


def mesh_files(loaded: LoadedMesh) -> Iterator[Path]:
    """Yield the files that the mesh names; with Python code all modules beside it, as one imports another. Never a file of a key."""
    named = named_files(loaded.mesh, loaded.folder)
    yield from named
    if any(path.suffix == ".py" for path in named):
        for path in sorted(loaded.folder.rglob("*.py")):
            inner = path.relative_to(loaded.folder).parts
            if path not in named and not any(part.startswith(".") or part in _NOT_CODE for part in inner):
                yield path


_NOT_CODE = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})
