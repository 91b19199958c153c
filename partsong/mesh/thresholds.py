"""Thresholds: whether those that were learned are those of the mesh's cascades, so that what was promised of them holds."""

from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b

from pydantic import TypeAdapter, ValidationError

from partsong.errors import Problem
from partsong.learning.knowledge import Knowledge
from partsong.mesh.sound import Sound
from partsong.plans import PlanField
from partsong.plans.cascade import Cascade
from partsong.plans.plan import Plan

__all__ = ["made_of", "threshold_errors"]

_LEARN = "learn it from runs of this mesh: partsong learn MESH RUN... -o learned/"
_BY_HAND = "learn it anew with more labelled rows or a larger --max-loss, or write thresholds by hand"
_PLAN: TypeAdapter[Plan] = TypeAdapter(PlanField)


def threshold_errors(sound: Sound, knowledge: Knowledge | None) -> Iterator[Problem]:
    """Yield what keeps cascades from learned thresholds: those are of their own tiers, and were tested with the plans that they ask."""
    for name, plan in sound.plans.items():
        if isinstance(plan, Cascade) and plan.learned:
            yield from _errors_of(sound, name, plan, knowledge)


def _errors_of(sound: Sound, name: str, plan: Cascade, knowledge: Knowledge | None) -> Iterator[Problem]:
    at = sound.place("plans", name)
    if within := [inner for inner in _within(plan, sound.plans) if _goes_by_learned(sound.plans[inner])]:
        what = f"{', '.join(map(repr, within))} within {name!r} goes by what is learned too, so nothing could be promised of both together"
        yield Problem("nested-learned", what, at, "let plans that such a cascade asks go by numbers of their own")
    if knowledge is None:
        return
    found = knowledge.thresholds(plan.rungs)
    if found is None:
        yield Problem("threshold-not-learned", f"no thresholds are learned for {name!r} ({' > '.join(plan.rungs)})", at, _LEARN)
    elif found.made_of != made_of(plan, sound.plans):
        yield Problem("threshold-not-learned", f"a plan that {name!r} asks was changed after its thresholds were learned", at, _LEARN)
    elif not found.levels:
        yield Problem("threshold-not-learned", f"no thresholds can be promised for {name!r}: {found.words}", at, _BY_HAND)


def made_of(plan: Plan, plans: Mapping[str, Plan]) -> str:
    """Return what tells the plans that this one asks, and those that they ask, from others of the same names."""
    inner = sorted((name, plans[name].kind, plans[name].model_dump_json(by_alias=True)) for name in _within(plan, plans))
    return blake2b(repr(inner).encode(), digest_size=8).hexdigest()


def _within(plan: Plan, plans: Mapping[str, Plan]) -> Collection[str]:
    found: dict[str, None] = {}
    ahead = list(plan.asks())
    while ahead:
        name = ahead.pop()
        if name in plans and name not in found:
            found[name] = None
            ahead += plans[name].asks()
    return found


def _goes_by_learned(plan: Plan) -> bool:
    """Return whether it could not be read were nothing learned."""
    try:
        _PLAN.validate_python({plan.kind: plan.model_dump(mode="json", by_alias=True)}, context={"nothing_learned": True})
    except ValidationError:
        return True
    return False
