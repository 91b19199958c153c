"""A model's entry in the mesh file: what every adapter shares; each adapter adds its own fields in its own file."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from partsong.contracts.completion import Usage
from partsong.contracts.frozen import Frozen, Name, Probability
from partsong.contracts.task import PartType
from partsong.units import duration_s, size_bytes

__all__ = [
    "NOT_THE_ANSWER",
    "BreakerSpec",
    "Duration",
    "HedgeSpec",
    "Limits",
    "ModelSpec",
    "Price",
    "Resources",
    "Scale",
    "SecretRef",
    "Size",
    "WorkerRange",
]

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

    min: NonNegativeInt = 1
    """Started when the model is first asked, and kept; with 0 the last one ends when the model is idle, another starts when it is asked."""
    max: PositiveInt = 1
    """Further ones are started, up to this many, while calls wait for longer than `scale.queue`."""


class Scale(Frozen):
    """When a model's pool grows and shrinks between `workers.min` and `workers.max`."""

    queue: Duration = 0.5
    """How long calls may wait for a worker: when the 95th percentile is above, further workers are started."""
    idle: Duration | None = 300.0
    """How long the others must have been enough for a worker beyond `workers.min` to be let go; None: none is."""
    pace: PositiveInt = 4
    """Workers that may be starting at the same time, besides the first `workers.min`."""


class Resources(Frozen):
    """What Ray reserves for each worker of the model."""

    cpu: NonNegativeFloat = 0.0
    """Processors."""
    gpu: NonNegativeFloat = 0.0
    """Graphics processors; a part of one is shared."""
    memory: Size | None = None
    """Memory, counted by Ray when it places workers, not enforced."""
    custom: dict[str, NonNegativeFloat] = {}
    """Amounts of resources that the cluster's nodes declare, by name."""
    labels: dict[str, str] = {}
    """Labels that the node must have, as Ray writes its label selectors: `zone: in(a, b)`, `spot: "!true"`."""


class Limits(Frozen):
    """What may be used at most, over all workers and coordinators together; what is None is not limited."""

    requests_per_minute: PositiveInt | None = None
    """Requests in any 60 seconds, attempts and hedges counted."""
    tokens_per_minute: PositiveInt | None = None
    """Input and output tokens together in any 60 seconds."""
    input_tokens_per_minute: PositiveInt | None = None
    """Input tokens in any 60 seconds."""
    output_tokens_per_minute: PositiveInt | None = None
    """Output tokens in any 60 seconds."""
    calls_in_flight: PositiveInt | None = None
    """Calls at once."""
    usd_per_run: PositiveFloat | None = None
    """US dollars of one run, earlier sessions of it counted; the run stops before it is passed."""
    usd_per_day: PositiveFloat | None = None
    """US dollars since midnight UTC, of all runs in the same store; a run stops before it is passed."""

    @property
    def in_usd(self) -> bool:
        """Whether dollars are limited."""
        return self.usd_per_run is not None or self.usd_per_day is not None


class BreakerSpec(Frozen):
    """When a model is given a rest (circuit breaker): calls wait, or go to its fallbacks, until a probe is answered."""

    window: Duration = 30.0
    """Over how long errors and slow calls are counted."""
    error_rate: Probability = 0.5
    """Share of failed calls that opens it; a caller's own fault (a bad request, a withheld reply) never counts."""
    slow: Duration | None = None
    """From how long on a call counts as slow; None: none does."""
    slow_rate: Probability = 0.8
    """Share of slow calls that opens it."""
    least_calls: PositiveInt = 20
    """Fewer calls in the window prove nothing; so many failures in a row open it, whatever was answered before."""
    open_for: Duration = 5.0
    """How long it stays open at first; doubled while probes fail."""
    open_at_most: Duration = 60.0
    """The longest it stays open at a time."""
    probes: PositiveInt = 3
    """Calls let through at once to see whether the model is back."""
    patience: Duration = 600.0
    """How long a call waits, when it has no fallback to go to, for a model that is given a rest or asks to come later; then it fails."""


class HedgeSpec(Frozen):
    """When a second call is sent beside one that takes long (Dean and Barroso, The Tail at Scale, 2013); the first answer counts."""

    after: Duration | Literal["p95"] = "p95"
    """How long the first call gets: a time, or the 95th percentile of the calls so far."""
    share: Probability = 0.05
    """At most so many of the calls are hedged: what they may add to the bill."""


def _none_when_off(value: Any) -> Any:
    return () if value == "off" else value


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
    """Workers of its pool."""
    concurrency: PositiveInt = 64
    """Calls in flight per worker."""
    timeout: Duration = 60.0
    """Longest one attempt may take."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """Further attempts after a failure that may pass."""
    retry_share: Probability = 0.2
    """Retries for each answered call at most, besides ten a second: an outage is not made worse by asking again."""
    fallbacks: Annotated[tuple[Name, ...], BeforeValidator(_none_when_off, json_schema_input_type=tuple[Name, ...] | Literal["off"])] = ()
    """Models asked in turn when this one has failed for good; `off` is none."""
    stream_failure: Literal["error", "begin-again"] = "error"
    """What becomes of a streamed answer that breaks off after its first token: a failure, or the answer begun again on the fallbacks."""
    breaker: BreakerSpec | Literal["off"] = BreakerSpec()
    """When the model is given a rest."""
    hedge: HedgeSpec | None = None
    """When a second call is sent beside a slow one; None: never."""
    adaptive: bool = True
    """Whether fewer calls than `concurrency` are made at once while the provider is overloaded or slows down."""
    account: Name | None = None
    """The entry of `accounts` whose limits this model shares with others."""
    limits: Limits = Limits()
    """This model's own limits, besides its account's."""
    skills: tuple[str, ...] = ()
    """Kinds of work it is good at (`text`, `code`, `sentiment`): what decompose and routes match on."""
    accepts: tuple[PartType, ...] = ("text", "code")
    """Part types it takes."""
    resources: Resources = Resources()
    """Reserved by Ray for each worker."""
    scale: Scale = Scale()
    """When workers are started and let go."""
    generation: NonNegativeInt = 0
    """Counted up, it has a lasting system replace its workers one by one, though nothing else has changed: for a key's new content."""


NOT_THE_ANSWER = frozenset(
    {
        "price",
        "workers",
        "concurrency",
        "timeout",
        "connect_timeout",
        "stall_timeout",
        "reply_cap",
        "retries",
        "retry_share",
        "stream_failure",
        "breaker",
        "hedge",
        "adaptive",
        "account",
        "limits",
        "resources",
        "scale",
        "generation",
        "api_key",
    }
)
"""Fields of a model's entry that change what a call costs, when it is made or where it runs, not what it answers."""
