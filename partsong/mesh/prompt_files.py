"""Prompt files: templates that a mesh names, read from its folder, and from elsewhere only if the user allows it."""

from collections.abc import Callable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from partsong.adapters.beside import OUTSIDE_REMEDY
from partsong.contracts.allowed import Allowed

__all__ = ["reader"]

_LONGEST_BYTES = 1_000_000


def reader(folder: Path, allowed: Allowed) -> Callable[[str], str]:
    """Return what reads a template by its path from the folder: OSError or ValueError when it cannot, or when the path leads out of it."""
    home = folder.resolve()

    def read(name: str) -> str:
        path = (home / name).resolve()
        if not allowed.outside_files and not path.is_relative_to(home):
            raise ValueError(f"{name}: a prompt file lies in the mesh file's folder, not outside; {OUTSIDE_REMEDY}")
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise ValueError(f"{name}: is no file")
        if not path.exists():
            raise ValueError(f"{name}: there is no such file; {_nearest(name, home)}")
        with path.open("rb") as source:
            raw = source.read(_LONGEST_BYTES + 1)
        if len(raw) > _LONGEST_BYTES:
            raise ValueError(f"{name}: a prompt file has at most {_LONGEST_BYTES:,} bytes")
        return raw.decode("utf-8-sig")

    return read


def _nearest(name: str, home: Path) -> str:
    """Return a remedy that names the file in the folder whose name is nearest."""
    folder = (home / name).parent
    files = [str(f.relative_to(home)) for f in islice(folder.iterdir(), 1000) if f.is_file()] if folder.is_dir() else []
    near = get_close_matches(name, sorted(files), n=1)
    return f"did you mean {near[0]!r}?" if near else "its path starts at the mesh file's folder"
