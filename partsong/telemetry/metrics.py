"""Metrics: calls, tokens, cost, latency and queue depth, by OpenTelemetry's metrics API."""

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from partsong.contracts import Completion
from partsong.telemetry.attributes import Attribute
from partsong.telemetry.span import Span

__all__ = ["Metrics"]

_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [float(4**power) for power in range(14)]
"""Bounds as the GenAI conventions advise."""


class Metrics:
    """What is counted, whether or not the row is traced."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._call_s = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of one attempt at a model; its count is the number of calls. Failed ones carry error.type.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of one call, by gen_ai.token.type.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._cost = meter.create_counter("partsong.cost", "{USD}", "US dollars of all calls, by the mesh file's prices.")
        self._step_s = meter.create_histogram(
            "partsong.step.duration",
            "s",
            "Duration of a row, a plan or a merge (partsong.step.kind); its count is how many were settled. Failed ones carry error.type.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

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

    def gauge(self, name: str, unit: str, description: str, read: Callable[[], float], attributes: Mapping[str, Attribute]) -> None:
        """Report a level that is read when metrics are sent."""

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(read(), dict(attributes))

        self._meter.create_observable_gauge(name, [observe], unit, description)
