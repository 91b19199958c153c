"""Small builders for the plans' tests."""

import pytest
from pydantic import TypeAdapter, ValidationError

from partsong.plans import Plan, PlanField

_PLAN: TypeAdapter[Plan] = TypeAdapter(PlanField)


def plan(kind: str, fields: object, **context: object) -> Plan:
    """Return a plan as the mesh file writes it."""
    return _PLAN.validate_python({kind: fields}, context=context)


def refused(kind: str, fields: object, **context: object) -> str:
    """Return what is said of a plan that cannot be: one `place: message` a line."""
    with pytest.raises(ValidationError) as caught:
        plan(kind, fields, **context)
    return "\n".join(f"{'.'.join(map(str, line['loc']))}: {line['msg']}" for line in caught.value.errors())
