"""Epoch: which holder of a name is the latest; a store takes nothing from an earlier one."""

from pydantic import PositiveInt

from partsong.contracts.frozen import Frozen

__all__ = ["Epoch"]


class Epoch(Frozen):
    """One holding of a name."""

    name: str
    """What is held: an actor's name, `partsong/coordinator-0`."""
    number: PositiveInt
    """Counted by the store: whoever claims the name gets the next one."""
