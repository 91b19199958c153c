"""Metrics: calls, tokens, cost, latency and queue depth, by OpenTelemetry's metrics API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from partsong.contracts import Completion
from partsong.telemetry.attributes import Attribute
from partsong.telemetry.span import Span

__all__ = ["DROPPED_SPANS", "METRICS", "Metric", "Metrics"]

_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [float(4**power) for power in range(14)]
"""Bounds as the GenAI conventions advise."""

_Observe = Callable[[CallbackOptions], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the reference page."""

    name: str
    unit: str
    description: str


CALL_DURATION = Metric(
    "gen_ai.client.operation.duration",
    "s",
    "Duration of one attempt at a model, as a histogram; its count is the number of calls. Failed ones carry error.type.",
)
TOKEN_USAGE = Metric("gen_ai.client.token.usage", "{token}", "Tokens of one call, as a histogram, by gen_ai.token.type (input, output).")
COST = Metric("partsong.cost", "{USD}", "US dollars of all calls, by the mesh file's prices.")
STEP_DURATION = Metric(
    "partsong.step.duration",
    "s",
    "Duration of a row, a plan or a merge (partsong.step.kind), as a histogram; its count is how many came to an end. "
    "Failed ones carry error.type.",
)
DROPPED_SPANS = Metric("partsong.telemetry.dropped", "{span}", "Spans that could not be delivered.")

METRICS = (CALL_DURATION, TOKEN_USAGE, COST, STEP_DURATION, DROPPED_SPANS)
"""What every process reports; queue depths (`levels.py`) come from whoever has a queue, by `Telemetry.gauge`."""


class Metrics:
    """What is counted, whether or not the row is traced."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._call_s = _histogram(meter, CALL_DURATION, _SECONDS)
        self._tokens = _histogram(meter, TOKEN_USAGE, _TOKENS)
        self._cost = meter.create_counter(COST.name, COST.unit, COST.description)
        self._step_s = _histogram(meter, STEP_DURATION, _SECONDS)
        self._told: dict[str, list[tuple[Callable[[], float | None], dict[str, Attribute]]]] = {}

    def called(self, span: Span, base: Mapping[str, Attribute]) -> None:
        """Count one attempt at a model."""
        of_call = dict(base)
        outcome = {"error.type": span.failure} if span.failure else {"error.type": "cancelled"} if span.cancelled else {}
        self._call_s.record(span.duration_s, {**of_call, **outcome})
        if span.reply is not None and span.reply.cost_usd:
            self._cost.add(span.reply.cost_usd, of_call)
        if isinstance(span.reply, Completion):
            self._tokens.record(span.reply.usage.prompt_tokens, {**of_call, "gen_ai.token.type": "input"})
            self._tokens.record(span.reply.usage.completion_tokens, {**of_call, "gen_ai.token.type": "output"})

    def settled(self, span: Span) -> None:
        """Count one row, plan or merge."""
        kind = {"partsong.step.kind": span.name}
        self._step_s.record(span.duration_s, {**kind, "error.type": span.failure} if span.failure else kind)

    def gauge(self, name: str, unit: str, description: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute]) -> None:
        """See Counting.gauge."""
        if observe := self._observing(name, read, attributes):
            self._meter.create_observable_gauge(name, [observe], unit, description)

    def count(self, name: str, unit: str, description: str, read: Callable[[], float], attributes: Mapping[str, Attribute]) -> None:
        """See Counting.count."""
        if observe := self._observing(name, read, attributes):
            self._meter.create_observable_counter(name, [observe], unit, description)

    def close(self, timeout_s: float) -> None:
        """Nothing is held here: the meters' provider is closed by whoever made it."""

    def _observing(self, name: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute]) -> _Observe | None:
        """Have it read with all of its name; return how, the first time."""
        told = self._told.setdefault(name, [])
        told.append((read, dict(attributes)))
        if len(told) > 1:
            return None

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            sums: dict[tuple[tuple[str, Attribute], ...], float] = {}
            for read_one, of in told:
                key = tuple(sorted(of.items()))
                if (value := read_one()) is not None:
                    sums[key] = sums.get(key, 0) + value
            return [Observation(value, dict(key)) for key, value in sums.items()]

        return observe


def _histogram(meter: Meter, metric: Metric, bounds: Sequence[float]) -> Histogram:
    return meter.create_histogram(metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=bounds)
