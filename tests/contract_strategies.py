"""Hypothesis strategies for any contract, out of its own field annotations."""

import types
import typing
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from pydantic.fields import FieldInfo

from partsong.contracts import Frozen

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
_JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(_JSON_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5)


def contracts(kind: type[Frozen]) -> st.SearchStrategy[Any]:
    """Values of the contract that its own checks let pass."""
    fields = {name: _field(field) for name, field in kind.model_fields.items()}
    return st.fixed_dictionaries(fields).map(lambda values: _built(kind, values)).filter(lambda built: built is not None)


def _built(kind: type[Frozen], values: dict[str, Any]) -> Frozen | None:
    try:
        return kind(**values)
    except ValidationError:
        return None


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return _of(field.annotation, field.metadata)


def _of(annotation: Any, limits: typing.Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is JsonValue:
        return JSON
    if origin is Annotated:
        return _of(args[0], [part for limit in args[1:] for part in (limit.metadata if isinstance(limit, FieldInfo) else [limit])])
    if origin in (Union, types.UnionType):
        return st.one_of([_of(arg) for arg in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(_of(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, _of(args[1]), max_size=2)
    return _plain(
        annotation, {name: getattr(limit, name) for limit in limits for name in ("ge", "gt", "le", "lt", "pattern") if hasattr(limit, name)}
    )


def _plain(annotation: Any, limits: dict[str, Any]) -> st.SearchStrategy[Any]:
    lowest = limits.get("ge", limits["gt"] + 1 if "gt" in limits else None)
    if annotation is float:
        return st.floats(lowest, limits.get("le"), allow_nan=False)
    if annotation is int:
        return st.integers(lowest, limits.get("le"))
    if annotation is str:
        return st.from_regex(limits["pattern"], fullmatch=True) if "pattern" in limits else TEXT
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return st.deferred(lambda: contracts(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return {bool: st.booleans(), bytes: st.binary(max_size=8), type(None): st.none()}[annotation]
