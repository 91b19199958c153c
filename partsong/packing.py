"""Packing: what was learned as bytes and back, by the type hints of its frozen dataclasses; no pickle, nothing that is run.

A message is a mark, a version byte, a checksum and zlib-packed msgpack. Arrays stand as a type, a shape and their bytes: numbers with a
point in four bytes (seven digits: no decision turns on the eighth), those of large tables, which are summed over, in two (three digits),
whole ones in as few as hold them. What is read is held against the hints: a value of another type, a shape that its bytes do not fill, an
unknown field are all one error, `learned-unreadable`.
"""

import types
import zlib
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from hashlib import sha256
from math import prod
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from partsong.errors import InputError

__all__ = ["LEARNED_VERSION", "pack", "unpack", "unreadable"]

LEARNED_VERSION = 7
"""Raised when a field is added, renamed or means something else; what another version wrote is refused."""

_MARK = b"PSLN"
_SUM_BYTES = 16
_HEAD_BYTES = len(_MARK) + 1 + _SUM_BYTES
_LARGEST_BYTES = 512_000_000
_MOST_DIMENSIONS = 3
_LARGE_TABLE = 100_000
_LARGEST_IN_TWO = 100.0
_STORED = frozenset({"<f2", "<f4", "|i1", "<i2", "<i4", "<i8"})
_WHOLE = ("|i1", "<i2", "<i4")

T = TypeVar("T")


def pack(learned: object) -> bytes:
    """Return a frozen dataclass, and all it is made of, as bytes."""
    body = zlib.compress(msgpack.packb(_plain(learned, type(learned))), 6)
    return _MARK + bytes([LEARNED_VERSION]) + _sum(body) + body


def unpack(data: bytes, kind: type[T]) -> T:
    """Return what was packed; whatever else the bytes are is an InputError `learned-unreadable`."""
    if data[: len(_MARK)] != _MARK or len(data) < _HEAD_BYTES:
        raise unreadable("this is nothing that `partsong learn` wrote, or only its beginning")
    version, said, body = data[len(_MARK)], data[len(_MARK) + 1 : _HEAD_BYTES], data[_HEAD_BYTES:]
    if version != LEARNED_VERSION:
        raise unreadable(f"it has version {version}, this Partsong reads {LEARNED_VERSION}")
    if _sum(body) != said:
        raise unreadable("it is cut short or was changed: its checksum differs")
    try:
        learned: T = _read(_opened(body), kind)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, zlib.error) as error:
        raise unreadable(f"it does not hold what was expected ({error})") from None
    return learned


def unreadable(what: str) -> InputError:
    """Return the one error of everything that cannot be read."""
    return InputError("learned-unreadable", f"what was learned cannot be read: {what}", remedy="learn it anew: partsong learn MESH RUN...")


def _sum(body: bytes) -> bytes:
    return sha256(body).digest()[:_SUM_BYTES]


def _opened(body: bytes) -> Any:
    opener = zlib.decompressobj()
    plain = opener.decompress(body, _LARGEST_BYTES)
    if not opener.eof or opener.unused_data:
        raise ValueError(f"more than {_LARGEST_BYTES} bytes, or not all of them")
    return msgpack.unpackb(plain, strict_map_key=False)


def _plain(value: Any, hint: Any) -> Any:
    """Return the value as msgpack has it."""
    origin, of = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if is_dataclass(hint) and isinstance(hint, type):
        return {name: _plain(getattr(value, name), inner) for name, inner in _hints(hint).items()}
    if origin is np.ndarray:
        return _array(value)
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in of if kind is not types.NoneType]
        return _plain(value, kinds[0]) if len(kinds) == 1 else [type(value).__name__, _plain(value, type(value))]
    if hint == tuple[float, ...]:
        return _array(np.array(value, dtype=np.float64))
    if origin is tuple:
        return [_plain(one, kind) for one, kind in zip(value, _each(of, len(value)), strict=True)]
    if hint == dict[str, int]:
        return ["\n".join(value), _array(np.array(list(value.values()), dtype=np.int64))]
    if origin is dict:
        return [[_plain(key, of[0]), _plain(inner, of[1])] for key, inner in value.items()]
    return value.value if isinstance(value, Enum) else value


def _array(value: Any) -> list[Any]:
    stored = _pointed(value) if value.dtype.kind == "f" else next((w for w in _WHOLE if _fits(value, w)), "<i8")
    packed = np.ascontiguousarray(value, dtype=stored)
    return [stored, list(value.shape), packed.tobytes()]


def _pointed(value: Any) -> str:
    """Return how numbers with a point are kept: weights of many thousand words lie near nought, where two bytes are as good as four."""
    return "<f2" if value.ndim == 2 and value.size >= _LARGE_TABLE and abs(value).max() < _LARGEST_IN_TWO else "<f4"


def _fits(value: Any, stored: str) -> bool:
    limits = np.iinfo(stored)
    return bool(value.size == 0 or (value.min() >= limits.min and value.max() <= limits.max))


def _read(plain: Any, hint: Any) -> Any:
    """Return the value that msgpack's stands for; ValueError, TypeError or KeyError when it is not of this type."""
    origin, of = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        _expect(isinstance(plain, dict) and set(plain) == set(_hints(hint)), hint.__name__)
        return hint(**{name: _read(plain[name], inner) for name, inner in _hints(hint).items()})
    if origin is np.ndarray:
        return _read_array(plain, get_args(of[1])[0])
    if origin in (Union, types.UnionType):
        return _read_one_of(plain, of)
    if hint == tuple[float, ...]:
        return tuple(_read_array(plain, np.float64, 1).tolist())
    if origin is tuple:
        _expect(isinstance(plain, list), "a list")
        return tuple(_read(one, kind) for one, kind in zip(plain, _each(of, len(plain)), strict=True))
    if hint == dict[str, int]:
        return _read_numbered(plain)
    if origin is dict:
        return {_read(key, of[0]): _read(inner, of[1]) for key, inner in plain}
    return _read_plain(plain, hint)


def _read_plain(plain: Any, hint: Any) -> Any:
    if get_origin(hint) is Literal:
        _expect(plain in get_args(hint), "one of a few words")
        return plain
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(plain)
    _expect(type(plain) is hint or (hint is float and type(plain) is int), getattr(hint, "__name__", str(hint)))
    return hint(plain)


def _read_one_of(plain: Any, kinds: tuple[Any, ...]) -> Any:
    if plain is None:
        _expect(types.NoneType in kinds, "something")
        return None
    left = [kind for kind in kinds if kind is not types.NoneType]
    if len(left) == 1:
        return _read(plain, left[0])
    name, inner = plain
    return _read(inner, {kind.__name__: kind for kind in left}[name])


def _read_array(plain: Any, kind: Any, dimensions: int | None = None) -> Any:
    stored, shape, held = plain
    _expect(stored in _STORED and isinstance(held, bytes), "an array")
    _expect(len(shape) in range(_MOST_DIMENSIONS + 1) and dimensions in (None, len(shape)), "an array's dimensions")
    _expect(all(type(side) is int and side >= 0 for side in shape), "an array's shape")
    _expect(prod(shape) * np.dtype(stored).itemsize == len(held), "an array that its bytes fill")
    _expect((np.dtype(stored).kind == "f") == (np.dtype(kind).kind == "f"), "an array's kind of number")
    return np.frombuffer(held, dtype=stored).reshape(shape).astype(kind)


def _read_numbered(plain: Any) -> dict[str, int]:
    names, numbers = plain
    _expect(isinstance(names, str), "words")
    values = _read_array(numbers, np.int64, 1).tolist()
    keys = names.split("\n") if values else []
    return dict(zip(keys, values, strict=True))


def _each(kinds: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    return kinds[:1] * count if len(kinds) == 2 and kinds[1] is ... else kinds


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} was expected")
