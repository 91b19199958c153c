"""Summary: `summary.json`, what a run has come to: counts, cost, tokens, latency, by model and by route."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from partsong_cluster.batch.disk import replace_file
from partsong_cluster.batch.folder import Manifest
from partsong_cluster.batch.stop import Outcome
from partsong_cluster.batch.tally import Tally

__all__ = ["SUMMARY", "summary", "write_summary"]

SUMMARY = "summary.json"


def summary(
    manifest: Manifest, outcome: Outcome, tally: Tally, unused: Mapping[str, int], refused: str | None, paid_usd: float
) -> dict[str, Any]:
    """Return the run's summary as JSON has it.

    `unused` counts the session's rows by request fields that changed nothing; `refused` says which call a budget refused;
    `paid_usd` is all that the journal knows the run to have cost at most, calls of rows that are not done yet included.
    """
    models = tally.models.values()
    return {
        "run": manifest.run,
        "outcome": outcome.value,
        "mesh": manifest.mesh,
        "mesh_hash": manifest.mesh_hash,
        "input": manifest.input,
        "use": manifest.use,
        "started": datetime.fromtimestamp(manifest.started_s, UTC).isoformat(timespec="seconds"),
        "sessions": tally.sessions,
        "duration_s": round(tally.duration_s, 3),
        "rows": {"finished": tally.rows, "answered": tally.answered, "failed": tally.failed, "failures": tally.failures},
        "unused_fields": dict(unused),
        "cost_usd": tally.cost_usd,
        "possible_usd": max(0.0, round(paid_usd - tally.cost_usd, 9)),  # the same costs, added up in another order
        "refused": refused,
        "cpu_s": sum(model.cpu_s for model in models),
        "tokens": {
            "prompt": sum(model.prompt_tokens for model in models),
            "completion": sum(model.completion_tokens for model in models),
        },
        "calls": sum(model.calls for model in models),
        "retries": tally.retries,
        "latency_s": {
            "mean": tally.latency_sum_s / tally.answered if tally.answered else None,
            "p50": tally.quantile_s(0.5),
            "p90": tally.quantile_s(0.9),
            "p95": tally.quantile_s(0.95),
            "p99": tally.quantile_s(0.99),
            "max": tally.latency_max_s if tally.answered else None,
        },
        "models": {name: asdict(model) for name, model in sorted(tally.models.items())},
        "routes": {name: asdict(route) for name, route in sorted(tally.routes.items())},
        "versions": {"partsong": version("partsong"), "python": platform.python_version()},
    }


def write_summary(folder: Path, content: dict[str, Any]) -> None:
    """Write the summary into the run's folder."""
    replace_file(folder / SUMMARY, to_json(content, indent=2) + b"\n")
