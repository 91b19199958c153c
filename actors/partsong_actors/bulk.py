"""Bulk: large parts of a call (images, sounds, files) lie in Ray's object store once, however many workers are sent them.

A message carries the call without those bytes, and beside it where they belong and are. Who sends the calls owns the bytes: when its
process dies, so do its calls, and nobody wants them any more.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray

from partsong.contracts import Call
from partsong.contracts.task import TextPart

__all__ = ["LARGE_BYTES", "Bulk", "Lender", "Slots", "whole"]

LARGE_BYTES = 256_000
"""From this size on the bytes of a part travel by themselves; smaller ones cost less within the message."""

_KEPT_BYTES = 64_000_000

Slots = Sequence[tuple[int, int, Any]]
"""Of one request: a message's place, a part's place in it, and Ray's reference to the part's bytes."""

Bulk = Sequence[tuple[int, Slots]]
"""Of a message between actors: requests by number."""


class Lender:
    """What one process has put there, by content: the same bytes are put once for as long as they were used lately."""

    def __init__(self, put: Callable[[bytes], Any] = ray.put, kept_bytes: int = _KEPT_BYTES) -> None:
        """`kept_bytes` bounds what is kept for calls to come; Ray keeps what calls under way need."""
        self._put = put
        self._kept_bytes = kept_bytes
        self._lent: OrderedDict[bytes, Any] = OrderedDict()
        self._bytes = 0

    def apart(self, call: Call) -> tuple[Call, Slots]:
        """Return the call without its large bytes, and where those are."""
        slots = [(message, part, self._reference(data)) for message, part, data in _large(call)]
        return (_filled(call, [(message, part, b"") for message, part, _ in slots]) if slots else call), slots

    def forget(self, call: Call) -> None:
        """Put the call's bytes anew when they are wanted again: what was put may be lost."""
        for _, _, data in _large(call):
            if self._lent.pop(data, None) is not None:
                self._bytes -= len(data)

    def _reference(self, data: bytes) -> Any:
        known = self._lent.pop(data, None)  # Python hashes bytes once, and compares the same object by its address
        if known is None:
            known = self._put(data)
            self._bytes += len(data)
        self._lent[data] = known
        while self._bytes > self._kept_bytes and len(self._lent) > 1:
            oldest, _ = self._lent.popitem(last=False)
            self._bytes -= len(oldest)
        return known


async def whole(call: Call, slots: Slots) -> Call:
    """Return the call with its bytes. Raises RayError when they are lost."""
    return _filled(call, [(message, part, await reference) for message, part, reference in slots])


def _large(call: Call) -> Iterator[tuple[int, int, bytes]]:
    for at, message in enumerate(call.task.messages):
        for place, part in enumerate(message.parts):
            data = None if isinstance(part, TextPart) else getattr(part, "data", None)
            if data is not None and len(data) > LARGE_BYTES:
                yield at, place, data


def _filled(call: Call, found: Sequence[tuple[int, int, bytes]]) -> Call:
    messages = list(call.task.messages)
    for at, place, data in found:
        parts = list(messages[at].parts)
        parts[place] = parts[place].model_copy(update={"data": data})
        messages[at] = messages[at].model_copy(update={"parts": tuple(parts)})
    return call.model_copy(update={"task": call.task.model_copy(update={"messages": tuple(messages)})})
