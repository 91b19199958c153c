"""Plans: ways of combining models, each pure code over the port."""

from partsong.plans.kinds import PLANS, PlanField, plan_kinds
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step

__all__ = ["PLANS", "Plan", "PlanField", "Port", "Step", "plan_kinds"]
