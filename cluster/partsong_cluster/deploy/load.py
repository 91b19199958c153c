"""Load: a deploy file becomes a Deploy, or one error with everything that is wrong, each with its line and field."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from partsong.errors import MeshError, Place
from partsong.mesh.document import LONGEST_BYTES, Piece, read_document
from partsong.mesh.explain import explained
from partsong_cluster.deploy.schema import Deploy

__all__ = ["LoadedDeploy", "load_deploy", "load_deploy_text"]

_STARTS = "`version: 1` and `name:`"


@dataclass(frozen=True, slots=True)
class LoadedDeploy:
    """A deploy file, and where its pieces stand."""

    deploy: Deploy
    file: str
    written: Piece

    def place(self, *path: str) -> Place:
        """Return where the field stands, or the deepest part of the way to it that is written."""
        piece, field = self.written, ".".join(path)
        for part in path:
            inner = piece.step(part)
            if inner is None:
                break
            piece = inner
        return replace(piece.spot, field=field)


def load_deploy(path: str | Path) -> LoadedDeploy:
    """Read a deploy file; MeshError carries every problem found."""
    at = Path(path)
    try:
        with at.open("rb") as source:
            raw = source.read(LONGEST_BYTES + 1)
    except OSError as error:
        what = f"{at} cannot be read: {error.strerror}"
        raise MeshError("file-unreadable", what, at=Place(str(at)), remedy="check the path and its permissions") from None
    return _loaded(raw, str(at))


def load_deploy_text(text: str, name: str = "<text>") -> LoadedDeploy:
    """Read a deploy file from its text; see load_deploy."""
    return _loaded(text.encode("utf-8", "surrogatepass"), name)


def _loaded(raw: bytes, name: str) -> LoadedDeploy:
    root = read_document(raw, name, _STARTS)
    try:
        return LoadedDeploy(Deploy.model_validate(root.plain()), name, root)
    except ValidationError as error:
        raise MeshError.of(explained(error, root, top=Deploy)) from None
