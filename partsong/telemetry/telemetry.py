"""Telemetry: one process's traces and metrics; off, it costs next to nothing."""

import logging
import os
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from partsong.contracts import Call
from partsong.telemetry.attributes import HOST, Attribute, call_attributes, provider_name
from partsong.telemetry.counting import Counting
from partsong.telemetry.file import RotatingFile, SpanFile, SpanLines, own_file
from partsong.telemetry.levels import SPANS_WAITING
from partsong.telemetry.outbox import Outbox, Sink
from partsong.telemetry.span import Span, TraceContext, new_trace
from partsong.telemetry.spec import TelemetrySpec

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from partsong.telemetry.metrics import Metrics

__all__ = ["Telemetry"]

_log = logging.getLogger(__name__)

_METRICS_EVERY_S = 10.0
_CLOSE_S = 5.0


class Telemetry:
    """Starts spans and counts; made by `start` or `off`. Never blocks, never fails what it watches."""

    def __init__(
        self,
        spec: TelemetrySpec,
        outboxes: tuple[Outbox, ...] = (),
        meters: "MeterProvider | None" = None,
        metrics: "Metrics | None" = None,
        also: Sequence[Counting] = (),
    ) -> None:
        self._spec = spec
        self._outboxes = outboxes
        self._meters = meters
        self._counting: tuple[Counting, ...] = (*([metrics] if metrics is not None else ()), *also)
        self._on = bool(outboxes)
        self._dice = random.Random()  # noqa: S311  ids, no secrets
        self._threshold = round(spec.sample * (1 << 56))
        self._closed = False

    @classmethod
    def off(cls) -> "Telemetry":
        """Return telemetry that records nothing and hands trace contexts on."""
        return cls(TelemetrySpec())

    @classmethod
    def start(
        cls,
        spec: TelemetrySpec,
        service: str,
        folder: Path,
        also: Sequence[Counting] = (),
        *,
        host: str = "",
        about: Mapping[str, Attribute] | None = None,
        instead: "Callable[[SpanFile], Sink]" = lambda file: file,
    ) -> "Telemetry":
        """Start what the mesh file asks for; `service` names the part (`worker-mini`), relative files go to the folder.

        `also` is told what happens whatever the mesh file says. Files are named after the `host` if it is given. `about` is what else is
        known of the process; `instead` returns the sink that is written to in place of the file.
        """
        if spec.file is None and spec.otlp is None:
            return cls(TelemetrySpec(), also=also)
        from partsong.telemetry.metrics import DROPPED_SPANS, Metrics
        from partsong.telemetry.otlp import SpanPost, meter_provider

        _keep_quiet("opentelemetry")
        release = _release()
        resource = {**_resource(service, release), **(about or {})}
        outboxes: list[Outbox] = []
        metric_file = None
        if spec.file is not None:
            traces = folder / spec.file
            metric_file = RotatingFile(own_file(traces.with_name("metrics.jsonl"), service, os.getpid(), host), spec.rotate)
            rotating = RotatingFile(own_file(traces, service, os.getpid(), host), spec.rotate)
            outboxes.append(Outbox(instead(SpanFile(rotating, SpanLines(resource, release))), "trace file"))
        if spec.otlp is not None:
            outboxes.append(Outbox(SpanPost(spec.otlp, resource, release), "collector"))
        meters = meter_provider(spec.otlp, metric_file, resource, _METRICS_EVERY_S)
        telemetry = cls(spec, tuple(outboxes), meters, Metrics(meters.get_meter("partsong", release)), also)
        telemetry.gauge(DROPPED_SPANS.name, DROPPED_SPANS.unit, DROPPED_SPANS.description, lambda: telemetry.dropped_spans)
        telemetry.gauge(*SPANS_WAITING, lambda: telemetry.waiting_spans)
        for outbox in outboxes:
            outbox.start()
        return telemetry

    @property
    def dropped_spans(self) -> int:
        """Spans that could not be delivered so far."""
        return sum(outbox.dropped for outbox in self._outboxes)

    @property
    def waiting_spans(self) -> int:
        """Spans that wait to be delivered."""
        return sum(outbox.waiting for outbox in self._outboxes)

    def span(self, name: str, parent: str | None, attributes: Mapping[str, Attribute] | None = None, *, run: str = "") -> Span:
        """Return a span to enter, under the parent's W3C trace context; without one it starts a trace, of a row of the run."""
        if not self._on:
            return self._uncharted(name, parent or "", self._counted) if self._counting else Span.silent(parent or "")
        context, parent_id = self._placed(parent, run)
        return Span(name, context, parent_id, attributes, content=self._spec.content, on_end=self._ended)

    def model_span(self, name: str, call: Call, adapter: str, model: str = "") -> Span:
        """Return the span of one attempt at a model: `name` in the mesh file, `model` by the provider's name where that differs."""
        if not self._on and not self._counting:
            return Span.silent(call.traceparent)
        model = model or name
        base: dict[str, Attribute] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider_name(adapter),
            "gen_ai.request.model": model,
            "partsong.model": name,
        }

        def counted(span: Span) -> None:
            for counting in self._counting:
                counting.called(span, base)

        def ended(span: Span) -> None:
            counted(span)
            self._put(span)

        if not self._on:
            return self._uncharted(f"chat {model}", call.traceparent, counted)
        context, parent_id = self._placed(call.traceparent)
        attributes = call_attributes(name, model, adapter, call, content=self._spec.content) if context.sampled else None
        return Span(f"chat {model}", context, parent_id, attributes, kind="client", content=self._spec.content, on_end=ended)

    def gauge(
        self, name: str, unit: str, description: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        """Report a level (a queue's depth), read each time metrics are sent, from another thread; None: there is none now."""
        for counting in self._counting:
            counting.gauge(name, unit, description, read, attributes or {})

    def count(
        self, name: str, unit: str, description: str, read: Callable[[], float], attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        """Report what only rises, read each time metrics are sent, from another thread."""
        for counting in self._counting:
            counting.count(name, unit, description, read, attributes or {})

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Deliver what waits, for at most this long; may be called again."""
        if self._closed:
            return
        self._closed = True
        ends_s = time.monotonic() + timeout_s
        for outbox in self._outboxes:
            outbox.close(max(0.0, ends_s - time.monotonic()))
        for counting in self._counting:
            counting.close(max(0.1, ends_s - time.monotonic()))
        if self._meters is not None:
            _shut_down(self._meters, max(0.1, ends_s - time.monotonic()))

    def _placed(self, parent: str | None, run: str = "") -> tuple[TraceContext, str]:
        above = TraceContext.parse(parent) if parent else None
        span_id = f"{self._dice.getrandbits(64) | 1:016x}"
        if above is not None:
            return TraceContext(above.trace_id, span_id, above.sampled), above.span_id
        trace = new_trace(run, self._dice)
        return TraceContext(f"{trace:032x}", span_id, self._samples(trace)), ""

    def _samples(self, trace: int) -> bool:
        """Decide by the id's random 56 bits, as W3C trace context level 2 has it: every process would decide alike."""
        return trace & ((1 << 56) - 1) < self._threshold

    def _uncharted(self, name: str, traceparent: str, on_end: Callable[[Span], None]) -> Span:
        """Return a span that is timed and counted, and belongs to no trace."""
        return Span(name, None, on_end=on_end, traceparent=traceparent)

    def _ended(self, span: Span) -> None:
        self._counted(span)
        self._put(span)

    def _counted(self, span: Span) -> None:
        if span.reply is not None:
            for counting in self._counting:
                counting.settled(span)

    def _put(self, span: Span) -> None:
        if span.recording:
            for outbox in self._outboxes:
                outbox.put(span)


def _shut_down(meters: "MeterProvider", timeout_s: float) -> None:
    try:
        meters.shutdown(timeout_millis=timeout_s * 1000)
    except Exception:  # noqa: BLE001  the SDK raises a bare Exception when a reader was too slow
        _log.warning("the last metrics were not delivered to the collector")


def _keep_quiet(logger: str) -> None:
    """Keep the exporters' complaints off the terminal unless the program logs; what was dropped is counted and said at the end."""
    logging.getLogger(logger).addHandler(logging.NullHandler())


def _resource(service: str, release: str) -> dict[str, Attribute]:
    return {
        "service.namespace": "partsong",
        "service.name": service,
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "service.version": release,
        HOST: socket.gethostname(),
        "process.pid": os.getpid(),
    }


def _release() -> str:
    try:
        return version("partsong")
    except PackageNotFoundError:
        return "unknown"
