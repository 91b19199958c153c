"""Schema: what a mesh file may say. Models by adapter, plans by kind, routes, store, telemetry."""

import json
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from partsong.adapters.adapter import Adapter, adapter_kinds
from partsong.adapters.beside import folder_name, placed
from partsong.contracts import Frozen, Limits, ModelSpec, Name
from partsong.errors import MeshError
from partsong.learning.embedding_files import EMBEDDING_FILES
from partsong.learning.knowledge import Knowledge
from partsong.mesh.gated import gate_of
from partsong.mesh.learned import LearnedSpec
from partsong.plans import PlanField
from partsong.routing.experiments import ExperimentField
from partsong.routing.gate import GateSpec
from partsong.routing.router import Decider, LanguageOf, Router
from partsong.routing.rules import RouteRule
from partsong.routing.tree import Tree
from partsong.specialists.language import language_detector
from partsong.telemetry.spec import TelemetrySpec

__all__ = ["Mesh", "ModelField", "StoreSpec"]


class _ByAdapter:
    """Annotates ModelSpec: the entry is read by the `Spec` of the adapter that its `adapter` key names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_written, info_arg=True)
        return core_schema.with_info_plain_validator_function(_read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"oneOf": [handler(kind.Spec.__pydantic_core_schema__) for _, kind in sorted(adapter_kinds().items())]}


def _read(value: Any, info: ValidationInfo) -> ModelSpec:
    if isinstance(value, ModelSpec):
        return value
    if not isinstance(value, Mapping):
        found = {"found": type(value).__name__}
        raise PydanticCustomError("model-not-a-mapping", "a model is a mapping with an adapter, not a {found}", found)
    name = value.get("adapter")
    if not isinstance(name, str):
        raise PydanticCustomError("no-adapter", "a model says which adapter speaks to it")
    return _kind(name, info.context).Spec.model_validate(value, context=info.context)


def _kind(name: str, context: Any) -> type[Adapter]:
    given = context.get("adapters") if isinstance(context, Mapping) else None
    kinds: Mapping[str, type[Adapter]] = adapter_kinds() if given is None else given
    if name not in kinds:
        near = get_close_matches(name, kinds, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(sorted(kinds))}"
        raise PydanticCustomError("unknown-adapter", "no adapter {name} is installed; {hint}", {"name": repr(name), "hint": hint})
    try:
        return kinds[name]
    except MeshError as error:
        broken = {"what": error.problems[0].what}
        raise PydanticCustomError("adapter-broken", "{what}", broken) from None


def _written(value: ModelSpec, info: SerializationInfo) -> Any:
    return value.model_dump(
        mode=info.mode,
        by_alias=info.by_alias,
        exclude_unset=info.exclude_unset,
        exclude_defaults=info.exclude_defaults,
        exclude_none=info.exclude_none,
    )


ModelField = Annotated[ModelSpec, _ByAdapter()]
"""A model as the mesh file writes it: a mapping that its adapter's schema reads."""


class StoreSpec(Frozen):
    """Where the journal is kept."""

    url: str | None = Field(default=None, examples=["sqlite:///partsong.db", "postgresql://user@host/database?password_env=NAME"])
    """Address of the store: an SQLite file, a relative path starting at the run's folder, or a PostgreSQL database, whose password is
    in the variable that `password_env` names, in PGPASSWORD, or in the user's password file. None: an SQLite file in each run's folder."""
    segments: str | None = Field(default=None, examples=["s3://bucket/partsong"])
    """Where records go that are too large for a PostgreSQL store, on any filesystem that fsspec knows; None: into the store."""
    cache: bool = False
    """Whether completions of earlier runs in the same store answer again what was asked before."""


def _on(value: Any) -> Any:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


class Mesh(Frozen):
    """A mesh file: which models there are, how plans combine them, which rows go where."""

    version: Literal[1]
    """Version of the mesh file's format."""
    models: Annotated[dict[Name, ModelField], Field(min_length=1)]
    """Models by name."""
    accounts: dict[Name, Limits] = {}
    """Limits that several models share: those of one account at a provider. A model names its own with `account`."""
    fallbacks: Annotated[bool, BeforeValidator(_on)] = True
    """`off` turns the fallbacks of all models off."""
    plans: dict[Name, PlanField] = {}
    """Plans by name; models and plans share one set of names, and a plan may ask either."""
    learned: LearnedSpec | None = None
    """Folder of what `partsong learn` wrote, relative to the mesh file: what goals of frugal plans, the gate and learned weights go by."""
    embeddings: Annotated[str, folder_name(*EMBEDDING_FILES)] | None = None
    """Folder of a sentence-embedding model, relative to the mesh file: `model.onnx` and `tokenizer.json`, as Optimum and
    Sentence-Transformers export them. `partsong learn` then goes by what prompts mean too, and what it learned needs the same model."""
    experiments: dict[Name, ExperimentField] = {}
    """Champions and challengers by name, in one set of names with models and plans; routes and rows may name them, plans may not."""
    routes: tuple[RouteRule, ...] = ()
    """Which model, plan or experiment a row goes to: the first rule that matches."""
    tree: Tree | None = None
    """A decision tree for rows that no rule with `when` takes; `partsong learn tree` writes one."""
    gate: GateSpec | None = None
    """Where rows go that neither a rule with `when` nor the tree takes, by what was learned."""
    store: StoreSpec = StoreSpec()
    """Where the journal is kept."""
    telemetry: TelemetrySpec = TelemetrySpec()
    """Where traces and metrics go."""

    @property
    def knowledge(self) -> Knowledge | None:
        """What was learned, if anything."""
        return None if self.learned is None else self.learned.knowledge

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a row can be answered by."""
        return (*self.models, *self.plans, *self.experiments)

    @property
    def concurrency(self) -> int:
        """Rows worth having in flight: twice the calls all workers can make at once, so that none idles while rows are recorded."""
        return 2 * sum(spec.workers.max * spec.concurrency for spec in self.models.values())

    def limits(self, model: str) -> bool:
        """Whether calls of the model are limited, by itself or its account, beside how many workers there are."""
        spec = self.models[model]
        return spec.limits != Limits() or (spec.account is not None and self.accounts[spec.account] != Limits())

    @property
    def limits_usd(self) -> bool:
        """Whether dollars of a run or a day are limited."""
        return any(limits.in_usd for limits in (*self.accounts.values(), *(spec.limits for spec in self.models.values())))

    def router(self) -> Router:
        """Return what decides where a row goes; the only plan there is, is the default of a mesh without a catch-all route.

        WeightsError where what was learned goes by embeddings, and their model is not here.
        """
        conditions = [rule.when for rule in self.routes]
        conditions += [] if self.tree is None else [branch.condition for _, branch in self.tree.walk()]
        detector = language_detector() if any(one is not None and one.language for one in conditions) else None
        only = next(iter(self.plans)) if len(self.plans) == 1 else None
        if self.knowledge is not None:
            self.knowledge.ready()
        return Router(self.names, self.routes, tuple(self._deciders(detector)), detector, only, self.experiments)

    def _deciders(self, language_of: LanguageOf | None) -> Iterator[Decider]:
        if self.tree is not None:
            yield self.tree.decider(language_of)
        if self.gate is not None and self.knowledge is not None:
            yield gate_of(self.gate, self.knowledge, self.plans)

    def pack(self) -> bytes:
        """Return the mesh as bytes that `unpack` turns into an equal one, in this process or another."""
        return self.model_dump_json(by_alias=True).encode()

    def lean(self) -> "Mesh":
        """Return the mesh without what was learned: it may be megabytes, and workers have no use for it."""
        return self if self.learned is None else self.model_copy(update={"learned": None})

    def facts(self, *, exclude_defaults: bool = False) -> dict[str, Any]:
        """Return it as plain values for people and for comparing, of what was learned its folder and fingerprint."""
        plain = self.lean().model_dump(mode="json", by_alias=True, exclude_defaults=exclude_defaults)
        return plain if self.learned is None else plain | {"learned": self.learned.facts()}

    def snapshot(self) -> str:
        """Return the facts as a run's folder keeps them: JSON, without defaults."""
        return json.dumps(self.facts(exclude_defaults=True), indent=2) + "\n"

    @classmethod
    def unpack(cls, packed: bytes, import_function: Callable[[str], Any] | None = None, folder: Path = Path()) -> "Mesh":
        """Return the mesh that `pack` wrote; `import_function` finds the Python functions that plans name, as in load_mesh.

        `folder` is where the mesh's relative paths start.
        """
        plain = json.loads(packed)
        learned, embeddings = plain.get("learned"), plain.get("embeddings")
        knowledge = None
        if learned is not None:
            packed_learned = LearnedSpec.model_validate(learned).packed
            knowledge = Knowledge(packed_learned, None if embeddings is None else placed(folder, embeddings))
        return cls.model_validate_json(packed, context={"import_function": import_function, "knowledge": knowledge})
