"""Traits: what can be seen of a task before it is asked and said in a condition, as columns that a decision tree can be fitted to."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from partsong.contracts import Task
from partsong.routing.counted import numbers, sentences
from partsong.routing.rules import Condition, has_code

__all__ = ["Trait", "traits"]

_MOST_VALUES = 20
"""A metadata field with more values is a name or a text, no kind."""


@dataclass(frozen=True, slots=True)
class Trait:
    """One column, and the condition that holds for the rows above a threshold of it."""

    values: tuple[float, ...]
    above: Callable[[float], Condition]


def traits(tasks: Sequence[Task], fewest: int, hidden: frozenset[str]) -> list[Trait]:
    """Return the traits that part the tasks: at least `fewest` on either side. `hidden` are metadata fields that tell what is right."""
    found = [*_counted(tasks), *_yes_or_no(tasks), *_metadata(tasks, hidden)]
    return [trait for trait in found if _parts(trait.values, fewest)]


def _parts(values: Sequence[float], fewest: int) -> bool:
    ordered = sorted(values)
    return len(ordered) >= 2 * fewest and ordered[fewest - 1] < ordered[-1] and ordered[0] < ordered[-fewest]


def _counted(tasks: Sequence[Task]) -> Iterator[Trait]:
    measures: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("longer_than", len),
        ("more_sentences_than", sentences),
        ("more_numbers_than", numbers),
    )
    for key, measure in measures:
        yield Trait(tuple(float(measure(task.text)) for task in tasks), _more(key))


def _more(key: str) -> Callable[[float], Condition]:
    return lambda threshold: Condition.model_validate({key: max(floor(threshold), 1 if key == "longer_than" else 0)})


def _yes_or_no(tasks: Sequence[Task]) -> Iterator[Trait]:
    yield _whether({"code": True}, [has_code(task) for task in tasks])
    yield _whether({"tools": True}, [bool(task.tools) for task in tasks])
    yield _whether({"schema": True}, [task.answer_schema is not None for task in tasks])
    for part in ("image", "audio", "file"):
        yield _whether({"contains": part}, [part in task.part_types for task in tasks])
    for urgency in ("low", "high"):
        yield _whether({"urgency": urgency}, [task.constraints.urgency == urgency for task in tasks])


def _metadata(tasks: Sequence[Task], hidden: frozenset[str]) -> Iterator[Trait]:
    for key in sorted({key for task in tasks for key in task.metadata} - hidden):
        said = Counter(value for task in tasks if isinstance(value := task.metadata.get(key), str | bool))
        for value in said if len(said) <= _MOST_VALUES else ():
            yield _whether({"metadata": {key: value}}, [task.metadata.get(key) == value for task in tasks])


def _whether(condition: dict[str, Any], holds: Sequence[bool]) -> Trait:
    made = Condition.model_validate(condition)
    return Trait(tuple(map(float, holds)), lambda _: made)
