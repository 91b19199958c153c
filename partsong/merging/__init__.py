"""Merging: how several candidates become one answer."""

from partsong.merging.rule import MergeRule, Question
from partsong.merging.rules import MERGE_RULES, MergeField, merge_rule

__all__ = ["MERGE_RULES", "MergeField", "MergeRule", "Question", "merge_rule"]
