"""As task: the fields of a row, in either of the two shapes, become a task.

Either OpenAI's Batch shape (`custom_id`, `method`, `url`, `body`) or the plain one: `id`, `prompt` (or `messages`), and if wanted
`system`, `use`, `constraints`, `schema`, `sampling`, `tools`; every other field is metadata.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, JsonValue, PositiveInt, ValidationError
from pydantic_core import from_json

from partsong.contracts import Constraints, Duration, Frozen, Message, Sampling, Task, TextPart, Usd
from partsong_cluster.batch import openai_request
from partsong_cluster.batch.position import BadRowError
from partsong_cluster.batch.record import json_kind

__all__ = ["Columns", "Shape", "as_task", "row_id"]

_LONGEST_ID = 512


@dataclass(frozen=True, slots=True)
class Columns:
    """Which field of a plain row is which."""

    id: str = "id"
    prompt: str = "prompt"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a row's fields mean."""

    columns: Columns = Columns()
    names: frozenset[str] = frozenset()
    """The mesh's models and plans: an OpenAI row's `model` among them chooses it, any other leaves the choice to the routes."""


class _Limits(Frozen):
    """A row's `constraints`: as in the contract, and with units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline: Duration | None = None
    deadline_s: Duration | None = None
    max_cost_usd: Usd | None = None
    max_calls: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    urgency: Literal["low", "normal", "high"] = "normal"
    fallbacks: bool = True

    def constraints(self) -> Constraints:
        return Constraints(
            deadline_s=self.deadline if self.deadline is not None else self.deadline_s,
            max_cost_usd=self.max_cost_usd,
            max_calls=self.max_calls,
            max_tokens=self.max_tokens,
            urgency=self.urgency,
            fallbacks=self.fallbacks,
        )


def as_task(fields: Mapping[str, Any], id: str, shape: Shape) -> Task:
    """Return the task of this id; BadRowError says why the fields are none."""
    try:
        if "body" in fields and ("custom_id" in fields or "url" in fields):
            return _of_openai(fields, id, shape)
        return _of_plain(fields, id, shape.columns)
    except ValidationError as error:
        raise BadRowError(_outline(error)) from None


def row_id(fields: Mapping[str, Any], default_id: str, shape: Shape) -> str:
    """Return the row's id; the default when it names none."""
    given = fields.get("custom_id", fields.get(shape.columns.id))
    return default_id if given is None else _id(given)


def _of_openai(fields: Mapping[str, Any], id: str, shape: Shape) -> Task:
    url, method, body = fields.get("url", openai_request.CHAT_URL), fields.get("method", "POST"), fields["body"]
    if url != openai_request.CHAT_URL:
        raise BadRowError(f"url is {url!r}; only {openai_request.CHAT_URL} is answered")
    if method != "POST":
        raise BadRowError(f"method is {method!r}, not POST")
    if not isinstance(body, dict):
        raise BadRowError(f"body is {json_kind(body)}, not an object")
    if body.get("n", 1) != 1:
        raise BadRowError("body.n is not 1: one row gets one answer")
    model = body.get("model")
    return Task(
        id=id,
        messages=openai_request.messages(body.get("messages")),
        use=fields.get("use") or (model if model in shape.names else None),
        sampling=openai_request.sampling(body),
        answer_schema=openai_request.answer_schema(body),
        tools=openai_request.tools(body),
        constraints=_constraints(fields.get("constraints")),
        metadata={**(body.get("metadata") or {}), **_rest(fields, _OPENAI_FIELDS)},
    )


_OPENAI_FIELDS = frozenset({"custom_id", "method", "url", "body", "use", "constraints"})
_PLAIN_FIELDS = frozenset({"messages", "system", "use", "constraints", "schema", "sampling", "tools", "metadata"})


def _of_plain(fields: Mapping[str, Any], id: str, columns: Columns) -> Task:
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadRowError(f"metadata is {json_kind(metadata)}, not an object")
    return Task(
        id=id,
        messages=_messages(fields, columns),
        use=fields.get("use") or None,
        sampling=Sampling.model_validate(_opened(fields.get("sampling")) or {}),
        answer_schema=_opened(fields.get("schema")),
        tools=openai_request.tools(fields),
        constraints=_constraints(fields.get("constraints")),
        metadata={**metadata, **_rest(fields, _PLAIN_FIELDS | {columns.id, columns.prompt})},
    )


def _messages(fields: Mapping[str, Any], columns: Columns) -> tuple[Message, ...]:
    if fields.get("messages"):
        return openai_request.messages(fields["messages"])
    prompt = fields.get(columns.prompt)
    if prompt is None and columns.prompt in fields:
        raise BadRowError(f"{columns.prompt} is null")
    if prompt is None:
        raise BadRowError(f"no prompt: there is no field {columns.prompt!r} (fields: {_named(fields)}); --prompt-column names another")
    if not isinstance(prompt, str):
        raise BadRowError(f"{columns.prompt} is {json_kind(prompt)}, not text")
    if not prompt.strip():
        raise BadRowError(f"{columns.prompt} is empty")
    user = Message(role="user", parts=(TextPart(text=prompt),))
    system = fields.get("system")
    if not system:
        return (user,)
    return (Message(role="system", parts=(TextPart(text=system),)), user)


def _id(given: object) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise BadRowError(f"the id is {json_kind(given)}, not text or a whole number")
    text = str(given)
    if not text or len(text) > _LONGEST_ID:
        raise BadRowError(f"the id has {len(text)} characters; 1 to {_LONGEST_ID} are taken")
    return text


def _constraints(given: object) -> Constraints:
    opened = _opened(given)
    return Constraints() if opened is None else _Limits.model_validate(opened).constraints()


def _opened(given: object) -> Any:
    """Return a structured field; a CSV cell holds it as JSON text."""
    if not isinstance(given, str):
        return given
    try:
        return from_json(given, allow_inf_nan=False) if given.strip() else None
    except ValueError as error:
        raise BadRowError(f"a cell that should be JSON is not: {error}") from None


def _rest(fields: Mapping[str, Any], known: frozenset[str]) -> dict[str, JsonValue]:
    return {key: value for key, value in fields.items() if key not in known}


def _named(fields: Iterable[str]) -> str:
    listed = list(fields)
    shown = ", ".join(listed[:8])
    return f"{shown}, ..." if len(listed) > 8 else shown or "none"


def _outline(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    spot = ".".join(map(str, first["loc"]))
    return f"{spot}: {first['msg']}" if spot else first["msg"]
