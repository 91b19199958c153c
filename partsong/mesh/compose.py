"""Compose: one tree out of a mesh file and the files it names with `extends` and `include`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partsong.adapters.beside import beside
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import MeshError, Place, Problem
from partsong.mesh.document import LONGEST_BYTES, Piece, read_document

__all__ = ["Composed", "composed_file", "composed_text"]

_MOST_FILES = 100
_INCLUDED = ("models", "plans")


@dataclass(frozen=True, slots=True)
class Composed:
    """The tree, and every file that it came from."""

    root: Piece
    files: tuple[Path, ...] = ()


def composed_file(path: Path, allowed: Allowed = NOTHING) -> Composed:
    """Read a mesh file and what it names; MeshError says which file, and where in it.

    The file itself may lie anywhere, the user named it; what it names lies in its folder or is allowed.
    """
    reading = _Reading(path.parent, allowed)
    root = reading.file(path, None, ())
    return Composed(root, tuple(reading.files))


def composed_text(text: str, folder: Path, name: str, allowed: Allowed = NOTHING) -> Composed:
    """Read a mesh file from its text; what it names starts at the folder."""
    reading = _Reading(folder, allowed)
    root = reading.composed(read_document(text.encode("utf-8", "surrogatepass"), name), folder, ())
    return Composed(root, tuple(reading.files))


@dataclass(slots=True)
class _Reading:
    home: Path
    allowed: Allowed
    files: list[Path] = field(default_factory=list)

    def file(self, path: Path, named_at: Place | None, chain: tuple[Path, ...]) -> Piece:
        real = _resolved(path, named_at)
        if real in chain:
            circle = " -> ".join(file.name for file in (*chain[chain.index(real) :], real))
            raise MeshError("file-cycle", f"files name each other in a circle: {circle}", at=named_at, remedy="take one of them out")
        if real not in self.files:
            self.files.append(real)
        if len(self.files) > _MOST_FILES:
            raise MeshError("too-many-files", f"more than {_MOST_FILES} files", at=named_at, remedy="put models and plans together")
        return self.composed(read_document(_bytes_of(path, named_at), str(path)), path.parent, (*chain, real))

    def composed(self, own: Piece, folder: Path, chain: tuple[Path, ...]) -> Piece:
        """Return the tree with the extended file under it and the included ones beside it, their keys gone."""
        root = own.with_fields({key: piece for key, piece in own.fields.items() if key not in ("extends", "include")})
        if (base := own.fields.get("extends")) is not None:
            root = _over(self.file(self._named(folder, base, "extends"), base.at, chain), root)
        if (included := own.fields.get("include")) is not None:
            for name in _listed(included):
                root = _beside(root, self.file(self._named(folder, name, "include"), name.at, chain))
        return root

    def _named(self, folder: Path, piece: Piece, key: str) -> Path:
        """Return the path that the piece names, which starts at the folder of the file that names it."""
        path = folder / _file_name(piece, key)
        beside(self.home, str(path.absolute()), self.allowed, piece.at)
        return path


def _resolved(path: Path, named_at: Place | None) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL
        raise MeshError("no-such-file", f"{path} cannot be read: {error}", at=named_at, remedy="check the path") from None


def _bytes_of(path: Path, named_at: Place | None) -> bytes:
    at = named_at or Place(str(path))
    try:
        if path.is_fifo():
            raise MeshError("file-unreadable", f"{path} is a pipe, no file", at=at, remedy="name a file")
        with path.open("rb") as source:
            return source.read(LONGEST_BYTES + 1)
    except FileNotFoundError:
        near = _beside_it(path)
        check = "check the path; it starts at the file that names it" if named_at else "check the path"
        remedy = f"did you mean {near}?" if near else check
        raise MeshError("no-such-file", f"there is no file {path}", at=at, remedy=remedy) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise MeshError("file-unreadable", f"{path} cannot be read: {why}", at=at, remedy="check the path and its permissions") from None


def _beside_it(path: Path) -> str:
    """Return the YAML file in the same folder whose name is nearest."""
    from difflib import get_close_matches

    folder = path.parent
    names = sorted(f.name for f in folder.glob("*.y*ml"))[:1000] if folder.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    return str(folder / near[0]) if near else ""


def _file_name(piece: Piece, key: str) -> str:
    if not isinstance(piece.content, str) or not piece.content:
        raise MeshError("bad-file-name", f"`{key}` names a file", at=piece.at, remedy=f"write `{key}: other.yaml`")
    return piece.content


def _listed(piece: Piece) -> Sequence[Piece]:
    return piece.content if isinstance(piece.content, list) else [piece]


def _over(base: Piece, own: Piece, path: tuple[str, ...] = ()) -> Piece:
    """Return the own mapping laid over the base: mappings key by key, everything else replaced."""
    fields = dict(base.fields)
    for key, piece in own.fields.items():
        below = fields.get(key)
        merges = below is not None and below.fields and piece.fields and not _replaces(below, piece, (*path, key))
        fields[key] = _over(below, piece, (*path, key)) if below is not None and merges else piece
    return own.with_fields(fields)


def _replaces(below: Piece, own: Piece, path: tuple[str, ...]) -> bool:
    """Return whether the own mapping takes the base's place whole.

    The tree does, a plan, an experiment, a model of another adapter, a key's reference.
    """
    if path[0] == "tree":
        return True
    if path[0] in ("plans", "experiments"):
        return len(path) == 2
    if path[0] != "models" or len(path) < 2:
        return False
    other = len(path) == 2 and "adapter" in own.fields and own.fields["adapter"].content != _content(below, "adapter")
    return other or path[2:] == ("api_key",)


def _content(piece: Piece, key: str) -> object:
    return piece.fields[key].content if key in piece.fields else None


def _beside(root: Piece, other: Piece) -> Piece:
    """Return the tree with another file's models and plans added; a name that both define is a problem."""
    problems = [
        Problem("not-included", f"an included file has only models and plans, not {key!r}", piece.key_at, "extend the file instead")
        for key, piece in other.fields.items()
        if key not in (*_INCLUDED, "version")
    ]
    fields = dict(root.fields)
    for section in _INCLUDED:
        added = other.fields.get(section)
        if added is None:
            continue
        if not added.fields:
            if added.content is not None and added.content != {}:
                problems.append(Problem("wrong-type", f"{section!r} is a mapping by name", added.at, f"write names under `{section}:`"))
            continue
        mine = fields.get(section, Piece({}, added.at, added.key_at))
        problems += [
            Problem("defined-twice", f"{name!r} is defined twice", piece.key_at, f"the other is at {mine.fields[name].key_at}; rename one")
            for name, piece in added.fields.items()
            if name in mine.fields and mine.fields[name].key_at != piece.key_at
        ]
        fields[section] = mine.with_fields(mine.fields | added.fields)
    if problems:
        raise MeshError.of(problems)
    return root.with_fields(fields)
