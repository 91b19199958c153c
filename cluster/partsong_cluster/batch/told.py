"""Told: how far a run has come, as levels among the metrics of whatever process works it."""

import time
from collections.abc import Callable

from partsong.telemetry import Telemetry
from partsong.telemetry.levels import JOB_BUDGET_USED, JOB_COST, JOB_LEFT, JOB_RATE, JOB_ROWS, JOB_SHARE
from partsong_cluster.batch.progress import Pace
from partsong_cluster.batch.tally import Tally

__all__ = ["RunLevels"]


class RunLevels:
    """One run's."""

    def __init__(self, telemetry: Telemetry, run: str, budget_usd: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._answered = self._failed = 0
        self._cost_usd = 0.0
        self._fraction: float | None = None
        self._budget_usd = budget_usd
        self._pace = Pace(clock)
        of_run = {"partsong.run": run}
        telemetry.gauge(*JOB_ROWS, lambda: self._answered, {**of_run, "partsong.state": "answered"})
        telemetry.gauge(*JOB_ROWS, lambda: self._failed, {**of_run, "partsong.state": "failed"})
        telemetry.gauge(*JOB_SHARE, lambda: self._fraction, of_run)
        telemetry.gauge(*JOB_COST, lambda: self._cost_usd, of_run)
        telemetry.gauge(*JOB_BUDGET_USED, lambda: self._cost_usd / self._budget_usd if self._budget_usd else None, of_run)
        telemetry.gauge(*JOB_RATE, lambda: self._pace.rows_per_s, of_run)
        telemetry.gauge(*JOB_LEFT, lambda: self._pace.left_s(self._answered + self._failed, self._fraction), of_run)

    def saw(self, tally: Tally, fraction: float | None) -> None:
        """The run has come so far; `fraction` is the share of the input that is done, where that is known."""
        self._answered, self._failed, self._cost_usd, self._fraction = tally.answered, tally.failed, tally.cost_usd, fraction
        self._pace.saw(tally.rows)
