"""Trace file: spans and metrics as OTLP's JSON lines, which any collector reads; rotating, one file a process."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from partsong.telemetry.attributes import SCHEMA_URL, Attribute
from partsong.telemetry.span import Span
from partsong.telemetry.spec import Rotation

__all__ = ["RotatingFile", "SpanFile", "SpanLines", "own_file"]

_KINDS = {"internal": 1, "client": 3}
_STATUS_ERROR = 2


def own_file(path: Path, service: str, pid: int, host: str = "") -> Path:
    """Return this process's own file beside the path: `traces.jsonl` becomes `traces-worker-4711.jsonl`.

    The host's name goes before where processes of several may share the folder: in containers their ids are the same.
    """
    named = [re.sub(r"[^\w.]+", "_", part) for part in (host, service) if part]
    return path.with_name("-".join([path.stem, *named, f"{pid}{path.suffix or '.jsonl'}"]))


class RotatingFile:
    """Lines, whole ones in one write each; past its size the file is put aside as `.1`, `.2`, ..."""

    def __init__(self, path: Path, rotation: Rotation) -> None:
        self._path = path
        self._rotation = rotation
        self._fd: int | None = None
        self._size_bytes = 0
        self._torn = False

    def append(self, line: bytes) -> None:
        """Write the line and its end; OSError when the disk refuses, and the next line starts afresh."""
        if self._fd is not None and self._size_bytes and self._size_bytes + len(line) >= self._rotation.size:
            self._put_aside()
        fd = self._opened()
        whole = (b"\n" if self._torn else b"") + line + b"\n"
        self._torn = True
        self._size_bytes += len(whole)
        if os.write(fd, whole) == len(whole):
            self._torn = False

    def close(self) -> None:
        """Let go of the file; a later line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _opened(self) -> int:
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._size_bytes = os.fstat(self._fd).st_size
        return self._fd

    def _put_aside(self) -> None:
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{age}") for age in range(1, self._rotation.keep))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.replace(older)
        if len(names) == 1:
            self._path.unlink()


class SpanLines:
    """How one process's spans are written down."""

    def __init__(self, resource: Mapping[str, Attribute], version: str) -> None:
        self.resource = resource
        """Who writes them."""
        self._resource = {"attributes": _attributes(resource)}
        self._scope = {"name": "partsong", "version": version}

    def line(self, spans: Sequence[Span]) -> bytes:
        """Return the spans as one line, without its end."""
        inside = {"scope": self._scope, "spans": [_span(span) for span in spans], "schemaUrl": SCHEMA_URL}
        line = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [inside]}]}
        return json.dumps(line, separators=(",", ":")).encode()


class SpanFile:
    """A sink that writes each batch as one line."""

    def __init__(self, file: RotatingFile, lines: SpanLines) -> None:
        self._file = file
        self.lines = lines

    def write(self, spans: Sequence[Span]) -> bool:
        """See Sink.write."""
        self._file.append(self.lines.line(spans))
        return True

    def close(self) -> None:
        """See Sink.close."""
        self._file.close()


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    assert context is not None
    return {
        "traceId": context.trace_id,
        "spanId": context.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
        "status": {"code": _STATUS_ERROR, "message": span.error} if span.error else {},
    }


def _attributes(attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Attribute) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _UNPRINTABLE[str(value)]}
    return {"arrayValue": {"values": [_value(item) for item in value]}}


_UNPRINTABLE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""How protobuf's JSON writes what JSON has no number for."""
