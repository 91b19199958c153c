"""Rules: every merge rule by the key that names it in the mesh file."""

import json
from functools import lru_cache
from typing import Annotated

from pydantic import JsonValue, TypeAdapter

from partsong.contracts.onekey import OneKey
from partsong.merging.best import Best
from partsong.merging.compose import Compose
from partsong.merging.fuse import Fuse
from partsong.merging.majority import Majority
from partsong.merging.numeric import Mean, Median, TrimmedMean
from partsong.merging.rule import MergeRule
from partsong.merging.weighted import Weighted

__all__ = ["MERGE_RULES", "MergeField", "merge_rule"]

MERGE_RULES: dict[str, type[MergeRule]] = {
    "majority": Majority,
    "weighted": Weighted,
    "mean": Mean,
    "median": Median,
    "trimmed_mean": TrimmedMean,
    "best": Best,
    "fuse": Fuse,
    "compose": Compose,
}

MergeField = Annotated[MergeRule, OneKey("merge rule", MERGE_RULES)]
"""A merge rule as the mesh file writes it: `majority`, `{majority: {kind: number}}`, `{best: {judge: large}}`."""


def merge_rule(entry: JsonValue) -> MergeRule:
    """Return the rule that `MergeRule.entry` wrote; the same one for the same entry."""
    return _read(json.dumps(entry, sort_keys=True))


@lru_cache(maxsize=256)
def _read(entry: str) -> MergeRule:
    adapter: TypeAdapter[MergeRule] = TypeAdapter(MergeField)
    return adapter.validate_python(json.loads(entry))
