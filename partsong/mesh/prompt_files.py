"""Prompt files: templates that a mesh names, read from its folder and nowhere else."""

from collections.abc import Callable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

__all__ = ["reader"]

_LONGEST_BYTES = 1_000_000


def reader(folder: Path) -> Callable[[str], str]:
    """Return what reads a template by its path in the folder: OSError or ValueError when it cannot, or when the path leads out."""
    home = folder.resolve()

    def read(name: str) -> str:
        path = (home / name).resolve()
        if not path.is_relative_to(home):
            raise ValueError(f"{name}: a prompt file lies in the mesh file's folder, not outside")
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
