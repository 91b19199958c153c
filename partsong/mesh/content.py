"""Content: a hash over all of a mesh that answers depend on."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from partsong.adapters.beside import lies_within
from partsong.contracts import NOT_THE_ANSWER
from partsong.learning.embedding_files import EMBEDDING_FILES
from partsong.mesh.schema import Mesh
from partsong.mesh.secrets import model_secret

__all__ = ["content_hash", "named_files"]

_NOT_THE_MESH = {"store", "telemetry", "accounts"}
_WHOLE_BYTES = 16_000_000
"""Of a larger file (weights) the size and both ends count."""
_IMPORT_PATH = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*")


def content_hash(mesh: Mesh, folder: Path) -> str:
    """Return 32 hexadecimal digits; prompts count by their text, files that models and plans name by their bytes."""
    digest = hashlib.blake2b(json.dumps(_shown(mesh)).encode(), digest_size=16)
    for path in named_files(mesh, folder):
        digest.update(json.dumps(str(path.relative_to(folder))).encode())
        digest.update(_digest(path))
    return digest.hexdigest()


def named_files(mesh: Mesh, folder: Path) -> Sequence[Path]:
    """Return the files beside the mesh file that answers depend on; a file of a key is none of them."""
    return sorted({*_named_files(_shown(mesh), folder), *_embedding_files(mesh, folder)} - set(_key_files(mesh, folder)))


def _shown(mesh: Mesh) -> Any:
    shown = mesh.model_dump(mode="json", by_alias=True, exclude=_NOT_THE_MESH)
    for spec in shown["models"].values():
        for field in NOT_THE_ANSWER:
            spec.pop(field, None)
    return shown


def _named_files(shown: Any, folder: Path) -> Iterator[Path]:
    """Yield the files beside the mesh that any of its strings names, as a path or as a Python import path."""
    for text in _strings(shown):
        module = _IMPORT_PATH.fullmatch(text)
        names = [text] if module is None else [f"{module[1].replace('.', '/')}.py", f"{module[1].replace('.', '/')}/__init__.py"]
        paths = [folder / name for name in names if _is_short_path(name)]
        yield from (path for path in paths if path.is_file() and lies_within(path, folder))


def _embedding_files(mesh: Mesh, folder: Path) -> Iterator[Path]:
    named = mesh.embeddings or ""
    paths = [folder / named / name for name in EMBEDDING_FILES] if _is_short_path(named) else []
    yield from (path for path in paths if path.is_file() and lies_within(path, folder))


def _key_files(mesh: Mesh, folder: Path) -> Iterator[Path]:
    """Yield the files of keys: one of the name that another string happens to be (`openai`) is no file that answers depend on."""
    yield from (folder / ref.file for spec in mesh.models.values() if (ref := model_secret(spec)) is not None and ref.file is not None)


def _strings(shown: Any) -> Iterator[str]:
    if isinstance(shown, str):
        yield shown
    for item in shown.values() if isinstance(shown, dict) else shown if isinstance(shown, list) else ():
        yield from _strings(item)


def _is_short_path(text: str) -> bool:
    return 0 < len(text) <= 255 and "\n" not in text and not text.startswith("~") and not Path(text).is_absolute()


def _digest(path: Path) -> bytes:
    size_bytes = path.stat().st_size
    with path.open("rb") as source:
        if size_bytes <= _WHOLE_BYTES:
            return hashlib.file_digest(source, lambda: hashlib.blake2b(digest_size=16)).digest()
        ends = source.read(_WHOLE_BYTES // 2)
        source.seek(-_WHOLE_BYTES // 2, 2)
        return hashlib.blake2b(ends + source.read() + str(size_bytes).encode(), digest_size=16).digest()
