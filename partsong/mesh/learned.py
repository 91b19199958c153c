"""Learned: the folder of what was learned, as the mesh file names it; its bytes become part of the mesh, as a prompt's text does."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetJsonSchemaHandler,
    PlainSerializer,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from partsong.adapters.beside import folder_beside
from partsong.contracts import Frozen
from partsong.contracts.allowed import Allowed
from partsong.contracts.known import known
from partsong.errors import InputError, MeshError, Problem, WeightsError
from partsong.learning.embedding_files import EMBEDDING_FILES
from partsong.learning.knowledge import Knowledge, learn_installed
from partsong.mesh.sound import Sound
from partsong.plans.frugal import Frugal

__all__ = ["LearnedSpec", "embedding_errors", "embedding_here", "known_here", "learned_errors", "learned_reader"]

_SAME_KIND = "leave `kind` out, or learn it anew of answers read so: partsong learn MESH RUN... --grade KIND"
_LEARN = "learn it from runs of this mesh: partsong learn MESH RUN... -o learned/"

Packed = Annotated[
    bytes,
    BeforeValidator(lambda given: b64decode(given) if isinstance(given, str) else given),
    PlainSerializer(lambda packed: b64encode(packed).decode(), when_used="json"),
]


class LearnedSpec(Frozen):
    """What was learned; written as its folder, relative to the mesh file: `learned: learned/`."""

    folder: str
    """Where it was read from."""
    packed: Packed
    """The artefact itself."""
    _knowledge: Knowledge = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Mapping | LearnedSpec):
            return value
        if not isinstance(value, str):
            raise ValueError("it names the folder of what was learned; write `learned: learned/`")
        read = (info.context or {}).get("read_learned")
        if read is None:
            raise ValueError(f"{value}: what was learned can be read only while a mesh file is loaded")
        return {"folder": value, "packed": read(value).packed}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1}

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> "LearnedSpec":
        self._knowledge = known(info) or Knowledge(self.packed)
        return self

    @property
    def knowledge(self) -> Knowledge:
        """What plans and routes ask."""
        return self._knowledge

    def facts(self) -> Mapping[str, Any]:
        """Return what a person is shown of it."""
        return {"folder": self.folder, "fingerprint": self.knowledge.fingerprint}


def learned_reader(folder: Path, allowed: Allowed) -> Callable[[str], Knowledge]:
    """Return what reads an artefact by its folder's name; an error of the schema's kind when it cannot."""

    @lru_cache(maxsize=1)
    def read(named: str) -> Knowledge:
        try:
            with learn_installed():
                from partsong.learning.saved import PACKED
            return Knowledge.saved(folder_beside(folder, named, [PACKED], allowed))
        except (InputError, MeshError) as error:
            problem = error.problems[0]
            raise PydanticCustomError(problem.code, "{what}; {remedy}", {"what": problem.what, "remedy": problem.remedy}) from None

    return read


def known_here(named: object, read: Callable[[str], Knowledge]) -> Knowledge | None:
    """Return what the mesh file's `learned` names; None when it names nothing, or nothing that can be read."""
    try:
        return read(named) if isinstance(named, str) else None
    except PydanticCustomError:
        return None  # explained with the whole


def embedding_here(named: object, knowledge: Knowledge | None, folder: Path, allowed: Allowed) -> Knowledge | None:
    """Return the knowledge with the folder that the mesh file's `embeddings` names; as it was where that names none that may be read."""
    if knowledge is None or not isinstance(named, str):
        return knowledge
    try:
        return Knowledge(knowledge.packed, folder_beside(folder, named, EMBEDDING_FILES, allowed))
    except MeshError:
        return knowledge  # explained with the whole


def learned_errors(sound: Sound, knowledge: Knowledge | None) -> Iterator[Problem]:
    """Yield what does not fit between what was learned and the mesh."""
    if knowledge is not None and (others := [model for model in knowledge.models if model not in sound.names]):
        what = f"what was learned is of {', '.join(map(repr, others))}, which this mesh does not have"
        yield Problem("learned-other-models", what, sound.place("learned"), _LEARN)
        return
    for name, plan in sound.plans.items():
        if not isinstance(plan, Frugal) or plan.goal is None:
            continue
        if knowledge is not None and plan.goal not in knowledge.aims:
            at = sound.mentions(plan.goal, "plans", name)[0]
            yield Problem("goal-not-learned", f"nothing is learned that could aim at {plan.goal!r}{_why(knowledge, plan.goal)}", at, _LEARN)

        learned = None if knowledge is None else knowledge.answer_kind
        if learned is not None and plan.counted.kind != learned.kind:
            what = f"it was learned of answers read as {learned.kind}, and {name} counts them as {plan.counted.kind}"
            yield Problem("kind-not-learned", what, sound.place("plans", name), _SAME_KIND)


def embedding_errors(sound: Sound, knowledge: Knowledge | None) -> Iterator[Problem]:
    """Yield what keeps prompts from being embedded as they were when it was learned."""
    try:
        if knowledge is not None:
            knowledge.ready()
    except WeightsError as error:
        yield replace(error.problems[0], at=sound.place("embeddings" if "embeddings" in sound.root.fields else "learned"))


def _why(knowledge: Knowledge, goal: str) -> str:
    kept = knowledge.learned.kept
    return f": {kept.words}" if goal == "promised" and kept is not None else ""
