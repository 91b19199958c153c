"""View: what the numbers of one moment, and the time before it, say of systems, models, jobs and nodes."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter

from partsong.contracts import Frozen
from partsong.telemetry.counts import JOURNAL_RECORDS, RETRIES
from partsong.telemetry.exported import CALLS, COST, EXPORTED, STEPS, name_of
from partsong.telemetry.levels import (
    BREAKER,
    CALLS_IN_FLIGHT,
    CALLS_LIMITED,
    CALLS_WAITING,
    JOB_BUDGET_USED,
    JOB_COST,
    JOB_LEFT,
    JOB_RATE,
    JOB_ROWS,
    JOB_SHARE,
    JOURNAL_OLDEST,
    JOURNAL_PENDING,
    LIMIT_USED,
    ROWS_UNDER_WAY,
    TENURE,
    WAIT_P95,
    WORKERS,
)
from partsong_cluster.top.sample import Sample
from partsong_cluster.top.sources import Reading

__all__ = ["JobView", "ModelView", "NodeView", "SystemView", "View", "Watch"]

_RATES_OVER_S = 30.0
"""Ray serves new sums every ten seconds: over less, a rate would jump."""

_SERVED = {metric.name: metric.served for metric in EXPORTED}
_NO_FAILURES = frozenset({"ok", "cancelled"})


class ModelView(Frozen):
    """One model of one system."""

    system: str
    model: str
    ready: int | None
    """Workers that take calls; None where nobody tells."""
    starting: int
    draining: int
    in_flight: int
    waiting: int
    limited: int
    """Calls that wait for a rate or a budget."""
    wait_p95_s: float | None
    calls_per_s: float
    failed_share: float | None
    """Of the calls of late; None while there were none."""
    retries_per_s: float
    breaker: str | None
    limit: str | None
    """Its limit that is used up most, and which share is used."""
    limit_used: float | None
    usd_per_min: float


class JobView(Frozen):
    """One run."""

    system: str
    job: str
    answered: int
    failed: int
    share: float | None
    rows_per_s: float
    cost_usd: float
    budget_used: float | None
    left_s: float | None


class NodeView(Frozen):
    """One machine."""

    node: str
    processes: int
    """Of Partsong."""
    cpu_percent: float | None
    memory_used: float | None
    disk_used: float | None


class SystemView(Frozen):
    """One system; the systems that end with their drivers are told as one."""

    system: str
    rows_per_s: float
    under_way: int
    journal_per_s: float
    journal_pending: int
    journal_oldest_s: float
    unconfirmed: tuple[str, ...]
    """Actors whose epoch the store has not confirmed lately."""
    usd_per_min: float


class View(Frozen):
    """All of a cluster."""

    systems: tuple[SystemView, ...]
    models: tuple[ModelView, ...]
    jobs: tuple[JobView, ...]
    nodes: tuple[NodeView, ...]
    unreachable: tuple[str, ...]
    over_s: float
    """How long rates were watched for; 0 at the first reading."""


class Watch:
    """Keeps the readings of the last half minute."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Reading]] = deque()

    def saw(self, reading: Reading, now_s: float) -> View:
        """Take a reading; return what is to be shown."""
        self._readings.append((now_s, reading))
        while len(self._readings) > 2 and now_s - self._readings[1][0] >= _RATES_OVER_S:
            self._readings.popleft()
        began_s, before = self._readings[0]
        return _Facts(reading, before, now_s - began_s).view()


class _Facts:
    """Sums over series: of what they are now, and of how they have risen."""

    def __init__(self, now: Reading, before: Reading, over_s: float) -> None:
        self._now: dict[str, list[Sample]] = {}
        for sample in now.samples:
            self._now.setdefault(sample.name, []).append(sample)
        self._before = {(sample.name, sample.labels): sample.value for sample in before.samples}
        self._unreachable = now.unreachable
        self._over_s = over_s

    def view(self) -> View:
        """Return all of it."""
        return View(
            systems=tuple(self._system(*of) for of in self._labels("system")),
            models=tuple(self._model(*of) for of in self._labels("system", "model")),
            jobs=tuple(self._job(*of) for of in self._labels("system", "job")),
            nodes=self._nodes(),
            unreachable=self._unreachable,
            over_s=self._over_s,
        )

    def _labels(self, *names: str) -> Sequence[tuple[str, ...]]:
        """Return all that series of ours have as these labels together."""
        ours = (sample for name, samples in self._now.items() if name.startswith("ray_partsong_") for sample in samples)
        found = {tuple(sample.of(name) for name in names) for sample in ours}
        return sorted(of for of in found if all(of))

    def _level(self, name: str, labels: Mapping[str, str], how: Callable[[Iterable[float]], float] = sum) -> float | None:
        values = [sample.value for sample in self._series(_SERVED[name_of(name)], labels)]
        return how(values) if values else None

    def _rate(self, name: str, labels: Mapping[str, str], but: frozenset[str] = frozenset()) -> float:
        """Return by how much it rises a second; series whose outcome is one of `but` are left out. A series that is new began at 0."""
        if not self._over_s:
            return 0.0
        series = (sample for sample in self._series(_SERVED[name], labels) if sample.of("outcome") not in but)
        return sum(max(0.0, sample.value - self._before.get((sample.name, sample.labels), 0.0)) for sample in series) / self._over_s

    def _series(self, served: str, labels: Mapping[str, str]) -> list[Sample]:
        return [sample for sample in self._now.get(served, ()) if set(labels.items()) <= sample.labels]

    def _system(self, system: str) -> SystemView:
        of = {"system": system}
        unconfirmed = {sample.of("of") for sample in self._series(_SERVED[name_of(TENURE.name)], of) if not sample.value}
        return SystemView(
            system=system,
            rows_per_s=self._rate(STEPS.name, {**of, "kind": "row"}),
            under_way=int(self._level(ROWS_UNDER_WAY.name, of) or 0),
            journal_per_s=self._rate(name_of(JOURNAL_RECORDS.name), of),
            journal_pending=int(self._level(JOURNAL_PENDING.name, of) or 0),
            journal_oldest_s=self._level(JOURNAL_OLDEST.name, of, max) or 0.0,
            unconfirmed=tuple(sorted(unconfirmed)),
            usd_per_min=60 * self._rate(COST.name, of),
        )

    def _model(self, system: str, model: str) -> ModelView:
        of = {"system": system, "model": model}
        calls, failed = self._rate(CALLS.name, of), self._rate(CALLS.name, of, _NO_FAILURES)
        ready = self._level(WORKERS.name, {**of, "state": "ready"})
        breaker = self._level(BREAKER.name, of, max)
        limits = [
            one for one in self._series(_SERVED[name_of(LIMIT_USED.name)], {"system": system}) if one.of("limit").endswith(f" of {model}")
        ]
        tightest = max(limits, key=attrgetter("value"), default=None)
        return ModelView(
            system=system,
            model=model,
            ready=None if ready is None else int(ready),
            starting=int(self._level(WORKERS.name, {**of, "state": "starting"}) or 0),
            draining=int(self._level(WORKERS.name, {**of, "state": "draining"}) or 0),
            in_flight=int(self._level(CALLS_IN_FLIGHT.name, of) or 0),
            waiting=int(self._level(CALLS_WAITING.name, of) or 0),
            limited=int(self._level(CALLS_LIMITED.name, of) or 0),
            wait_p95_s=self._level(WAIT_P95.name, of, max),
            calls_per_s=calls,
            failed_share=failed / calls if calls else None,
            retries_per_s=self._rate(name_of(RETRIES.name), of),
            breaker=None if breaker is None else ("closed", "half-open", "open")[min(2, int(breaker))],
            limit=None if tightest is None else tightest.of("limit").removesuffix(f" of {model}"),
            limit_used=None if tightest is None else tightest.value,
            usd_per_min=60 * self._rate(COST.name, of),
        )

    def _job(self, system: str, job: str) -> JobView:
        of = {"system": system, "job": job}
        return JobView(
            system=system,
            job=job,
            answered=int(self._level(JOB_ROWS.name, {**of, "state": "answered"}, max) or 0),
            failed=int(self._level(JOB_ROWS.name, {**of, "state": "failed"}, max) or 0),
            share=self._level(JOB_SHARE.name, of, max),
            rows_per_s=self._level(JOB_RATE.name, of, max) or 0.0,
            cost_usd=self._level(JOB_COST.name, of, max) or 0.0,
            budget_used=self._level(JOB_BUDGET_USED.name, of, max),
            left_s=self._level(JOB_LEFT.name, of, max),
        )

    def _nodes(self) -> tuple[NodeView, ...]:
        processes: dict[str, set[str]] = {}
        for name, samples in self._now.items():
            for sample in samples:
                if name in _LEVELS and (node := sample.of("NodeAddress")):
                    processes.setdefault(node, set()).add(sample.of("WorkerId"))
        nodes = {sample.of("ip") for name, samples in self._now.items() if name.startswith("ray_node_") for sample in samples} | set(
            processes
        )
        return tuple(self._node(node, len(processes.get(node, ()))) for node in sorted(nodes - {""}))

    def _node(self, node: str, processes: int) -> NodeView:
        def told(name: str) -> float | None:
            return next((sample.value for sample in self._series(name, {"ip": node})), None)

        free, used = told("ray_node_disk_free"), told("ray_node_disk_usage")
        memory, total = told("ray_node_mem_used"), told("ray_node_mem_total")
        return NodeView(
            node=node,
            processes=processes,
            cpu_percent=told("ray_node_cpu_utilization"),
            memory_used=memory / total if memory is not None and total else None,
            disk_used=used / (used + free) if used is not None and free is not None and used + free else None,
        )


_LEVELS = frozenset(metric.served for metric in EXPORTED if metric.kind == "gauge")
"""A level is told by a process that lives; a counter goes on standing for one that is gone."""
