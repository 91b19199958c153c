"""Form: trust an answer that looks as it should, by a regular expression or a JSON Schema."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, JsonValue, model_validator

from partsong.patterns import Pattern, found_by
from partsong.plans.structured import InvalidAnswerError, parsed, schema_problem
from partsong.plans.trust.rule import Asked, TrustRule, Verdict, passed

__all__ = ["Regex", "Schema"]


class Regex(TrustRule):
    """Trust an answer in which a regular expression is found (anchor it with ^ and $ for the whole)."""

    kind: ClassVar[str] = "regex"
    bare: ClassVar[str] = "pattern"

    pattern: Pattern
    """No look-around, no back references (Rust's syntax, linear time)."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        found = found_by(self.pattern)(asked.answer.text.strip())
        return passed(found, f"{'matches' if found else 'does not match'} {self.pattern}")


def _any_schema(shape: dict[str, Any]) -> None:
    """Say for editors what stands right under `schema`."""
    shape.clear()
    shape |= {"type": "object", "description": "The JSON Schema that a trusted answer satisfies."}


class Schema(TrustRule):
    """Trust an answer that is JSON and satisfies a JSON Schema."""

    model_config = ConfigDict(json_schema_extra=_any_schema)

    kind: ClassVar[str] = "schema"

    answer_schema: dict[str, JsonValue]
    """The JSON Schema; in the mesh file it stands right under `schema`."""

    @model_validator(mode="before")
    @classmethod
    def _right_under(cls, value: Any) -> Any:
        return {"answer_schema": value} if isinstance(value, Mapping) and set(value) != {"answer_schema"} else value

    @model_validator(mode="after")
    def _is_schema(self) -> "Schema":
        if problem := schema_problem(self.answer_schema):
            raise ValueError(problem)
        return self

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        try:
            value = parsed(asked.answer.text, self.answer_schema)
        except InvalidAnswerError as error:
            return passed(False, f"does not satisfy the schema: {error}")
        answer = asked.answer if asked.answer.value is not None else asked.answer.model_copy(update={"value": value})
        return Verdict(trusted=True, confidence=1.0, reason="satisfies the schema", answer=answer)
