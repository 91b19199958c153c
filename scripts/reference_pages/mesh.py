"""The mesh file's page: every field of every piece, read off the schemas that check it."""

import inspect
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from partsong.adapters.adapter import adapter_kinds
from partsong.contracts import ModelSpec
from partsong.contracts.onekey import OneKey
from partsong.evaluation.reading import KINDS
from partsong.merging import MERGE_RULES
from partsong.mesh.learned import LearnedSpec
from partsong.mesh.schema import Mesh, StoreSpec
from partsong.plans import PLANS
from partsong.plans.trust import TRUST_RULES
from partsong.prompts import PromptTemplate
from partsong.routing.experiments import EXPERIMENTS
from partsong.routing.gate import GateSpec
from partsong.routing.rules import Condition, RouteRule
from partsong.routing.tree import Tree
from partsong.telemetry.spec import TelemetrySpec
from partsong.units import duration_s, size_bytes

__all__ = ["page", "piece"]

_INTRO = """# The mesh file

One YAML file names models, plans and routes. Unknown keys are errors; `partsong config check FILE` reports all of them at once, and
`partsong config schema` prints the JSON Schema by which an editor completes the file. How to write one: [the mesh file](../mesh-file.md).

- **One key names a kind.** A plan, a merge rule, a trust rule, a kind of answer and an experiment are each written as one key:
  `{majority: {kind: number}}`. A kind without needed fields may stand as a bare word (`merge: majority`), and where *short form* is said
  below, the value of the one field may stand in place of a mapping (`{logprob: 0.85}`).
- **Names** of models, plans and experiments are a letter, then letters, digits, `_`, `.` or `-`, at most 64 characters. They share one
  set of names; whatever asks for a model may ask for a plan, and rows and routes may name any of the three.
- **Durations** are seconds or have a unit: `250ms`, `60s`, `2m`, `1h`. **Sizes** are bytes or have a unit: `512kB`, `64MB`, `1GiB`.
- **Prompts** are Jinja templates, in place or the name of a file (`.j2`, `.jinja`, `.txt`, `.md`) beside the mesh file.
- `extends: FILE` lays this file over another; `include: [FILE, ...]` adds other files' models and plans.
"""

_FAMILIES: Mapping[str, tuple[str, str, Mapping[str, type[BaseModel]]]] = {
    "plan": ("Plans", "plan", PLANS),
    "merge rule": ("Merge rules", "merge-rule", MERGE_RULES),
    "trust rule": ("Trust rules", "trust-rule", TRUST_RULES),
    "kind of answer": ("Kinds of answers", "kind-of-answer", KINDS),
    "experiment": ("Experiments", "experiment", EXPERIMENTS),
}
"""The heading and the anchor of each one-key family, by its noun."""


_COUNTED = {"text", "name", "prompt", "number", "whole number"}


def page() -> str:
    """Return the page."""
    return "\n".join([_INTRO, *_sections(set())])


def _sections(shown: set[type[BaseModel]]) -> Iterator[str]:
    yield from piece(shown, "## The file", Mesh)
    yield from piece(shown, "## Models", ModelSpec, lead="Fields of every model, whatever its adapter. Each adapter adds its own, below.")
    for name, spec in _adapters():
        yield from piece(shown, f"### `adapter: {name}`", spec, without=set(ModelSpec.model_fields))
    for title, anchor, kinds in _FAMILIES.values():
        yield f"## {title}\n"
        for kind, made in kinds.items():
            yield from piece(shown, f"### {_titled(kind, anchor)}", made)
    yield "## Routes\n"
    yield from piece(shown, "### `routes`", RouteRule, lead="A list; the first rule that matches takes the row.")
    yield from piece(shown, "### `when`", Condition)
    yield from piece(shown, "### `tree`", Tree)
    yield from piece(shown, "### `gate`", GateSpec)
    yield from piece(shown, "## `store`", StoreSpec)
    yield from piece(shown, "## `telemetry`", TelemetrySpec)


def _adapters() -> Iterator[tuple[str, type[ModelSpec]]]:
    """Yield Partsong's own adapters' schemas; those of other packages are theirs to document."""
    kinds = adapter_kinds()
    for name in sorted(kinds):
        if kinds[name].__module__.startswith("partsong."):
            yield name, kinds[name].Spec


def _titled(kind: str, anchor: str) -> str:
    return f"`{kind}` ({anchor.replace('-', ' ')})"


def piece(
    shown: set[type[BaseModel]], heading: str, made: type[BaseModel], *, lead: str = "", without: set[str] | None = None
) -> Iterator[str]:
    """Yield a heading, what the class says of itself, its fields, and the pieces in them that are not shown yet."""
    shown.add(made)
    yield f"{heading}\n"
    if text := lead or _prose(made):
        yield f"{text}\n"
    if bare := getattr(made, "bare", ""):
        yield f"Short form: the value of `{_key(made, bare)}` in place of a mapping.\n"
    fields = [(name, info) for name, info in made.model_fields.items() if name not in (without or set())]
    if fields:
        yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
        for name, info in fields:
            words, meaning = _words(info.annotation, info.metadata), _cell(info.description or "")
            yield f"| `{info.alias or name}` | {words} | {_default(info)} | {meaning} |"
        yield ""
    elif not without:
        yield "No fields.\n"
    level = "#" * min(6, len(heading.split()[0]) + 1)
    for inner in _own_pieces(fields):
        if inner not in shown:
            yield from piece(shown, f"{level} {inner.__name__}", inner)


def _own_pieces(fields: list[tuple[str, FieldInfo]]) -> list[type[BaseModel]]:
    """Return the classes in these fields that have no section of their own."""
    sectioned = {Mesh, ModelSpec, RouteRule, Condition, StoreSpec, TelemetrySpec, PromptTemplate, LearnedSpec, Tree, GateSpec}
    found = dict.fromkeys(made for _, info in fields for made in _classes(info.annotation, info.metadata))
    return [made for made in found if made not in sectioned]


def _classes(annotation: Any, metadata: list[Any]) -> Iterator[type[BaseModel]]:
    if _one_key(metadata) is not None:
        return
    if hasattr(annotation, "__metadata__"):
        yield from _classes(annotation.__origin__, list(annotation.__metadata__))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _classes(argument, [])


def _prose(made: type[BaseModel]) -> str:
    """Return the class's docstring as Markdown; a bullet list in it stays one."""
    text = inspect.cleandoc(made.__doc__ or "")
    return re.sub(r"\s*\b(See|see) [A-Z]\w+\.\w+\.?", "", text)


def _key(made: type[BaseModel], name: str) -> str:
    return made.model_fields[name].alias or name


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    value = info.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else _shown(value)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case PromptTemplate():
            return "see `config show --defaults`" if "\n" in value.text else f"`{_cell(value.text)}`"
        case BaseModel() if kind := getattr(value, "kind", ""):
            return f"`{kind}`"
        case BaseModel():
            told = value.model_dump(exclude_none=True, exclude_defaults=True)
            return f"`{told}`" if told else "its defaults"
        case tuple() | list():
            return ", ".join(f"`{item}`" for item in value) or "none"
        case dict():
            return f"`{value}`" if value else "none"
        case "":
            return "empty"
        case float():
            return f"`{value:g}`"
        case int() if value >= 10_000:
            return f"`{value:_}`"
    return f"`{value}`"


def _words(annotation: Any, metadata: list[Any]) -> str:
    """Return a type in words, with its bounds."""
    if (family := _one_key(metadata)) is not None:
        return _family(family)
    if any(isinstance(one, BeforeValidator) and one.func is duration_s for one in metadata):
        return "duration"
    if any(isinstance(one, BeforeValidator) and one.func is size_bytes for one in metadata):
        return "size"
    if hasattr(annotation, "__metadata__"):
        return _words(annotation.__origin__, [one for extra in annotation.__metadata__ for one in _flat(extra)])
    bounds = _bounds(metadata)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_words(arm, metadata) for arm in arguments if arm is not type(None))
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (tuple, list):
        return f"list of {_plural(_words(arguments[0], []))}{bounds}"
    if origin is dict:
        return f"mapping of {_plural(_words(arguments[1], []))} by name{bounds}"
    return _plain(annotation, metadata) + bounds


def _plain(annotation: Any, metadata: list[Any]) -> str:
    if annotation is str and any("A-Za-z0-9_.-" in str(getattr(one, "pattern", "")) for one in metadata):
        return "name"
    if annotation is ModelSpec:
        return "[model](#models)"
    if annotation is PromptTemplate:
        return "prompt"
    if annotation is LearnedSpec:
        return "a folder's name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        own = {
            RouteRule: "[rule](#routes-1)",
            Condition: "[condition](#when)",
            Tree: "[tree](#tree)",
            GateSpec: "[gate](#gate)",
            StoreSpec: "[store](#store)",
            TelemetrySpec: "[telemetry](#telemetry)",
        }
        return own.get(annotation, f"[{annotation.__name__}](#{annotation.__name__.lower()})")
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "any JSON value")


def _flat(extra: Any) -> list[Any]:
    return list(extra.metadata) if isinstance(extra, FieldInfo) else [extra]


def _one_key(metadata: list[Any]) -> OneKey | None:
    return next((one for one in metadata if isinstance(one, OneKey)), None)


def _family(family: OneKey) -> str:
    for noun, (title, _, kinds) in _FAMILIES.items():
        if set(kinds) <= set(family.kinds):
            return f"[{noun}](#{title.lower().replace(' ', '-')})"
    return " or ".join(f"`{kind}`" for kind in family.kinds)


def _plural(words: str) -> str:
    """Return the words for several: `text` -> `texts`, `[model](#x)` -> `[models](#x)`; choices stay as they are."""
    if words.startswith("["):
        head, _, tail = words.partition("]")
        return f"{head}]{tail}" if head.endswith("s") else f"{head}s]{tail}"
    return f"{words}s" if words in _COUNTED else words


def _bounds(metadata: list[Any]) -> str:
    signs = {"gt": "> {}", "ge": ">= {}", "lt": "< {}", "le": "<= {}"}
    said = [sign.format(f"{getattr(one, name):g}") for one in metadata for name, sign in signs.items() if hasattr(one, name)]
    sizes = {"min_length": "at least {}", "max_length": "at most {}"}
    said += [sign.format(getattr(one, name)) for one in metadata for name, sign in sizes.items() if getattr(one, name, None) is not None]
    return f" ({', '.join(said)})" if said else ""


def _cell(text: str) -> str:
    """Return the text as one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
