"""One-key style: a piece of the mesh file whose single key names its kind: `{cascade: ...}`, `{logprob: 0.85}`, or a bare `majority`."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

__all__ = ["OneKey"]


class OneKey:
    """Annotates a base class: `PlanField = Annotated[Plan, OneKey("plan", PLANS)]`.

    A kind's name alone stands for the kind with its defaults (`majority`). A kind whose class has `bare: ClassVar[str]` also takes the
    value of that one field in place of a mapping (`{logprob: 0.85}`); such an error's place leaves the field out, as the file does.
    """

    def __init__(self, noun: str, kinds: Mapping[str, type[BaseModel]] | Callable[[], Mapping[str, type[BaseModel]]]) -> None:
        self._noun = noun
        self._given = kinds

    @property
    def kinds(self) -> Mapping[str, type[BaseModel]]:
        """The classes by the key that names them."""
        return self._given() if callable(self._given) else self._given

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, info: ValidationInfo) -> Any:
            return value if isinstance(value, source) else self._read(value, info.context)

        written = core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        return core_schema.with_info_plain_validator_function(read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shapes = [_shape(kind, made, handler) for kind, made in self.kinds.items()]
        alone = [kind for kind, made in self.kinds.items() if not any(f.is_required() for f in made.model_fields.values())]
        return {"anyOf": [*shapes, {"enum": alone}] if alone else shapes}

    def _read(self, value: Any, context: Any) -> Any:
        kind, fields = self._opened(value)
        if kind not in self.kinds:
            raise self._unknown(kind)
        made = self.kinds[kind]
        bare: str = getattr(made, "bare", "")
        is_bare = bool(bare) and not isinstance(fields, Mapping | made)
        try:
            return made.model_validate({bare: fields} if is_bare else fields, context=context)
        except ValidationError as error:
            raise _moved(error, kind, bare if is_bare else None) from None

    def _opened(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, str):
            return value, {}
        if isinstance(value, Mapping) and len(value) == 1:
            (kind, fields), *_ = value.items()
            return str(kind), {} if fields is None else fields
        found = f"{len(value)} keys ({', '.join(map(str, value))})" if isinstance(value, Mapping) else type(value).__name__
        raise PydanticCustomError(
            "one-key",
            "a {noun} is written as one key that names its kind, one of: {kinds}; here: {found}",
            {"noun": self._noun, "kinds": ", ".join(self.kinds), "found": found},
        )

    def _unknown(self, kind: str) -> PydanticCustomError:
        near = get_close_matches(kind, self.kinds, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(self.kinds)}"
        return PydanticCustomError(
            "unknown-kind", "no kind of {noun} is called {kind}; {hint}", {"noun": self._noun, "kind": repr(kind), "hint": hint}
        )


def _written(value: Any, info: SerializationInfo) -> Any:
    fields = value.model_dump(
        mode=info.mode,
        by_alias=info.by_alias,
        exclude_unset=info.exclude_unset,
        exclude_defaults=info.exclude_defaults,
        exclude_none=info.exclude_none,
    )
    return {value.kind: fields}


def _shape(kind: str, made: type[BaseModel], handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    full = handler(made.__pydantic_core_schema__)
    bare = getattr(made, "bare", "")
    properties = handler.resolve_ref_schema(full).get("properties", {}) if bare else {}
    inner = {"anyOf": [properties[bare], full]} if bare in properties else full
    return {"type": "object", "properties": {kind: inner}, "required": [kind], "additionalProperties": False}


_KNOWN_ERRORS: frozenset[str] = frozenset(get_args(core_schema.ErrorType))


def _moved(error: ValidationError, kind: str, bare: str | None) -> ValidationError:
    """Return the error with every place seen from outside the kind's key."""
    lines: list[InitErrorDetails] = []
    for line in error.errors(include_url=False):
        loc = line["loc"][1:] if bare is not None and line["loc"][:1] == (bare,) else line["loc"]
        known = line["type"] in _KNOWN_ERRORS
        what = line["type"] if known else PydanticCustomError(line["type"], line["msg"].replace("{", "{{").replace("}", "}}"))
        lines.append(InitErrorDetails(type=what, loc=(kind, *loc), input=line["input"], ctx=line.get("ctx", {}) if known else {}))
    return ValidationError.from_exception_data(error.title, lines)
