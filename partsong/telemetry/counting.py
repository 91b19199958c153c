"""Counting: the port of whatever is told what happens, whether or not it is traced: OpenTelemetry's meters, Ray's metrics."""

from collections.abc import Callable, Mapping
from typing import Protocol

from partsong.telemetry.attributes import Attribute
from partsong.telemetry.span import Span

__all__ = ["Counting"]


class Counting(Protocol):
    """Called in the path of every call: it adds up, and sends at another time."""

    def called(self, span: Span, base: Mapping[str, Attribute]) -> None:
        """Count one attempt at a model; `base` says which."""

    def settled(self, span: Span) -> None:
        """Count one row, plan or merge."""

    def gauge(self, name: str, unit: str, description: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute]) -> None:
        """Tell a level that is read when metrics are sent, unless it is None; those of one name with the same attributes are added up."""

    def count(self, name: str, unit: str, description: str, read: Callable[[], float], attributes: Mapping[str, Attribute]) -> None:
        """Tell what only rises, read when metrics are sent; those of one name with the same attributes are added up."""

    def close(self, timeout_s: float) -> None:
        """Send what is left, for at most this long."""
