"""OTLP: spans and metrics to a collector over HTTP, by OpenTelemetry's own exporters. Imported only when telemetry is on."""

import json
from collections.abc import Mapping, Sequence

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from partsong.telemetry.attributes import SCHEMA_URL, Attribute
from partsong.telemetry.file import RotatingFile
from partsong.telemetry.span import Span, TraceContext

__all__ = ["SpanPost", "meter_provider"]

_TIMEOUT_S = 5.0
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_INT64 = 1 << 63


class SpanPost:
    """A sink that posts each batch to a collector's `/v1/traces`."""

    def __init__(self, url: str, resource: Mapping[str, Attribute], version: str) -> None:
        self._exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
        self._resource = Resource.create(dict(resource))
        self._scope = InstrumentationScope("partsong", version, SCHEMA_URL)

    def write(self, spans: Sequence[Span]) -> bool:
        """See Sink.write."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """See Sink.close."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        context = span.context
        assert context is not None
        return ReadableSpan(
            name=_text(span.name),
            context=_context(context),
            parent=_context(TraceContext(context.trace_id, span.parent_id, context.sampled)) if span.parent_id else None,
            resource=self._resource,
            attributes={key: _sendable(value) for key, value in span.attributes.items()},
            kind=_KINDS[span.kind],
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR, _text(span.error)) if span.error else Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
        )


class _MetricFile(MetricExporter):
    """Metrics as OTLP's JSON lines."""

    def __init__(self, file: RotatingFile) -> None:
        super().__init__()
        self._file = file

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        line = json.dumps(MessageToDict(encode_metrics(metrics_data)), separators=(",", ":"))
        try:
            self._file.append(line.encode())
        except OSError:
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        self._file.close()


def meter_provider(url: str | None, file: RotatingFile | None, resource: Mapping[str, Attribute], every_s: float) -> MeterProvider:
    """Return a provider that sends its metrics to the collector, the file, or both."""
    exporters: list[MetricExporter] = []  # the file first: at the end they take turns, and a slow collector may use up the time
    if file is not None:
        exporters.append(_MetricFile(file))
    if url is not None:
        exporters.append(OTLPMetricExporter(f"{url.rstrip('/')}/v1/metrics", timeout=_TIMEOUT_S))
    readers = [PeriodicExportingMetricReader(exporter, export_interval_millis=every_s * 1000) for exporter in exporters]
    return MeterProvider(readers, Resource.create(dict(resource)), shutdown_on_exit=False)


def _context(context: TraceContext) -> SpanContext:
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=TraceFlags(int(context.sampled)))


def _sendable(value: Attribute) -> Attribute:
    """Return the value as protobuf takes it: one that it refuses would cost the whole batch."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return tuple(_text(item) for item in value)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)
    return value


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
