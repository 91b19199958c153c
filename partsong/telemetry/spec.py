"""What the mesh file says of telemetry: where traces and metrics go, and how many."""

from pydantic import Field, PositiveInt

from partsong.contracts import Frozen, Probability, Size

__all__ = ["Rotation", "TelemetrySpec"]


class Rotation(Frozen):
    """When a trace file is put aside and how many are kept, for each process that writes one."""

    size: Size = 64_000_000
    """Bytes after which the next file is begun."""
    keep: PositiveInt = 4
    """Files kept, the one being written included; the oldest is deleted."""


class TelemetrySpec(Frozen):
    """Where traces and metrics go; both are off unless `file` or `otlp` is given."""

    file: str | None = None
    """File of spans and metrics as JSON lines (`traces.jsonl`), in the run's folder unless absolute.

    Every process writes its own beside that name (`traces-worker-4711.jsonl`; over Ray `traces-HOST-worker-4711.jsonl`). Of a job of a
    cluster all spans are gathered in `traces/` beside the output, within `rotate`.
    """
    rotate: Rotation = Rotation()
    """When a trace file is put aside and how many are kept."""
    otlp: str | None = Field(default=None, pattern=r"^https?://")
    """Address of a collector that takes OTLP over HTTP (`http://127.0.0.1:4318`); `/v1/traces` and `/v1/metrics` are added."""
    content: bool = False
    """Whether prompts and replies are written into spans."""
    sample: Probability = 1.0
    """Share of rows that are traced; decided once a row, from its trace id."""
