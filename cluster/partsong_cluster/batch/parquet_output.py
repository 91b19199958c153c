"""Parquet output: `output.parquet`, made of `output.jsonl` when the run is complete; nested fields stay JSON text."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from partsong_cluster.batch.disk import disk_errors

__all__ = ["PARQUET", "write_parquet"]

PARQUET = "output.parquet"

_ROWS_A_GROUP = 10_000
_PLAIN = ("row", "source", "confidence", "escalations", "stopped", "cost_usd", "cpu_s", "latency_s", "trace_id")
_JSON = ("value", "votes", "candidates", "tiers", "bill", "metadata", "tool_calls")


def write_parquet(folder: Path, lines: Iterable[bytes]) -> Path:
    """Write the file into the folder out of the lines of `output.jsonl`, in one step, in flat memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("custom_id", pa.string()),
            ("row", pa.int64()),
            ("text", pa.string()),
            ("source", pa.string()),
            ("route", pa.string()),
            ("route_reason", pa.string()),
            ("finish_reason", pa.string()),
            ("confidence", pa.float64()),
            ("escalations", pa.int32()),
            ("stopped", pa.string()),
            ("prompt_tokens", pa.int64()),
            ("completion_tokens", pa.int64()),
            ("cost_usd", pa.float64()),
            ("cpu_s", pa.float64()),
            ("latency_s", pa.float64()),
            ("trace_id", pa.string()),
            *((name, pa.string()) for name in _JSON),
        ]
    )
    draft, path = folder / f".{PARQUET}.{os.getpid()}", folder / PARQUET
    with disk_errors(path):
        try:
            with pq.ParquetWriter(draft, schema) as writer:
                for group in _groups(lines):
                    writer.write_table(pa.Table.from_pylist(group, schema))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def _groups(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for line in lines:
        group.append(_flat(from_json(line)))
        if len(group) == _ROWS_A_GROUP:
            yield group
            group = []
    yield group


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    body, story = line["response"]["body"], line["partsong"]
    choice, route = body["choices"][0], story["route"] or {}
    nested = {**story, "tool_calls": choice["message"].get("tool_calls")}
    return {
        **{
            name: story[name]
            for name in ("row", "source", "confidence", "escalations", "stopped", "cost_usd", "cpu_s", "latency_s", "trace_id")
        },
        **{name: None if nested[name] is None else to_json(nested[name]).decode() for name in _JSON},
        "custom_id": line["custom_id"],
        "text": choice["message"]["content"],
        "route": route.get("use"),
        "route_reason": route.get("reason"),
        "finish_reason": choice["finish_reason"],
        "prompt_tokens": body["usage"]["prompt_tokens"],
        "completion_tokens": body["usage"]["completion_tokens"],
    }
