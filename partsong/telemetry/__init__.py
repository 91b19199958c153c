"""Telemetry: traces and metrics by OpenTelemetry, linked across processes by what the messages carry."""

from partsong.telemetry.span import Span
from partsong.telemetry.spec import TelemetrySpec
from partsong.telemetry.telemetry import Telemetry

__all__ = ["Span", "Telemetry", "TelemetrySpec"]
