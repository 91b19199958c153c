"""Trust: when is a tier's answer good enough to stop climbing? One rule a class, each with the confidence it measured."""

from partsong.plans.trust.rule import Asked, Threshold, TrustRule, Verdict
from partsong.plans.trust.rules import TRUST_RULES, TrustField

__all__ = ["TRUST_RULES", "Asked", "Threshold", "TrustField", "TrustRule", "Verdict"]
