"""The wire: batches of contracts as bytes between actors and in the journal; a version byte, then msgpack.

Nothing but this module's own WireError comes out of reading bytes, whatever they are, and no error repeats what they hold.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgpack
from pydantic import TypeAdapter, ValidationError

from partsong.errors import WireError

__all__ = ["WIRE_VERSION", "Codec"]

WIRE_VERSION = 1
"""First byte of every message; raised when a message of the version before can no longer be read."""

_HEAD = bytes([WIRE_VERSION])
_HEAD_OF_ONE = _HEAD + b"\x91"  # msgpack: a list of one
_BIG_INT = 1  # msgpack extension: an integer past 64 bits, two's complement, big end first

T = TypeVar("T")


class Codec(Generic[T]):
    """Packs lists of one contract, or of a union of them: `Codec[Answer | Failure](Answer | Failure)`.

    A member of a union is found by its fields: contracts forbid unknown ones, so at most one class fits.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    @cached_property
    def _adapter(self) -> TypeAdapter[list[T]]:
        return TypeAdapter(list[self._kind])  # type: ignore[name-defined]

    def pack(self, items: Sequence[T]) -> bytes:
        """Return the items as bytes; a value that would not come back (of a wrong type, nested past 250 levels) is a WireError."""
        try:
            return _HEAD + _packed(self._adapter.dump_python(list(items), warnings="error", exclude_defaults=True))
        except _UNPACKABLE:
            return self._packed_with_care(items)

    def pack_each(self, items: Sequence[T]) -> list[bytes]:
        """Return every item as a message of its own, as `pack([item])` would."""
        try:
            return [
                _HEAD_OF_ONE + _packed(plain) for plain in self._adapter.dump_python(list(items), warnings="error", exclude_defaults=True)
            ]
        except _UNPACKABLE:
            return [self._packed_with_care([item]) for item in items]

    def _packed_with_care(self, items: Sequence[T]) -> bytes:
        """Pack what was built without checks (a list for a tuple, an integer for a float) if it can be read back."""
        try:
            message = _HEAD + _packed(self._adapter.dump_python(list(items), warnings="none"))
        except _UNPACKABLE as error:
            raise _invalid("a value cannot be packed", error) from None
        self.unpack(message)
        return message

    def unpack(self, data: bytes) -> list[T]:
        """Return the items of packed bytes; what is not ours, of another version or cut short is a WireError."""
        _check_version(data)
        try:
            return self._adapter.validate_python(_unpacked(data))
        except ValidationError as error:
            raise WireError("wire-invalid", f"a message does not hold what was expected: {_outline(error)}", remedy=_REMEDY) from None


_UNPACKABLE = (ValueError, TypeError, RecursionError, OverflowError)

_REMEDY = "run the same version of Partsong in every process"


def _packed(plain: object) -> bytes:
    packed = msgpack.packb(plain, default=_extended, unicode_errors="surrogatepass")
    assert isinstance(packed, bytes)
    return packed


def _extended(value: object) -> msgpack.ExtType:
    if isinstance(value, int):
        return msgpack.ExtType(_BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
    raise TypeError(f"a {type(value).__name__} has no place in a message")


def _check_version(data: bytes) -> None:
    if not data:
        raise WireError("wire-truncated", "a message is empty", remedy="the sender died or the connection broke: send it again")
    if data[0] != WIRE_VERSION:
        raise WireError("wire-version", f"a message has version {data[0]}, this process reads {WIRE_VERSION}", remedy=_REMEDY)


def _unpacked(data: bytes) -> object:
    body = memoryview(data)[1:]
    try:
        return msgpack.unpackb(body, ext_hook=_restored, unicode_errors="surrogatepass")
    except _UNPACKABLE as error:
        if _ends_early(body):
            raise WireError("wire-truncated", f"a message of {len(data)} bytes ends early", remedy="send it again") from None
        raise _invalid("a message is no msgpack", error) from None


def _restored(code: int, payload: bytes) -> int:
    if code != _BIG_INT:
        raise ValueError(f"extension {code} is unknown")
    return int.from_bytes(payload, "big", signed=True)


def _ends_early(body: memoryview) -> bool:
    unpacker = msgpack.Unpacker(max_buffer_size=len(body) + 1)
    unpacker.feed(body)
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _invalid(what: str, error: Exception) -> WireError:
    return WireError("wire-invalid", f"{what} ({type(error).__name__})", remedy=_REMEDY)


def _outline(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    spot = ".".join(
        part if isinstance(part, str) and part.isidentifier() else "*" if isinstance(part, str) else str(part) for part in first["loc"]
    )
    return f"{first['type']} at {spot or 'the top'}"
