"""Rules: which rows a route takes, by what the task contains."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, NonNegativeInt, PositiveInt, model_validator

from partsong.contracts import Frozen, Name, PartType, Task
from partsong.patterns import Pattern, found_by
from partsong.routing.code import looks_like_code
from partsong.routing.counted import numbers, sentences

__all__ = ["Condition", "RouteRule", "has_code"]


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


PartTypes = Annotated[
    tuple[PartType, ...], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=PartType | tuple[PartType, ...])
]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Languages = Annotated[
    tuple[Language, ...], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Language | tuple[Language, ...])
]
Urgency = Literal["low", "normal", "high"]
Urgencies = Annotated[
    tuple[Urgency, ...], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Urgency | tuple[Urgency, ...])
]


class Condition(Frozen):
    """What a task must be like; all that is given must hold, and of a list any one."""

    contains: PartTypes | None = None
    """Part types: text, image, audio, file, code."""
    longer_than: PositiveInt | None = None
    """Characters of user text."""
    shorter_than: PositiveInt | None = None
    """Characters of user text."""
    more_sentences_than: NonNegativeInt | None = None
    """Sentences of user text: how much is asked, or told before it is."""
    more_numbers_than: NonNegativeInt | None = None
    """Numbers in the user text: how much there is to reckon with."""
    language: Languages | None = None
    """ISO 639-1: `de`, `[zh, ja]`; needs a language detector."""
    matches: Pattern | None = None
    """Regular expression searched in the user text; no look-around, no back references (Rust's syntax, linear time)."""
    metadata: dict[str, JsonValue] = {}
    """Value by key of the row's metadata; a list takes any of its values."""
    urgency: Urgencies | None = None
    """Of the row's constraints."""
    code: bool | None = None
    """Whether a code part, or text that looks like code, is there."""
    tools: bool | None = None
    """Whether the task brings tools."""
    answer_schema: bool | None = Field(default=None, alias="schema")
    """Whether the task carries a JSON Schema for its answer."""

    @model_validator(mode="after")
    def _possible(self) -> "Condition":
        if not self.model_fields_set:
            raise ValueError("a condition says something; leave `when` out to take every row")
        if self.longer_than is not None and self.shorter_than is not None and self.shorter_than <= self.longer_than + 1:
            raise ValueError(f"no text is longer than {self.longer_than} and shorter than {self.shorter_than} characters")
        return self

    def unmet(self, task: Task, language_of: Callable[[str], str]) -> bool:
        """Return whether anything that is given does not hold; the language is asked for only when all else holds."""
        return any(self._misses(task)) or (self.language is not None and language_of(task.text) not in self.language)

    def _misses(self, task: Task) -> Iterator[bool]:
        characters = len(task.text)
        yield self.contains is not None and task.part_types.isdisjoint(self.contains)
        yield self.longer_than is not None and characters <= self.longer_than
        yield self.shorter_than is not None and characters >= self.shorter_than
        yield self.more_sentences_than is not None and sentences(task.text) <= self.more_sentences_than
        yield self.more_numbers_than is not None and numbers(task.text) <= self.more_numbers_than
        yield self.urgency is not None and task.constraints.urgency not in self.urgency
        yield self.tools is not None and self.tools != bool(task.tools)
        yield self.answer_schema is not None and self.answer_schema != (task.answer_schema is not None)
        yield any(not _among(task.metadata.get(key), wanted) for key, wanted in self.metadata.items())
        yield self.code is not None and self.code != has_code(task)
        yield self.matches is not None and not found_by(self.matches)(task.text)

    def __str__(self) -> str:
        given = self.model_dump(by_alias=True, exclude_defaults=True)
        return ", ".join(f"{key} {_in_words(value)}" for key, value in given.items()) or "anything"


class RouteRule(Frozen):
    """One line of `routes`."""

    when: Condition | None = None
    """None takes every row: the default, written last."""
    use: Name
    """The model, plan or experiment that answers."""


def has_code(task: Task) -> bool:
    """Return whether a code part, or text that looks like code, is there."""
    return "code" in task.part_types or looks_like_code(task.text)


def _among(found: JsonValue, wanted: JsonValue) -> bool:
    return found in wanted if isinstance(wanted, list) else found == wanted


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return " and ".join(f"{key} {_in_words(inner)}" for key, inner in value.items())
    return " or ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
