"""Kinds: every plan by the key that names it in the mesh file; those of other packages come by entry point."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

from partsong.contracts.onekey import OneKey
from partsong.errors import MeshError
from partsong.plans.cascade import Cascade
from partsong.plans.decompose import Decompose
from partsong.plans.direct import Direct
from partsong.plans.ensemble import Ensemble
from partsong.plans.frugal import Frugal
from partsong.plans.layers import Layers
from partsong.plans.pipeline import Pipeline
from partsong.plans.plan import Plan

__all__ = ["PLANS", "PlanField", "plan_kinds"]

PLANS: dict[str, type[Plan]] = {
    "direct": Direct,
    "cascade": Cascade,
    "ensemble": Ensemble,
    "frugal": Frugal,
    "pipeline": Pipeline,
    "decompose": Decompose,
    "layers": Layers,
}
"""The plans that come with Partsong."""


def plan_kinds() -> Mapping[str, type[Plan]]:
    """Return these and every installed plan of another package (entry points of group `partsong.plans`); ours win a name."""
    return {**_installed(), **PLANS}


@lru_cache(maxsize=1)
def _installed() -> Mapping[str, type[Plan]]:
    return {point.name: _loaded(point) for point in entry_points(group="partsong.plans")}


def _loaded(point: EntryPoint) -> type[Plan]:
    try:
        plan: type[Plan] = point.load()
    except (ImportError, AttributeError) as error:
        remedy = f"install what {point.value} imports, or take its package off"
        raise MeshError("plan-broken", f"plan {point.name!r} cannot be loaded: {error}", remedy=remedy) from error
    return plan


PlanField = Annotated[Plan, OneKey("plan", plan_kinds)]
"""A plan as the mesh file writes it: `{cascade: [...]}`, `{ensemble: {members: [...]}}`."""
