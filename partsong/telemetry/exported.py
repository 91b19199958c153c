"""Exported: what Ray's metrics endpoints serve of every process: names as Prometheus has them, and labels.

Low cardinality: labels name systems, kinds of actors, models, outcomes and runs; never a row, a worker or a key. Ray adds the node's
address and its own id of the process.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from partsong.telemetry.attributes import Attribute
from partsong.telemetry.counts import COUNTS
from partsong.telemetry.levels import LEVELS

__all__ = [
    "BUCKETS_S",
    "CALLS",
    "CALL_BUCKETS",
    "CALL_SECONDS",
    "COST",
    "EVERYWHERE",
    "EXPORTED",
    "STEPS",
    "STEP_BUCKETS",
    "STEP_SECONDS",
    "TOKENS",
    "Exported",
    "labelled",
    "name_of",
]

EVERYWHERE = ("system", "actor")
"""Labels of every metric: the system's name, and the kind of actor that tells it."""

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of what durations are counted by."""

_PREFIX = "ray_"
"""Ray's own, before all that it serves."""

_LABELS = {
    "error.type": "outcome",
    "gen_ai.token.type": "type",
    "partsong.limit": "limit",
    "partsong.model": "model",
    "partsong.of": "of",
    "partsong.run": "job",
    "partsong.state": "state",
    "partsong.step.kind": "kind",
    "partsong.to": "to",
}


class Exported(NamedTuple):
    """One of them; a line of the reference page."""

    name: str
    """As it is told to Ray: without Ray's prefix, and a counter without `_total`."""
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    """Its own, besides those of every metric."""
    description: str

    def __hash__(self) -> int:
        return hash(self.name)  # each call looks several up

    @property
    def served(self) -> str:
        """Its name as Prometheus has it."""
        return _PREFIX + self.name + ("_total" if self.kind == "counter" else "")


CALLS = Exported("partsong_calls", "counter", ("model", "outcome"), "Attempts at a model; `outcome` is `ok`, `cancelled` or a code.")
CALL_SECONDS = Exported("partsong_call_seconds_sum", "counter", ("model",), "Seconds that attempts took, added up.")
CALL_BUCKETS = Exported("partsong_call_seconds_bucket", "counter", ("model", "le"), "Attempts that took no longer than `le` seconds.")
TOKENS = Exported("partsong_tokens", "counter", ("model", "type"), "Tokens of answered calls: `input`, `output`.")
COST = Exported("partsong_cost_usd", "counter", ("model",), "US dollars of all calls, by the mesh file's prices.")
STEPS = Exported(
    "partsong_steps",
    "counter",
    ("kind", "outcome"),
    "Rows (kind `row`), plans and merges that came to an end, by outcome.",
)
STEP_SECONDS = Exported("partsong_step_seconds_sum", "counter", ("kind",), "Seconds that they took, added up.")
STEP_BUCKETS = Exported("partsong_step_seconds_bucket", "counter", ("kind", "le"), "Of them, those that took no longer than `le` seconds.")


def name_of(told: str) -> str:
    """Return the name under which a level or a count is told to Ray."""
    name = told.replace(".", "_")
    return name if name.startswith("partsong_") else f"partsong_{name}"


def _label(attribute: str) -> str:
    """Return the label of an attribute."""
    return _LABELS.get(attribute, attribute.rpartition(".")[2])


def labelled(attributes: Mapping[str, Attribute]) -> dict[str, str]:
    """Return the attributes as labels."""
    return {_label(key): str(value) for key, value in attributes.items()}


def _by(description: str) -> tuple[str, ...]:
    """Return the labels that a description names."""
    return tuple(short for attribute, short in _LABELS.items() if attribute in description)


def _told() -> Iterable[Exported]:
    for level in LEVELS:
        yield Exported(name_of(level.name), "gauge", _by(level.description), level.description)
    for count in COUNTS:
        yield Exported(name_of(count.name), "counter", _by(count.description), count.description)


EXPORTED = (CALLS, CALL_SECONDS, CALL_BUCKETS, TOKENS, COST, STEPS, STEP_SECONDS, STEP_BUCKETS, *_told())
