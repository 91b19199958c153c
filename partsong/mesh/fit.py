"""Fit: whether what a cascade's tier asks can be trusted, or distrusted, by the rule it is given."""

from collections.abc import Iterator

from partsong.errors import Problem
from partsong.mesh.sound import Sound
from partsong.plans.cascade import Cascade
from partsong.plans.ensemble import Ensemble
from partsong.plans.trust.own import Agreement

__all__ = ["trust_warnings"]


def trust_warnings(sound: Sound) -> Iterator[Problem]:
    """Warn of `trust: {agreement: ...}` where no vote is taken, and where any vote is enough."""
    for plan_name, plan in sound.plans.items():
        for number, tier in enumerate(plan.tiers) if isinstance(plan, Cascade) else ():
            if not isinstance(tier.trust, Agreement):
                continue
            threshold = tier.trust.threshold
            at = sound.mentions(tier.ask, "plans", plan_name)[0]
            asked = sound.plans.get(tier.ask)
            if tier.ask in sound.models:
                what = f"tier {number + 1} trusts by agreement, but the model {tier.ask!r} takes no vote: it is never trusted"
                yield Problem("never-trusted", what, at, "ask an ensemble, or trust by {samples: {k: 3}} or {agrees_with: [...]}")
            elif isinstance(asked, Ensemble) and threshold != "learned" and (least := 1 / len(asked.members)) >= threshold:
                what = f"tier {number + 1} trusts an agreement of {threshold:g}, which any answer of {tier.ask!r} has"
                yield Problem("always-trusted", what, at, f"of {len(asked.members)} members one alone is {least:.2f}: ask for more")
