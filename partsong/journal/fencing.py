"""Fencing: a store takes nothing from whoever holds a name no longer."""

from collections.abc import Iterable, Mapping

from partsong.contracts.epoch import Epoch
from partsong.errors import FencedError

__all__ = ["check_latest"]


def check_latest(under: Iterable[Epoch], latest: Mapping[str, int]) -> None:
    """Raise FencedError when any of the epochs is not the latest of its name."""
    for epoch in under:
        if latest.get(epoch.name) != epoch.number:
            what = f"epoch {epoch.number} of {epoch.name} is over: {_later(latest.get(epoch.name))}"
            raise FencedError("fenced", what, remedy="nothing is to be done: the later holder goes on")


def _later(number: int | None) -> str:
    return "the store does not know it" if number is None else f"{number} is the latest"
