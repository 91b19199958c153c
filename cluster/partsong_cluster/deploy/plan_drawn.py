"""A plan as a person reads it: a line for each difference, aligned."""

from typing import Any

from partsong_cluster.deploy.plan import Plan, Step

__all__ = ["drawn"]


def drawn(plan: Plan) -> str:
    """Return the plan as text."""
    head = f"system {plan.system}: " + _verdict(plan)
    heads = [f"{step.what} {step.field}".rstrip() for step in plan.steps]
    width = max(map(len, heads), default=0)
    lines = [
        f"  {step.sign} {name:<{width}}  {_difference(step)}" + (f"  ({step.note})" if step.note else "")
        for name, step in zip(heads, plan.steps, strict=True)
    ]
    return "\n".join([head, *lines])


def _verdict(plan: Plan) -> str:
    if not plan.exists:
        return "does not run yet, and is started"
    if plan.nothing:
        return "is as the deploy file says; there is nothing to do"
    if plan.restarts:
        return "has to end and begin anew for what is marked `!`"
    return "is changed while it works" if plan.known else "runs, and nobody applied a deploy file to it; its pools are set anew"


def _difference(step: Step) -> str:
    if step.before is None and step.sign in "+~" and not step.field:
        return _shown(step.after)
    if step.sign == "-":
        return _shown(step.before)
    return f"{_shown(step.before)} -> {_shown(step.after)}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
