"""Made outcomes: models of known strength on questions of known difficulty, so that what is learned can be held against the truth."""

import numpy as np

from partsong.learning.outcomes import Outcomes

STRENGTHS = (3.0, 1.5, 1.0, 0.5)
PRICES = (1e-3, 1e-4, 5e-5, 2e-5)
IN_A_MESH = """\
version: 1
models:
  m0: {adapter: python, target: "w:f"}
  m1: {adapter: python, target: "w:f"}
  m2: {adapter: python, target: "w:f"}
  m3: {adapter: python, target: "w:f"}
"""


def made(rows: int, seed: int = 0, *, strengths: tuple[float, ...] = STRENGTHS, prices: tuple[float, ...] = PRICES) -> Outcomes:
    """Hard questions say "hard" in their prompt; wrong answers are one of four, and look like right ones."""
    dice = np.random.default_rng(seed)
    hard = dice.random(rows) < 0.5
    chance = 1 / (1 + np.exp(-(np.array(strengths)[None, :] - np.where(hard, 1.5, -0.5)[:, None])))
    right = (dice.random(chance.shape) < chance).astype(np.float64)
    wrong = dice.integers(1, 5, chance.shape)
    answers = tuple(tuple("right" if r else f"bad {w}" for r, w in zip(rs, ws, strict=True)) for rs, ws in zip(right, wrong, strict=True))
    prompts = tuple(f"question number {i} is {'hard and long to think about' if h else 'easy'}" for i, h in enumerate(hard))
    cost = np.tile(np.array(prices), (rows, 1))
    kinds = tuple("hard" if h else "easy" for h in hard)
    return Outcomes(tuple(f"m{i}" for i in range(len(strengths))), prompts, right, answers, cost, kinds)
