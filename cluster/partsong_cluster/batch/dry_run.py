"""Dry run: where every row of an input would go and what that could cost at most; no model is called, no folder made."""

import tempfile
from pathlib import Path

from pydantic import BaseModel

from partsong.contracts import Failure, FailureCode
from partsong_cluster.batch.estimate import Estimator
from partsong_cluster.batch.ingest import Ingest
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.position import BadRow, Read
from partsong_cluster.batch.run import RunInput

__all__ = ["DryRun", "RouteForecast", "dry_run"]

_MOST_BAD_ROWS = 20


class RouteForecast(BaseModel):
    """The rows that would go one way."""

    rows: int = 0
    prompt_tokens: int = 0
    """Of one call a row."""
    most_usd: float = 0.0
    """US dollars at most: every call that the plan may make, `max_tokens` (or 1,024) tokens each, no retries."""
    reasons: dict[str, int] = {}
    """Rows by the rule that sent them here."""


class DryRun(BaseModel):
    """What a run would do."""

    rows: int = 0
    bad: int = 0
    """Rows that could not be read, or that no route takes."""
    bad_rows: list[str] = []
    """The first of them, with place and reason."""
    routes: dict[str, RouteForecast] = {}
    models: dict[str, int] = {}
    """Calls at most, by model."""

    @property
    def most_usd(self) -> float:
        """US dollars at most, over all routes."""
        return sum(route.most_usd for route in self.routes.values())


def dry_run(rows: RunInput, estimator: Estimator, most_rows: int | None = None) -> DryRun:
    """Read the input and route every row. Blocking."""
    forecast = DryRun()
    with tempfile.TemporaryDirectory(prefix="partsong-") as scratch:
        ledger = Ledger(Path(scratch) / "ledger.db")
        ingest = Ingest(rows.files, rows.rules, ledger.first_row)
        try:
            while block := ingest.block():
                for read in block:
                    if most_rows is not None and read.at.row >= most_rows:
                        return forecast
                    _add(forecast, read, estimator)
        finally:
            ledger.close()
    return forecast


def _add(forecast: DryRun, read: Read, estimator: Estimator) -> None:
    forecast.rows += 1
    task = read.task
    route = Failure(code=FailureCode.BAD_ROW, message=task.reason) if isinstance(task, BadRow) else estimator.route(task)
    if isinstance(route, Failure) or isinstance(task, BadRow):
        forecast.bad += 1
        if forecast.bad <= _MOST_BAD_ROWS and isinstance(route, Failure):
            forecast.bad_rows.append(f"{read.file}:{read.at.line} {route.code}: {route.message}")
        return
    way = forecast.routes.setdefault(route.use, RouteForecast())
    way.rows += 1
    way.prompt_tokens += estimator.usage(task).prompt_tokens
    way.most_usd += estimator.most_usd(task)
    way.reasons[route.reason] = way.reasons.get(route.reason, 0) + 1
    for model, calls in estimator.calls(route.use).items():
        forecast.models[model] = forecast.models.get(model, 0) + calls
