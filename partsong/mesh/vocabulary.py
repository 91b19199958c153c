"""Vocabulary: which keys and types the schema knows at a place of the file, to name the nearest to a wrong one."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from partsong.adapters.adapter import Adapter, adapter_kinds
from partsong.contracts import ModelSpec
from partsong.contracts.onekey import OneKey
from partsong.errors import MeshError
from partsong.mesh.document import Piece
from partsong.mesh.schema import Mesh

__all__ = ["Vocabulary"]


class Vocabulary:
    """What may stand where; `types` follows a place through the schema as the file's own content leads it."""

    def __init__(self, root: Piece, adapters: Mapping[str, type[Adapter]] | None = None, top: type[BaseModel] = Mesh) -> None:
        self._root = root
        self._top = top
        self._adapters = adapter_kinds() if adapters is None else adapters

    def types(self, loc: Sequence[str | int]) -> list[Any]:
        """Return the types that the value at the place may have."""
        types: list[Any] = [self._top]
        piece: Piece | None = self._root
        for part in loc:
            piece = None if piece is None else piece.step(part)
            types = [inner for outer in types for inner in self._inside(outer, part, piece)]
        return types

    def keys(self, loc: Sequence[str | int]) -> list[str]:
        """Return the keys that the mapping at the place may have."""
        return [key for made in self.types(loc) for key in _keys_of(made)]

    def description(self, loc: Sequence[str | int]) -> str:
        """Return the first line of what the schema says of the field at the place."""
        for made in self.types(loc[:-1]) if loc else ():
            if isinstance(made, type) and issubclass(made, BaseModel) and (info := _field(made, str(loc[-1]))) is not None:
                return (info.description or "").partition("\n")[0]
        return ""

    def _inside(self, outer: Any, part: str | int, piece: Piece | None) -> Iterator[Any]:
        if isinstance(outer, OneKeyed):
            yield from self._of_kind(outer.kinds.get(str(part)), piece)
        elif isinstance(outer, type) and issubclass(outer, BaseModel):
            yield from self._of_field(_field(outer, str(part)), piece)
        else:
            yield from self._of_items(outer, piece)

    def _of_kind(self, made: type[BaseModel] | None, piece: Piece | None) -> Iterator[Any]:
        """Yield the kind's class, or what its one field takes where that is written in place of a mapping."""
        bare = getattr(made, "bare", "")
        if made is not None and bare and piece is not None and not isinstance(piece.content, dict):
            yield from self._of_field(_field(made, bare), piece)
        elif made is not None:
            yield made

    def _of_field(self, info: FieldInfo | None, piece: Piece | None) -> Iterator[Any]:
        if info is not None:
            yield from (self._narrowed(made, piece) for made in _arms(info.annotation, tuple(info.metadata)))

    def _of_items(self, outer: Any, piece: Piece | None) -> Iterator[Any]:
        arguments = [a for a in get_args(outer) if a is not ...]
        if arguments:
            yield from (self._narrowed(made, piece) for made in _arms(arguments[-1], ()))

    def _narrowed(self, made: Any, piece: Piece | None) -> Any:
        """Return the adapter's own schema for a model, by what its `adapter` key says."""
        if made is not ModelSpec or piece is None or (named := piece.step("adapter")) is None:
            return made
        name = named.content
        try:
            return self._adapters[name].Spec if isinstance(name, str) and name in self._adapters else made
        except MeshError:  # cannot be loaded, which is a problem of its own
            return made


class OneKeyed:
    """Stands for a value whose single key names its kind."""

    def __init__(self, kinds: Mapping[str, type[BaseModel]]) -> None:
        self.kinds = kinds


def _arms(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the types that an annotation allows, one-key pieces as OneKeyed."""
    for extra in metadata:
        if isinstance(extra, OneKey):
            yield OneKeyed(extra.kinds)
            return
    if hasattr(annotation, "__metadata__"):
        yield from _arms(annotation.__origin__, annotation.__metadata__)
    elif get_origin(annotation) in (Union, UnionType):
        for arm in get_args(annotation):
            yield from _arms(arm, ())
    elif annotation is not None:
        yield annotation


def _field(made: type[BaseModel], key: str) -> FieldInfo | None:
    named = made.model_fields.get(key)
    return named or next((info for info in made.model_fields.values() if info.alias == key), None)


def _keys_of(made: Any) -> list[str]:
    if isinstance(made, OneKeyed):
        return list(made.kinds)
    if isinstance(made, type) and issubclass(made, BaseModel):
        return [info.alias or name for name, info in made.model_fields.items()]
    return []
