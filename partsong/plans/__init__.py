"""Plans: ways of combining models, each pure code over the port."""

from typing import Annotated

from partsong.contracts.onekey import OneKey
from partsong.plans.cascade import Cascade
from partsong.plans.decompose import Decompose
from partsong.plans.direct import Direct
from partsong.plans.ensemble import Ensemble
from partsong.plans.layers import Layers
from partsong.plans.pipeline import Pipeline
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step

__all__ = ["PLANS", "Plan", "PlanField", "Port", "Step"]

PLANS: dict[str, type[Plan]] = {plan.kind: plan for plan in (Direct, Cascade, Ensemble, Pipeline, Decompose, Layers)}
"""Every kind of plan by the key that names it in the mesh file."""

PlanField = Annotated[Plan, OneKey("plan", PLANS)]
"""A plan as the mesh file writes it: `{cascade: [...]}`, `{ensemble: {members: [...]}}`."""
