"""Rules: every merge rule by the key that names it in the mesh file."""

import json
from functools import lru_cache
from typing import Annotated

from pydantic import JsonValue, TypeAdapter

from partsong.contracts.onekey import OneKey
from partsong.merging.majority import Majority
from partsong.merging.rule import MergeRule

__all__ = ["MERGE_RULES", "MergeField", "merge_rule"]

MERGE_RULES: dict[str, type[MergeRule]] = {
    "majority": Majority,
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
