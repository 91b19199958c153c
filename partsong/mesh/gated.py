"""Gated: what the gate of a mesh chooses among."""

from collections.abc import Mapping
from math import isnan

from partsong.learning.knowledge import Estimate, Knowledge
from partsong.plans.frugal import Frugal
from partsong.plans.plan import Plan
from partsong.routing.gate import Gate, GateSpec

__all__ = ["choices", "gate_of"]


def gate_of(spec: GateSpec, knowledge: Knowledge, plans: Mapping[str, Plan]) -> Gate:
    """Return the gate; what it names has been checked. It is asked once, so that no row waits for the artefact to be read."""
    knowledge.estimates("")
    return Gate(spec, spec.among or _priced(knowledge), knowledge, _measured(knowledge, plans))


def choices(knowledge: Knowledge, plans: Mapping[str, Plan]) -> frozenset[str]:
    """Return every model and plan of which it is known what it is worth and costs."""
    return frozenset({*_priced(knowledge), *_measured(knowledge, plans)})


def _priced(knowledge: Knowledge) -> tuple[str, ...]:
    return tuple(usage.model for usage in knowledge.learned.usage if not isnan(usage.cost_usd))


def _measured(knowledge: Knowledge, plans: Mapping[str, Plan]) -> Mapping[str, Estimate]:
    """Return what plans give that were judged when they were learned."""
    aims = {name: plan.goal for name, plan in plans.items() if isinstance(plan, Frugal) and plan.goal is not None}
    found = {name: knowledge.measured(goal) for name, goal in aims.items()}
    return {name: one for name, one in found.items() if one is not None and not isnan(one.cost_usd)}
