"""What a process tells Ray's metrics: sums of what happened since the last time, levels as they stand, labels of low cardinality."""

from collections import defaultdict
from collections.abc import Mapping

import pytest
from partsong_actors.metrics import RayMetrics

from partsong.contracts import Call, Completion, Failure, FailureCode, Task, Timing, Usage
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.telemetry.counts import RETRIES
from partsong.telemetry.exported import EXPORTED, Exported
from partsong.telemetry.levels import BUDGET_LEFT, CALLS_WAITING, ROWS_UNDER_WAY

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALL = Call(model="mini", task=Task.of("hi"), step="mini", timeout_s=60, traceparent=TRACE)
ANSWER = Completion(text="hi", model="m", usage=Usage(prompt_tokens=7, completion_tokens=3), cost_usd=0.25, timing=Timing(total_s=1))


class Heard:
    """Keeps what it is told, by name and labels other than those of every metric."""

    def __init__(self) -> None:
        self.counters: dict[tuple[str, ...], float] = defaultdict(float)
        self.gauges: dict[tuple[str, ...], float] = {}
        self.everywhere: set[tuple[str, str]] = set()

    def add(self, metric: Exported, labels: Mapping[str, str], amount: float) -> None:
        assert amount > 0
        self.counters[self._key(metric, labels)] += amount

    def set(self, metric: Exported, labels: Mapping[str, str], value: float) -> None:
        self.gauges[self._key(metric, labels)] = value

    def _key(self, metric: Exported, labels: Mapping[str, str]) -> tuple[str, ...]:
        assert set(labels) == {"system", "actor", *metric.labels}
        self.everywhere.add((labels["system"], labels["actor"]))
        return (metric.name, *(labels[name] for name in metric.labels))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def metrics(heard: Heard) -> RayMetrics:
    return RayMetrics("night", "worker", lambda: heard)


@pytest.fixture
def telemetry(metrics: RayMetrics, tmp_path) -> Telemetry:
    return Telemetry.start(TelemetrySpec(), "worker-mini", tmp_path, also=[metrics])


def test_calls_tokens_and_dollars_are_told_though_nothing_is_traced(telemetry, metrics, heard):
    for reply in (ANSWER, ANSWER, Failure(code=FailureCode.TIMEOUT, message="late", cost_usd=0.5)):
        with telemetry.model_span("mini", CALL, "openai") as span:
            assert (span.traceparent, span.trace_id) == (TRACE, "")
            span.completed(reply)
    metrics.flush()
    assert heard.counters["partsong_calls", "mini", "ok"] == 2
    assert heard.counters["partsong_calls", "mini", "timeout"] == 1
    assert heard.counters["partsong_tokens", "mini", "input"] == 14
    assert heard.counters["partsong_tokens", "mini", "output"] == 6
    assert heard.counters["partsong_cost_usd", "mini"] == 1.0
    assert heard.everywhere == {("night", "worker")}


def test_durations_are_counted_into_buckets_that_hold_all_shorter_ones(telemetry, metrics, heard):
    with telemetry.span("row", None) as span:
        span.settled(Failure(code=FailureCode.INTERNAL, message=""))
    metrics.flush()
    assert heard.counters["partsong_steps", "row", "internal"] == 1
    buckets = [heard.counters["partsong_step_seconds_bucket", "row", le] for le in ("0.05", "1", "120", "+Inf")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 1


def test_what_was_told_is_not_told_again(telemetry, metrics, heard):
    retried = 3
    telemetry.count(*RETRIES, lambda: retried, {"partsong.model": "mini"})
    metrics.flush()
    retried = 5
    metrics.flush()
    metrics.flush()
    assert heard.counters == {("partsong_calls_retried", "mini"): 5}


def test_levels_of_one_name_and_labels_are_added_up_and_those_that_are_not_there_are_left_out(telemetry, metrics, heard):
    for depth in (2.0, 3.0):
        telemetry.gauge(*CALLS_WAITING, lambda depth=depth: depth, {"partsong.model": "mini"})
    telemetry.gauge(*ROWS_UNDER_WAY, lambda: 7)
    telemetry.gauge(*BUDGET_LEFT, lambda: None)
    metrics.flush()
    assert heard.gauges == {("partsong_calls_waiting", "mini"): 5, ("partsong_rows_under_way",): 7}


def test_what_no_page_lists_is_not_exported(telemetry, metrics, heard):
    telemetry.gauge("partsong.secret.depth", "1", "", lambda: 1)
    metrics.flush()
    assert not heard.gauges


def test_an_instrument_that_breaks_does_not_break_what_it_watches(tmp_path, caplog):
    def broken() -> Heard:
        raise RuntimeError("no Ray here")

    metrics = RayMetrics("night", "worker", broken, every_s=0.001)
    metrics.start()
    telemetry = Telemetry.start(TelemetrySpec(), "worker", tmp_path, also=[metrics])
    with telemetry.model_span("mini", CALL, "openai") as span:
        span.completed(ANSWER)
    telemetry.close()
    assert [record.message for record in caplog.records] == ["metrics are not told to Ray: RuntimeError"]


def test_no_label_names_a_row_a_worker_or_a_key():
    labels = {label for metric in EXPORTED for label in metric.labels}
    assert labels <= {"model", "outcome", "type", "kind", "le", "to", "limit", "state", "job", "of"}
    assert len({metric.served for metric in EXPORTED}) == len(EXPORTED)
