"""Trust rules: those that a mesh file can name, by their keys."""

from typing import Annotated

from partsong.contracts.onekey import OneKey
from partsong.plans.trust.agrees_with import AgreesWith
from partsong.plans.trust.form import Regex, Schema
from partsong.plans.trust.own import Agreement, Confidence, Logprob, MinLogprob
from partsong.plans.trust.python import Python
from partsong.plans.trust.rule import TrustRule
from partsong.plans.trust.samples import Samples
from partsong.plans.trust.verifier import Verifier

__all__ = ["TRUST_RULES", "TrustField"]

TRUST_RULES: dict[str, type[TrustRule]] = {
    rule.kind: rule for rule in (Logprob, MinLogprob, Confidence, Agreement, Samples, AgreesWith, Verifier, Regex, Schema, Python)
}

TrustField = Annotated[TrustRule, OneKey("trust rule", TRUST_RULES)]
"""A trust rule as the mesh file writes it: `{logprob: 0.85}`, `{samples: {k: 5, agreement: 0.6}}`."""
