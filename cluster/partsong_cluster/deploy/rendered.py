"""Rendered: files made from a deploy file, by name, as text that says what made it."""

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from partsong.errors import MeshError, Place

__all__ = ["Files", "as_yaml", "ray_version", "write"]

Files = Mapping[str, str]
"""Texts by path, relative to the folder they are written to."""


def as_yaml(documents: Sequence[Mapping[str, Any]], *notes: str) -> str:
    """Return the documents as YAML under comments."""
    writer = YAML()
    writer.width = 10_000
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.explicit_start = len(documents) > 1
    out = io.StringIO()
    for note in ("Written by `partsong deploy render`; change the deploy file instead.", *notes):
        out.write(f"# {note}\n")
    for document in documents:
        writer.dump(_plain(document), out)
    return out.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str) and "\n" in value:
        return LiteralScalarString(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def write(files: Files, folder: Path) -> list[Path]:
    """Write the files; return their paths. MeshError when one cannot be written."""
    written = []
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            what = f"{path} cannot be written: {error.strerror}"
            raise MeshError("not-written", what, at=Place(str(path)), remedy="name another folder with -o") from None
        written.append(path)
    return written


def ray_version() -> str:
    """Return the version of Ray that this Partsong runs on."""
    return version("ray")
