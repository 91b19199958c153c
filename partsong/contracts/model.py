"""A model's entry in the mesh file: what every adapter shares; each adapter adds its own fields in its own file."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, PositiveInt, model_validator

from partsong.contracts.completion import Usage
from partsong.contracts.frozen import Frozen, Name
from partsong.contracts.task import PartType
from partsong.units import duration_s, size_bytes

__all__ = ["Duration", "ModelSpec", "Price", "Resources", "SecretRef", "Size", "WorkerRange"]

Duration = Annotated[
    float, BeforeValidator(duration_s), Field(gt=0.0, json_schema_extra={"type": ["number", "string"], "examples": ["60s", "2m", 0.5]})
]
"""Seconds, written as a number or with a unit: `250ms`, `60s`, `2m`, `1h`."""

Size = Annotated[
    int, BeforeValidator(size_bytes), Field(gt=0, json_schema_extra={"type": ["integer", "string"], "examples": ["64MB", "1GiB"]})
]
"""Bytes, written as a number or with a unit: `512kB`, `64MB`, `1GiB`."""


class SecretRef(Frozen):
    """Where a secret is to be found; a literal one is refused. Exactly one of the two."""

    env: str | None = None
    """Name of an environment variable."""
    file: str | None = None
    """Path of a file that holds the secret and nothing else."""

    @model_validator(mode="after")
    def _one(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of env and file")
        return self


class Price(Frozen):
    """US dollars per million tokens."""

    input: NonNegativeFloat
    """Per million input tokens, before any cache discount."""
    output: NonNegativeFloat
    """Per million output tokens."""
    cached_input: NonNegativeFloat | None = None
    """Per million cached input tokens; as `input` when not given."""
    request: NonNegativeFloat = 0.0
    """Per request, whatever its length."""

    def cost_usd(self, usage: Usage) -> float:
        """Return US dollars for one call's usage."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh_tokens = max(0, usage.prompt_tokens - usage.cached_tokens)
        per_mtok = fresh_tokens * self.input + usage.cached_tokens * cached + usage.completion_tokens * self.output
        return per_mtok / 1e6 + self.request


def _ordered(value: "WorkerRange") -> "WorkerRange":
    if value.max < value.min:
        raise ValueError(f"max {value.max} is below min {value.min}")
    return value


class WorkerRange(Frozen):
    """How many workers a model's pool has."""

    min: PositiveInt = 1
    """Started when the model is first asked."""
    max: PositiveInt = 1
    """Further ones are started, up to this many, while calls wait."""


class Resources(Frozen):
    """What Ray reserves for each worker of the model."""

    cpu: NonNegativeFloat = 0.0
    """Processors."""
    gpu: NonNegativeFloat = 0.0
    """Graphics processors; a part of one is shared."""
    custom: dict[str, NonNegativeFloat] = {}
    """Amounts of resources that the cluster's nodes declare, by name."""


class ModelSpec(Frozen):
    """What the mesh file says of a model, whatever its adapter."""

    sees_row: ClassVar[bool] = False
    """Whether its replies depend on the row's id and metadata too, not on the messages alone (recorded outcomes, Python workers)."""

    adapter: str
    """Which adapter speaks to it: an entry point of group `partsong.adapters`."""
    model: str = ""
    """The provider's name of the model."""
    price: Price | None = None
    """US dollars per million tokens; None counts as free and is refused under a budget."""
    workers: Annotated[WorkerRange, AfterValidator(_ordered)] = WorkerRange()
    """Workers of its pool: the run starts `min`."""
    concurrency: PositiveInt = 64
    """Calls in flight per worker."""
    timeout: Duration = 60.0
    """Longest one attempt may take."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Further attempts after a failure that may pass."""
    fallbacks: tuple[Name, ...] = ()
    """Models asked in turn when this one has failed for good."""
    skills: tuple[str, ...] = ()
    """Kinds of work it is good at (`text`, `code`, `sentiment`): what decompose and routes match on."""
    accepts: tuple[PartType, ...] = ("text", "code")
    """Part types it takes."""
    resources: Resources = Resources()
    """Reserved by Ray for each worker."""
