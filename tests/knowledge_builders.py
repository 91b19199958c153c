"""What was learned of a few made models, for tests of what uses it."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from unit.learning.made import made

from partsong.learning.knowledge import Knowledge
from partsong.learning.learned import fit_learned
from partsong.learning.saved import save_learned
from partsong.learning.settings import Settings
from partsong.packing import pack

__all__ = ["EASY", "HARD", "MODELS", "knowledge", "saved", "with_newcomer"]

MODELS = ("m0", "m1", "m2", "m3")
"""From the strongest and dearest to the weakest and cheapest."""
EASY, HARD = "question number 7 is easy", "question number 7 is hard and long to think about"


@cache
def knowledge() -> Knowledge:
    """Return what 120 rows taught, where models state confidences that are too high, and the dear one is slow."""
    table = made(120)
    stated = np.where(table.right == 1.0, 0.95, 0.85)
    latency_s = np.tile(np.array([2.0, 0.5, 0.5, 0.1]), (120, 1))
    return Knowledge(pack(fit_learned(replace(table, stated=stated, latency_s=latency_s), Settings(), date="2026-11-30")))


@cache
def with_newcomer(card: float, probes: int) -> Knowledge:
    """Return what 80 rows taught where of the strong m0 there is a card, and so many outcomes."""
    table = made(80)
    right = table.right.copy()
    right[probes:, 0] = np.nan
    return Knowledge(pack(fit_learned(replace(table, right=right), Settings(), date="2026-11-30", cards={"m0": card})))


def saved(folder: Path) -> None:
    """Write it to `learned/` in the folder."""
    save_learned(knowledge().learned, folder / "learned")
