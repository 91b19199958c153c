"""Tally: what a run has come to so far, added up row by row in flat memory."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from partsong.contracts import Answer, BillLine, Failure, Reply
from partsong.evaluation.quantiles import Quantiles, bucket_of

__all__ = ["ModelTally", "RouteTally", "Tally", "paid_usd"]

_UNPAID = frozenset({"cache"})


@dataclass(slots=True)
class ModelTally:
    """What one model was asked."""

    calls: int = 0
    """Calls that were made, answered or not; what journal or cache answered is not among them."""
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    reused: int = 0
    """Answered from the journal or the cache."""
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    possible_usd: float = 0.0
    """What attempts that may have reached the provider, but told no usage, can have cost besides."""
    cpu_s: float = 0.0

    def add(self, line: BillLine) -> None:
        """Add one line of a bill."""
        reused = line.outcome in ("journal", "cache")
        self.reused += reused
        self.calls += not reused
        self.answered += line.outcome == "answered"
        self.failed += line.outcome == "failed"
        self.cancelled += line.outcome == "cancelled"
        self.retries += max(0, line.attempts - 1)
        if line.outcome not in _UNPAID:
            self.prompt_tokens += line.usage.prompt_tokens
            self.completion_tokens += line.usage.completion_tokens
            self.cost_usd += line.cost_usd
            self.possible_usd += line.possible_usd
            self.cpu_s += line.cpu_s


@dataclass(slots=True)
class RouteTally:
    """What went one way."""

    rows: int = 0
    escalated: int = 0
    """Rows that climbed at least one tier."""
    cost_usd: float = 0.0


@dataclass(slots=True)
class Tally:
    """All finished rows of a run."""

    answered: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    """Failed rows by code."""
    models: dict[str, ModelTally] = field(default_factory=dict)
    routes: dict[str, RouteTally] = field(default_factory=dict)
    """Answered rows by the model or plan they went to."""
    latency: dict[int, int] = field(default_factory=dict)
    """Answered rows' seconds, counted by bucket (see evaluation/quantiles.py)."""
    latency_sum_s: float = 0.0
    latency_max_s: float = 0.0
    duration_s: float = 0.0
    """Of all sessions that worked at the run."""
    sessions: int = 0

    @property
    def rows(self) -> int:
        """Finished rows, answered or failed."""
        return self.answered + self.failed

    @property
    def cost_usd(self) -> float:
        """US dollars over all models."""
        return sum(model.cost_usd for model in self.models.values())

    @property
    def retries(self) -> int:
        """Attempts after the first, over all models."""
        return sum(model.retries for model in self.models.values())

    @classmethod
    def read(cls, written: Any) -> "Tally":
        """Return the tally that `written` holds."""
        return _TALLY.validate_python(written)

    def written(self) -> Any:
        """Return the tally as JSON has it."""
        return _TALLY.dump_python(self)

    def add(self, reply: Reply) -> None:
        """Add a finished row."""
        for line in reply.bill:
            self.models.setdefault(line.model, ModelTally()).add(line)
        if isinstance(reply, Failure):
            self.failed += 1
            self.failures[reply.code.value] = self.failures.get(reply.code.value, 0) + 1
        else:
            self._add_answer(reply)

    def quantile_s(self, share: float) -> float | None:
        """Return the seconds that this share of the answered rows did not pass."""
        return Quantiles(self.latency, self.latency_max_s).at(share) if self.latency else None

    def _add_answer(self, answer: Answer) -> None:
        self.answered += 1
        route = self.routes.setdefault(answer.route.use if answer.route else answer.source, RouteTally())
        route.rows += 1
        route.escalated += answer.escalations > 0
        route.cost_usd += paid_usd(answer)
        bucket = bucket_of(answer.latency_s)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1
        self.latency_sum_s += answer.latency_s
        self.latency_max_s = max(self.latency_max_s, answer.latency_s)


_TALLY = TypeAdapter(Tally)


def paid_usd(reply: Reply) -> float:
    """Return what the row cost this run; what the cache gave was paid by another."""
    return sum(line.cost_usd for line in reply.bill if line.outcome not in _UNPAID)
