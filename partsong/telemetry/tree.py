"""Trace tree: the spans of one row, read back from a run's trace files and set under one another."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from partsong.contracts import Frozen, Seconds
from partsong.errors import Place, RunError
from partsong.telemetry.attributes import HOST, NODE_ID

__all__ = ["GATHERED", "RowTrace", "SpanNode", "read_trace", "recorded_files", "trace_files"]

GATHERED = "traces"
"""Folder beside the output, of a job's traces."""
_NAME = re.compile(r".+\.jsonl(\.\d+)?")
_SPANS_BEGIN = b'{"resourceSpans"'
_ID_DIGITS = 6
_TOLERANCE_NS = 5_000_000
"""Clocks of machines that keep time differ by this much; it is not told."""
_RECORDED_BEGIN = b'{"resource'
"""Of a line of spans or of metrics."""


class SpanNode(Frozen):
    """One span with what was done beneath it."""

    name: str
    span_id: str
    service: str
    """The part that did it: `coordinator`, `worker-mini`."""
    node: str = ""
    """Where: the host's name, with the beginning of its id where several have one name; empty when it was not recorded."""
    start_s: float
    """Seconds after the trace began."""
    duration_s: Seconds
    skew_s: float = 0.0
    """By how many seconds its process's clock is behind that of the span above it, at least; below 0: ahead; 0: there is no sign of it.

    It began, by its own clock, before it was asked, or after whoever asked had ended. Times are as each clock told them: none is shifted.
    """
    error: str = ""
    """Why it failed; empty when it did not."""
    attributes: dict[str, JsonValue] = {}
    children: tuple["SpanNode", ...] = ()

    def walk(self, depth: int = 0) -> "Iterator[tuple[int, SpanNode]]":
        """Yield this span and all beneath it, each with its depth."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


class RowTrace(Frozen):
    """All that was recorded of one row's last passage through the engine."""

    trace_id: str
    custom_id: str
    row: int | None
    start_unix_s: float
    duration_s: Seconds
    roots: tuple[SpanNode, ...]
    """Usually one; more when a span between was lost with its process."""
    earlier_traces: int = 0
    """Passages before this one, of a run that was resumed."""

    @property
    def skews(self) -> Mapping[str, float]:
        """The largest `skew_s` of each node whose clock differs from that of the one that asked it; of each part where all are on one."""
        found: dict[str, float] = {}
        on_several = len(self.nodes) > 1
        for _, node in self.walk():
            whose = (on_several and node.node) or node.service
            if abs(node.skew_s) > abs(found.get(whose, 0.0)):
                found[whose] = node.skew_s
        return found

    @property
    def nodes(self) -> Sequence[str]:
        """Where it was, in the order of the tree."""
        return list(dict.fromkeys(node.node for _, node in self.walk() if node.node))

    @property
    def is_torn(self) -> bool:
        """Whether spans between those that are there are missing: lost with their process, or not sent yet."""
        return len(self.roots) > 1

    def walk(self) -> Iterator[tuple[int, SpanNode]]:
        """Yield every span with its depth, in the order of the tree."""
        for root in self.roots:
            yield from root.walk()


def read_trace(run_folder: Path, row: str, trace_id: str | None = None) -> RowTrace:
    """Return the row's last trace, or the one of this id where several runs share the folder; RunError when there is none.

    `row` is its custom id or, when no row is called so, its number.
    """
    files = trace_files(run_folder)
    if not files:
        raise RunError(
            "no-traces",
            "no traces were recorded in this folder",
            at=Place(str(run_folder)),
            remedy="add `telemetry: {file: traces.jsonl}` to the mesh file and run again",
        )
    traces = _traces_of(files, row)
    if trace_id is not None:
        traces = {trace: start_ns for trace, start_ns in traces.items() if trace == trace_id}
    if not traces:
        raise RunError(
            "no-trace",
            f"no trace of row {row!r}",
            at=Place(str(run_folder)),
            remedy="name a row by its custom id or number; with `telemetry.sample` below 1, and in files rotated away, some rows have none",
        )
    trace_id = max(traces, key=lambda trace: traces[trace])
    spans = _distinct(span for span in _spans(files, [trace_id.encode()]) if span["traceId"] == trace_id)
    return _tree(trace_id, spans, earlier_traces=len(traces) - 1)


def trace_files(folder: Path) -> Sequence[Path]:
    """Return the folder's files of spans, rotated ones too, and those that a job gathered in its folder `traces`."""
    return _beginning(folder, _SPANS_BEGIN)


def recorded_files(folder: Path) -> Sequence[Path]:
    """Return the folder's files of spans and of metrics, rotated ones too."""
    return _beginning(folder, _RECORDED_BEGIN)


def _beginning(folder: Path, words: bytes) -> Sequence[Path]:
    there = (*folder.glob("*.jsonl*"), *(folder / GATHERED).glob("*.jsonl*"))
    named = (path for path in there if _NAME.fullmatch(path.name) and path.is_file())
    return sorted(path for path in named if _head(path, len(words)) == words)


def _head(path: Path, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size_bytes)


def _traces_of(files: Sequence[Path], row: str) -> Mapping[str, int]:
    """Return the start of each trace of the row by trace id."""
    by_id = _starts(files, "partsong.custom_id", {"stringValue": row})
    return by_id if by_id or not row.isdecimal() else _starts(files, "partsong.row", {"intValue": str(int(row))})


def _starts(files: Sequence[Path], key: str, value: Mapping[str, str]) -> Mapping[str, int]:
    attribute = {"key": key, "value": value}
    starts: dict[str, int] = {}
    for span in _spans(files, [json.dumps(attribute, separators=(",", ":")).encode()]):
        if attribute in span.get("attributes", ()):
            start_ns = int(span["startTimeUnixNano"])
            starts[span["traceId"]] = min(start_ns, starts.get(span["traceId"], start_ns))
    return starts


def _spans(files: Iterable[Path], needles: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the spans of all lines that hold the needles; a line torn by a crash is passed over."""
    for path in files:
        with path.open("rb") as lines:
            for line in lines:
                if all(needle in line for needle in needles):
                    yield from _spans_of(line)


def _spans_of(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        batches = json.loads(line)["resourceSpans"]
    except (ValueError, KeyError, TypeError):
        return
    for batch in batches:
        about = _attributes(batch["resource"].get("attributes", ()))
        process = {"service": about.get("service.name", ""), "host": about.get(HOST, ""), "node_id": about.get(NODE_ID, "")}
        for scope in batch["scopeSpans"]:
            for span in scope["spans"]:
                yield {**span, **process}


def _distinct(spans: Iterable[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return list({span["spanId"]: span for span in spans}.values())


def _tree(trace_id: str, spans: Sequence[dict[str, Any]], earlier_traces: int) -> RowTrace:
    begin_ns = min(int(span["startTimeUnixNano"]) for span in spans)
    end_ns = max(int(span["endTimeUnixNano"]) for span in spans)
    known = {span["spanId"] for span in spans}
    beneath: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: int(span["startTimeUnixNano"])):
        above = span.get("parentSpanId") or ""
        beneath[above if above in known and above != span["spanId"] else ""].append(span)
    named = _named_nodes(spans)
    for span in spans:
        span["node"] = named[span["host"], span["node_id"]]
    everything = [_attributes(span.get("attributes", ())) for span in spans]
    row = _first(everything, "partsong.row")
    return RowTrace(
        trace_id=trace_id,
        custom_id=str(_first(everything, "partsong.custom_id") or ""),
        row=row if isinstance(row, int) else None,
        start_unix_s=begin_ns / 1e9,
        duration_s=max(0, end_ns - begin_ns) / 1e9,
        roots=tuple(_node(span, beneath, begin_ns) for span in beneath[""]),
        earlier_traces=earlier_traces,
    )


def _named_nodes(spans: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, str], str]:
    """Return what each node is called, by its host and its id."""
    nodes = {(span["host"], span["node_id"]) for span in spans}
    hosts = [host for host, _ in nodes]
    return {(host, node): f"{host}/{node[:_ID_DIGITS]}" if node and hosts.count(host) > 1 else host for host, node in nodes}


def _first(everything: Iterable[Mapping[str, JsonValue]], key: str) -> JsonValue:
    return next((attributes[key] for attributes in everything if key in attributes), None)


def _node(
    span: Mapping[str, Any], beneath: Mapping[str, Sequence[dict[str, Any]]], begin_ns: int, above: Mapping[str, Any] | None = None
) -> SpanNode:
    start_ns, end_ns = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    attributes = _attributes(span.get("attributes", ()))
    status = span.get("status") or {}
    failed = status.get("code") in (2, "STATUS_CODE_ERROR")
    return SpanNode(
        name=span["name"],
        span_id=span["spanId"],
        service=str(span["service"]),
        node=span["node"],
        start_s=(start_ns - begin_ns) / 1e9,
        duration_s=max(0, end_ns - start_ns) / 1e9,
        skew_s=0.0 if above is None else _skew_s(span, above),
        error=status.get("message") or str(attributes.get("error.type", "failed")) if failed else "",
        attributes=attributes,
        children=tuple(_node(child, beneath, begin_ns, span) for child in beneath.get(span["spanId"], ())),
    )


def _skew_s(span: Mapping[str, Any], above: Mapping[str, Any]) -> float:
    """Return by how much the clock of the span's process is behind the one above; spans of one process or host have one clock."""
    if span["service"] == above["service"] and span["node"] == above["node"]:
        return 0.0
    start_ns, asked_ns, over_ns = int(span["startTimeUnixNano"]), int(above["startTimeUnixNano"]), int(above["endTimeUnixNano"])
    if start_ns < asked_ns - _TOLERANCE_NS:
        return (asked_ns - start_ns) / 1e9
    return -(start_ns - over_ns) / 1e9 if start_ns > over_ns + _TOLERANCE_NS else 0.0


def _attributes(pairs: Iterable[Mapping[str, Any]]) -> dict[str, JsonValue]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: Mapping[str, Any]) -> JsonValue:
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values", ())]
    return next(iter(value.values()), None)
