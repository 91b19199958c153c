"""Metrics: one process's counts and levels, given to Ray, whose endpoint on every node serves them to Prometheus.

What happens is added up here; a thread gives the sums to Ray every few seconds, so that no call waits for Ray. A level is told anew each
time: Ray forgets one that it has not heard of for two of its reports (20 s).
"""

import logging
import math
import socket
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from partsong.contracts import Completion
from partsong.telemetry import Span, Telemetry, TelemetrySpec
from partsong.telemetry.attributes import NODE_ID, Attribute
from partsong.telemetry.exported import (
    BUCKETS_S,
    CALL_BUCKETS,
    CALL_SECONDS,
    CALLS,
    COST,
    EVERYWHERE,
    EXPORTED,
    STEP_BUCKETS,
    STEP_SECONDS,
    STEPS,
    TOKENS,
    Exported,
    labelled,
    name_of,
)
from partsong.telemetry.file import SpanFile
from partsong.telemetry.outbox import Sink
from partsong_actors.traces import SpanPost, TakeSpans, here

__all__ = ["Instruments", "RayInstruments", "RayMetrics", "started"]

_log = logging.getLogger(__name__)

_EVERY_S = 5.0
_LE = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")
_BY_NAME = {exported.name: exported for exported in EXPORTED}

_Key = tuple[Exported, tuple[str, ...]]
"""A metric, and the values of its own labels in their order."""


class Instruments(Protocol):
    """Where metrics go; blocking, called from one thread."""

    def add(self, metric: Exported, labels: Mapping[str, str], amount: float) -> None:
        """Let a counter rise by an amount above 0."""

    def set(self, metric: Exported, labels: Mapping[str, str], value: float) -> None:
        """Say how high a level is."""


class RayInstruments:
    """Ray's own metrics."""

    def __init__(self) -> None:
        from ray.util import metrics

        self._metrics = metrics
        self._counters: dict[str, metrics.Counter] = {}
        self._gauges: dict[str, metrics.Gauge] = {}

    def add(self, metric: Exported, labels: Mapping[str, str], amount: float) -> None:
        """See Instruments.add."""
        if metric.name not in self._counters:
            self._counters[metric.name] = self._metrics.Counter(metric.name, metric.description, (*EVERYWHERE, *metric.labels))
        self._counters[metric.name].inc(amount, dict(labels))

    def set(self, metric: Exported, labels: Mapping[str, str], value: float) -> None:
        """See Instruments.set."""
        if metric.name not in self._gauges:
            self._gauges[metric.name] = self._metrics.Gauge(metric.name, metric.description, (*EVERYWHERE, *metric.labels))
        self._gauges[metric.name].set(value, dict(labels))


class RayMetrics:
    """Implements Counting. `flush` sends what there is; `start` has a thread do so."""

    def __init__(self, system: str, actor: str, instruments: Callable[[], Instruments] = RayInstruments, every_s: float = _EVERY_S) -> None:
        self._everywhere = dict(zip(EVERYWHERE, (system, actor), strict=True))
        self._make = instruments
        self._instruments: Instruments | None = None
        self._every_s = every_s
        self._lock = threading.Lock()
        self._sums: dict[_Key, float] = defaultdict(float)
        self._durations: dict[_Key, list[int]] = {}
        self._levels: list[tuple[_Key, Callable[[], float | None]]] = []
        self._counts: list[tuple[_Key, Callable[[], float]]] = []
        self._sent: dict[_Key, float] = {}
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Send every few seconds from now on."""
        self._thread = threading.Thread(target=self._work, name="partsong-metrics", daemon=True)
        self._thread.start()

    def called(self, span: Span, base: Mapping[str, Attribute]) -> None:
        """See Counting.called."""
        model, reply = str(base["partsong.model"]), span.reply
        with self._lock:
            self._sums[CALLS, (model, _outcome(span))] += 1
            self._took(CALL_SECONDS, CALL_BUCKETS, model, span.duration_s)
            if reply is not None:
                self._sums[COST, (model,)] += reply.cost_usd
            if isinstance(reply, Completion):
                self._sums[TOKENS, (model, "input")] += reply.usage.prompt_tokens
                self._sums[TOKENS, (model, "output")] += reply.usage.completion_tokens

    def settled(self, span: Span) -> None:
        """See Counting.settled."""
        with self._lock:
            self._sums[STEPS, (span.name, _outcome(span))] += 1
            self._took(STEP_SECONDS, STEP_BUCKETS, span.name, span.duration_s)

    def gauge(self, name: str, unit: str, description: str, read: Callable[[], float | None], attributes: Mapping[str, Attribute]) -> None:
        """See Counting.gauge. A level that the reference page does not list is not exported."""
        if metric := _BY_NAME.get(name_of(name)):
            self._levels.append((_key(metric, attributes), read))

    def count(self, name: str, unit: str, description: str, read: Callable[[], float], attributes: Mapping[str, Attribute]) -> None:
        """See Counting.count."""
        if metric := _BY_NAME.get(name_of(name)):
            self._counts.append((_key(metric, attributes), read))

    def close(self, timeout_s: float) -> None:
        """See Counting.close."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def flush(self) -> None:
        """Give Ray what has happened since the last time, and how high the levels are."""
        instruments = self._instruments = self._instruments or self._make()
        levels, totals = _added_up(list(self._levels)), _added_up(list(self._counts))
        for (metric, values), amount in self._risen(totals).items():
            if amount > 0:
                instruments.add(metric, self._labels(metric, values), amount)
        for (metric, values), level in levels.items():
            instruments.set(metric, self._labels(metric, values), level)

    def _risen(self, totals: Mapping[_Key, float]) -> Mapping[_Key, float]:
        """Return by how much each counter has risen since the last time."""
        with self._lock:
            sums, self._sums = self._sums, defaultdict(float)
            durations, self._durations = self._durations, {}
        for (metric, values), took in durations.items():
            for le, calls in zip(_LE, accumulate(took), strict=True):
                sums[metric, (*values, le)] += calls
        for key, total in totals.items():
            sums[key] += total - self._sent.get(key, 0.0)
            self._sent[key] = total
        return sums

    def _took(self, sum_s: Exported, buckets: Exported, of: str, duration_s: float) -> None:
        self._sums[sum_s, (of,)] += duration_s
        self._durations.setdefault((buckets, (of,)), [0] * len(_LE))[bisect_left(BUCKETS_S, duration_s)] += 1

    def _labels(self, metric: Exported, values: tuple[str, ...]) -> dict[str, str]:
        return {**self._everywhere, **dict(zip(metric.labels, values, strict=True))}

    def _work(self) -> None:
        told = False
        while True:
            last = self._ends.wait(self._every_s)
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001  a thread's outermost line: what is watched must not fail with its metrics
                if not told:
                    _log.warning("metrics are not told to Ray: %s", type(error).__name__)
                told = True
            if last:
                return


def started(spec: TelemetrySpec, service: str, folder: Path, system: str, jobs: TakeSpans | None = None) -> Telemetry:
    """Return this process's telemetry, told to Ray too; `service` names the part: `coordinator-0`, `worker-mini`.

    `jobs` are given the spans of their rows in place of the file.
    """
    metrics = RayMetrics(system, service.partition("-")[0])
    metrics.start()

    def posted(file: SpanFile) -> Sink:
        return file if jobs is None else SpanPost(jobs, here(file.lines.resource), file)

    about = {NODE_ID: _node_id()} if spec.file or spec.otlp else {}
    return Telemetry.start(spec, service, folder, also=[metrics], host=socket.gethostname(), about=about, instead=posted)


def _node_id() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _outcome(span: Span) -> str:
    return span.failure or ("cancelled" if span.cancelled else "ok")


def _key(metric: Exported, attributes: Mapping[str, Attribute]) -> _Key:
    labels = labelled(attributes)
    return metric, tuple(labels.get(name, "") for name in metric.labels)


def _added_up(told: Sequence[tuple[_Key, Callable[[], float | None]]]) -> dict[_Key, float]:
    sums: dict[_Key, float] = {}
    for key, read in told:
        value = read()
        if value is not None and math.isfinite(value):
            sums[key] = sums.get(key, 0.0) + value
    return sums
