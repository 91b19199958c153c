"""Summary: what one plan (or model) did over many rows: how often right, at what cost, how fast, by which models."""

from collections import Counter

from pydantic import NonNegativeInt

from partsong.contracts import Answer, FailureCode, Frozen, Probability, Route, RowRecord, Seconds, Usd
from partsong.evaluation.intervals import Interval, wilson
from partsong.evaluation.mean import Mean
from partsong.evaluation.quantiles import Quantiles

__all__ = ["PlanSummary", "Summing"]


class PlanSummary(Frozen):
    """One line of the table that a run prints."""

    plan: str
    """The plan or model whose rows these are."""
    rows: NonNegativeInt
    """Rows finished; of a replay, those that the recorded calls cover."""
    not_covered: NonNegativeInt = 0
    """Rows that a replay lacked a call of; they count nowhere else."""
    failed: NonNegativeInt
    """Rows that ended in a failure."""
    failures: dict[str, NonNegativeInt]
    """Failed rows by code."""
    graded: NonNegativeInt
    """Rows with a reference to compare with; a failed one counts as wrong."""
    right: NonNegativeInt
    accuracy: Probability | None
    """Share of graded rows that are right; None when none is graded."""
    accuracy_interval: Interval | None
    """95 % score interval (Wilson)."""
    cost_usd: Usd
    """US dollars of all calls, failed rows' too; what came from journal or cache counts what it cost when it was paid."""
    usd_per_1000: Usd
    """US dollars per 1,000 rows."""
    usd_per_1000_interval: Interval | None = None
    """95 % interval of a mean, as of what follows; None of fewer than two rows."""
    cpu_s_per_1000: Seconds
    """Processor seconds of embedded models per 1,000 rows."""
    cpu_s_per_1000_interval: Interval | None = None
    calls_per_row: float
    calls_per_row_interval: Interval | None = None
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    latency_p50_s: Seconds
    """Of answered rows, within 1 %."""
    latency_p50_s_interval: Interval | None = None
    """95 %, by order statistics; None when too few rows are answered: under 8, under 73 for the 95th percentile."""
    latency_p95_s: Seconds
    """Of answered rows, within 1 %."""
    latency_p95_s_interval: Interval | None = None
    escalated: NonNegativeInt = 0
    """Answered rows that climbed past their first tier."""
    reached: dict[str, Probability]
    """Share of rows that asked each model at least once, most asked first."""
    routes: dict[str, NonNegativeInt]
    """Rows by the reason of their route."""


class Summing:
    """Adds rows up one by one in flat memory; `summary` may be asked at any time."""

    def __init__(self, plan: str) -> None:
        self._plan = plan
        self._graded = self._right = self._prompt_tokens = self._completion_tokens = 0
        self._not_covered = self._escalated = 0
        self._cost_usd, self._cpu_s, self._calls = Mean(), Mean(), Mean()
        self._failures: Counter[str] = Counter()
        self._reached: Counter[str] = Counter()
        self._routes: Counter[str] = Counter()
        self._latency = Quantiles()

    def add(self, record: RowRecord, right: bool | None = None) -> None:
        """Add one row; `right` is None when there is nothing to compare it with."""
        if not isinstance(record.reply, Answer) and record.reply.code is FailureCode.NOT_COVERED:
            self._not_covered += 1
            return
        if right is not None:
            self._graded += 1
            self._right += right
        if isinstance(record.reply, Answer):
            self._latency.add(record.reply.latency_s)
            self._escalated += record.reply.escalations > 0
            self._add_route(record.reply.route)
        else:
            self._failures[record.reply.code] += 1
        self._add_bill(record)

    def _add_route(self, route: Route | None) -> None:
        if route is not None and (route.reason in self._routes or len(self._routes) < _MOST_ROUTES):
            self._routes[route.reason] += 1

    def _add_bill(self, record: RowRecord) -> None:
        bill = record.reply.bill
        self._calls.add(len(bill))
        self._cost_usd.add(sum(line.cost_usd for line in bill))
        self._cpu_s.add(sum(line.cpu_s for line in bill))
        self._reached.update({line.model for line in bill})
        for line in bill:
            self._prompt_tokens += line.usage.prompt_tokens
            self._completion_tokens += line.usage.completion_tokens

    def summary(self) -> PlanSummary:
        """Return the sums so far."""
        rows = self._cost_usd.n
        return PlanSummary(
            plan=self._plan,
            rows=rows,
            not_covered=self._not_covered,
            failed=self._failures.total(),
            failures=dict(self._failures.most_common()),
            graded=self._graded,
            right=self._right,
            accuracy=self._right / self._graded if self._graded else None,
            accuracy_interval=wilson(self._right, self._graded) if self._graded else None,
            cost_usd=self._cost_usd.value * rows,
            usd_per_1000=1000 * self._cost_usd.value,
            usd_per_1000_interval=self._cost_usd.interval(1000),
            cpu_s_per_1000=1000 * self._cpu_s.value,
            cpu_s_per_1000_interval=self._cpu_s.interval(1000),
            calls_per_row=self._calls.value,
            calls_per_row_interval=self._calls.interval(),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            latency_p50_s=self._latency.at(0.5),
            latency_p50_s_interval=self._latency.interval(0.5),
            latency_p95_s=self._latency.at(0.95),
            latency_p95_s_interval=self._latency.interval(0.95),
            escalated=self._escalated,
            reached={model: times / rows for model, times in self._reached.most_common()},
            routes=dict(self._routes.most_common()),
        )


_MOST_ROUTES = 1000
"""Reasons kept apart; a learned gate may word each row's differently."""
