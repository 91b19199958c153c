"""Telemetry: spans linked by the messages, to a file and a collector; it never blocks, fails or outgrows what it watches."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from otlp_receiver import OtlpReceiver, attributes

from partsong.contracts import Answer, BillLine, Call, Completion, Failure, FailureCode, Route, Sampling, Task, TierOutcome, Timing, Usage
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.telemetry.attributes import SCHEMA_URL
from partsong.telemetry.file import RotatingFile
from partsong.telemetry.levels import CALLS_WAITING, SPANS_WAITING, WORKER_WAITING
from partsong.telemetry.metrics import METRICS
from partsong.telemetry.outbox import Outbox
from partsong.telemetry.span import Span, TraceContext
from partsong.telemetry.spec import Rotation

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-1] + "0"

COMPLETION = Completion(
    text="Paris.",
    model="gpt-4o-mini-2024-07-18",
    usage=Usage(prompt_tokens=21, completion_tokens=3, cached_tokens=5, reasoning_tokens=1),
    cost_usd=0.0021,
    timing=Timing(total_s=0.4, first_token_s=0.1),
)
TIMEOUT = Failure(code=FailureCode.TIMEOUT, message="no complete reply within 60 s", retryable=True, status=504, cost_usd=0.5)


def call(traceparent: str = PARENT) -> Call:
    task = Task.of("Capital of France?").model_copy(update={"sampling": Sampling(temperature=0.5, max_tokens=9, seed=7, stop=("\n",))})
    return Call(model="mini", task=task, step="faq/0", timeout_s=60, traceparent=traceparent)


def file_spans(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for path in sorted(folder.glob("traces-*.jsonl*")) for line in path.read_text().splitlines()]
    return [span for line in lines for batch in line["resourceSpans"] for scope in batch["scopeSpans"] for span in scope["spans"]]


def on_file(folder: Path, **fields: Any) -> Telemetry:
    return Telemetry.start(TelemetrySpec(file="traces.jsonl", **fields), "coordinator", folder)


def eventually(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.005)


# --- off ----------------------------------------


def test_off_nothing_is_recorded_and_contexts_are_handed_on(tmp_path: Path) -> None:
    telemetry = Telemetry.start(TelemetrySpec(), "coordinator", tmp_path)
    with telemetry.span("row", PARENT, {"partsong.row": 1}) as span:
        span.set({"a": 1})
        span.fail(TIMEOUT)
        span.completed(COMPLETION)
        span.settled(Answer(text="x"))
    assert (span.traceparent, span.trace_id) == (PARENT, "")
    assert telemetry.span("row", None).traceparent == ""
    telemetry.gauge("depth", "1", "d", lambda: 1.0)
    telemetry.close()
    assert not list(tmp_path.iterdir())


def test_off_opentelemetry_is_not_even_imported() -> None:
    told = "import sys, partsong.telemetry; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


# --- links ----------------------------------------


def test_a_span_continues_the_trace_that_its_message_carries(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    with telemetry.span("row", PARENT, {"partsong.row": 7}) as row, telemetry.span("plan faq", row.traceparent) as plan:
        pass
    telemetry.close()
    inner, outer = file_spans(tmp_path)
    assert row.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (outer["traceId"], outer["parentSpanId"]) == (row.trace_id, "00f067aa0ba902b7")
    assert (inner["traceId"], inner["parentSpanId"]) == (row.trace_id, outer["spanId"])
    assert plan.traceparent == f"00-{row.trace_id}-{inner['spanId']}-01"
    assert (
        int(outer["startTimeUnixNano"]) <= int(inner["startTimeUnixNano"]) <= int(inner["endTimeUnixNano"]) <= int(outer["endTimeUnixNano"])
    )


@pytest.mark.parametrize(
    "parent", [None, "", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff" + PARENT[2:], PARENT + "\n", PARENT.upper()]
)
def test_without_a_proper_parent_a_trace_begins(parent: str | None, tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    with telemetry.span("row", parent) as span:
        pass
    telemetry.close()
    [written] = file_spans(tmp_path)
    assert (written["traceId"], written["parentSpanId"]) == (span.trace_id, "")


def test_a_context_of_a_later_version_is_read() -> None:
    later = TraceContext.parse("cc" + PARENT[2:] + "-what-comes-later")
    assert later == TraceContext.parse(PARENT)
    assert str(later) == PARENT


# --- sampling ----------------------------------------


def test_a_row_that_is_not_sampled_is_silent_all_the_way_down(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path, sample=0.0)
    with telemetry.span("row", None) as row, telemetry.model_span("mini", call(row.traceparent), "openai") as attempt:
        attempt.completed(COMPLETION)
    telemetry.close()
    assert row.traceparent.endswith("-00")
    assert (row.trace_id, attempt.trace_id) == ("", "")
    assert attempt.traceparent.split("-")[1] == row.traceparent.split("-")[1]
    assert not file_spans(tmp_path)


def test_a_parents_decision_is_kept(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path, sample=0.0)
    with telemetry.span("kept", PARENT), telemetry.span("left", UNSAMPLED):
        pass
    telemetry.close()
    assert [span["name"] for span in file_spans(tmp_path)] == ["kept"]


def test_the_share_of_sampled_rows_is_as_asked(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path, sample=0.25)
    kept = sum(telemetry.span("row", None).recording for _ in range(4000))
    telemetry.close()
    assert 850 < kept < 1150


# --- what spans say ----------------------------------------


def test_a_models_span_follows_the_genai_conventions(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "worker-mini", tmp_path)
        with telemetry.model_span("mini", call(), "gemini", "gemini-2.5-flash") as span:
            span.completed(COMPLETION)
        telemetry.close()
    sent = receiver.span("chat gemini-2.5-flash")
    assert sent.kind == sent.SPAN_KIND_CLIENT
    assert attributes(sent) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-flash",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["\n"],
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.1,
        "gen_ai.usage.input_tokens": 21,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "partsong.model": "mini",
        "partsong.step": "faq/0",
        "partsong.cost_usd": 0.0021,
    }
    [scope] = receiver.scopes
    assert (scope.scope.name, scope.schema_url) == ("partsong", SCHEMA_URL)
    assert attributes(receiver.resources[0])["service.name"] == "worker-mini"


def test_the_genai_names_are_those_of_the_conventions(tmp_path: Path) -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    telemetry = on_file(tmp_path, content=True)
    with telemetry.model_span("mini", call(), "openai") as span:
        span.completed(COMPLETION)
    telemetry.close()
    assert {key for key in span.attributes if key.startswith("gen_ai.")} <= known


def test_prompts_and_replies_stay_out_of_spans(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    with telemetry.model_span("mini", call(), "openai") as span, telemetry.span("row", span.traceparent) as row:
        span.completed(COMPLETION)
        row.settled(Answer(text="Paris."))
    telemetry.close()
    written = next(tmp_path.glob("traces-*")).read_text()
    assert "France" not in written
    assert "Paris" not in written


def test_prompts_and_replies_are_in_spans_where_content_is_on(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path, content=True)
    with telemetry.model_span("mini", call(), "openai") as span:
        span.completed(COMPLETION)
    telemetry.close()
    assert json.loads(str(span.attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "Capital of France?"}]}
    ]
    assert json.loads(str(span.attributes["gen_ai.output.messages"]))[0]["parts"] == [{"type": "text", "content": "Paris."}]


def test_a_failure_marks_its_span(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "worker-mini", tmp_path)
        with telemetry.model_span("mini", call(), "openai") as span:
            span.completed(TIMEOUT)
        telemetry.close()
    sent = receiver.span("chat mini")
    assert (sent.status.code, sent.status.message) == (sent.status.STATUS_CODE_ERROR, "no complete reply within 60 s")
    assert attributes(sent)["error.type"] == "timeout"
    assert attributes(sent)["http.response.status_code"] == 504


def test_an_exception_marks_its_span_by_class_alone(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    with pytest.raises(ValueError, match="secret"), telemetry.span("row", None):
        raise ValueError("secret prompt")
    telemetry.close()
    [written] = file_spans(tmp_path)
    assert written["status"] == {"code": 2, "message": "ValueError"}
    assert "secret" not in json.dumps(written)


async def test_a_cancelled_span_is_no_error(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)

    async def wait() -> None:
        with telemetry.span("chat", None):
            await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    telemetry.close()
    [written] = file_spans(tmp_path)
    assert written["status"] == {}
    assert written["attributes"] == [{"key": "partsong.cancelled", "value": {"boolValue": True}}]


def test_a_row_says_its_route_bill_and_escalations(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    tiers = tuple(TierOutcome(source=name, trusted=False, reason="low") for name in ("a", "b"))
    line = BillLine(step="faq/0", model="a", cost_usd=0.25)
    with telemetry.span("row", None) as span:
        span.settled(
            Answer(text="x", source="b", tiers=tiers, bill=(line, line), route=Route(use="faq", reason="default"), stopped="last tier")
        )
    telemetry.close()
    assert span.attributes == {
        "partsong.source": "b",
        "partsong.stopped": "last tier",
        "partsong.escalations": 1,
        "partsong.tiers": ("a -", "b -"),
        "partsong.route": "faq: default",
        "partsong.cost_usd": 0.5,
    }


# --- collector ----------------------------------------


def test_what_protobuf_cannot_hold_does_not_cost_the_batch(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "c", tmp_path)
        with telemetry.span("row \ud800", PARENT, {"partsong.custom_id": "\ud83d half", "big": 10**30, "nan": float("nan")}):
            pass
        telemetry.close()
    [sent] = receiver.spans
    assert attributes(sent)["partsong.custom_id"] == "? half"
    assert attributes(sent)["big"] == str(10**30)
    assert telemetry.dropped_spans == 0


def test_a_collector_that_is_not_there_costs_spans_and_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry.start(TelemetrySpec(otlp="http://127.0.0.1:9"), "c", tmp_path)
    with telemetry.span("row", None):
        pass
    begun = time.monotonic()
    telemetry.close(timeout_s=0.3)
    assert time.monotonic() - begun < 2
    assert telemetry.dropped_spans == 1
    assert "1 spans were not delivered to the collector" in caplog.text


def test_a_slow_collector_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with OtlpReceiver(delay_s=3) as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "c", tmp_path)
        with telemetry.span("row", None):
            pass
        begun = time.monotonic()
        telemetry.close(timeout_s=0.3)
        assert time.monotonic() - begun < 2.5


def test_a_slow_collector_does_not_hold_back_the_file(tmp_path: Path) -> None:
    with OtlpReceiver(delay_s=5) as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url, file="traces.jsonl"), "c", tmp_path)
        for _ in range(600):
            with telemetry.span("row", None):
                pass
        eventually(lambda: len(file_spans(tmp_path)) >= 512)
        telemetry.close(timeout_s=0.2)
    assert len(file_spans(tmp_path)) == 600


# --- outbox ----------------------------------------


class StuckSink:
    def __init__(self) -> None:
        self.open = False

    def write(self, spans: object) -> bool:
        while not self.open:
            time.sleep(0.005)
        return True

    def close(self) -> None:
        self.open = True


def test_a_full_outbox_drops_and_counts_and_does_not_block() -> None:
    outbox = Outbox(StuckSink(), "sink", max_spans=1000)
    outbox.start()
    begun = time.monotonic()
    for _ in range(5000):
        outbox.put(Span.silent(""))
    assert time.monotonic() - begun < 1
    assert 5000 - 2 * 1000 <= outbox.dropped <= 4000
    outbox.close(0.1)


def test_a_sink_that_raises_loses_its_batch_and_is_asked_again() -> None:
    class Sulking:
        written = 0

        def write(self, spans: Sequence[Span]) -> bool:
            self.written += 1
            if self.written == 1:
                raise OSError("no space left")
            return True

        def close(self) -> None:
            return

    outbox = Outbox(Sulking(), "sink")
    for _ in range(600):
        outbox.put(Span.silent(""))
    outbox.start()
    outbox.close(5)
    assert outbox.dropped == 512


# --- file ----------------------------------------


def test_every_process_writes_a_file_of_its_own(tmp_path: Path) -> None:
    for service in ("worker-mini", "odd/../name"):
        telemetry = Telemetry.start(TelemetrySpec(file="traces.jsonl"), service, tmp_path)
        with telemetry.span("row", None):
            pass
        telemetry.close()
    assert sorted(path.name for path in tmp_path.glob("traces*")) == [
        f"traces-odd_.._name-{os.getpid()}.jsonl",
        f"traces-worker_mini-{os.getpid()}.jsonl",
    ]


def test_a_trace_file_is_one_that_a_collector_reads(tmp_path: Path) -> None:
    from google.protobuf.json_format import Parse  # type: ignore[import-untyped]
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    telemetry = on_file(tmp_path)
    with telemetry.span(
        "row \ud83d", PARENT, {"text": "ä", "n": 5, "yes": True, "x": 0.5, "many": ("a", "b"), "nan": float("nan")}
    ) as span:
        span.fail(TIMEOUT)
    telemetry.close()
    line = next(tmp_path.glob("traces-*")).read_text().replace("\\ud83d", "")
    [batch] = Parse(line, TracesData()).resource_spans
    [read] = batch.scope_spans[0].spans
    assert attributes(read)["many"] == ["a", "b"]
    assert attributes(read)["n"] == 5
    assert read.status.message == TIMEOUT.message


def test_a_file_past_its_size_is_put_aside_and_the_oldest_is_deleted(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "t.jsonl", Rotation(size=100, keep=3))
    for number in range(10):
        file.append(f"{number}".encode() * 40)
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "t.jsonl.1", "t.jsonl.2"]
    kept = [line[0] for name in ("t.jsonl.2", "t.jsonl.1", "t.jsonl") for line in (tmp_path / name).read_text().splitlines()]
    assert kept == ["4", "5", "6", "7", "8", "9"]


def test_keeping_one_file_means_starting_afresh(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "t.jsonl", Rotation(size=10, keep=1))
    file.append(b"first line")
    file.append(b"second")
    file.close()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["second\n"]


def test_a_folder_that_refuses_costs_spans_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    telemetry = Telemetry.start(TelemetrySpec(file="file/traces.jsonl"), "c", tmp_path)
    with telemetry.span("row", None):
        pass
    telemetry.close()
    assert telemetry.dropped_spans == 1


def test_closing_twice_is_harmless_and_late_spans_are_counted(tmp_path: Path) -> None:
    telemetry = on_file(tmp_path)
    telemetry.close()
    with telemetry.span("late", None):
        pass
    telemetry.close()
    assert telemetry.dropped_spans == 1


# --- metrics ----------------------------------------


def watched(telemetry: Telemetry) -> None:
    telemetry.gauge("partsong.pool.waiting", "{call}", "Calls waiting for a permit.", lambda: 3.0, {"partsong.model": "mini"})
    for reply in (COMPLETION, COMPLETION, TIMEOUT):
        with telemetry.model_span("mini", call(UNSAMPLED), "openai") as span:
            span.completed(reply)
    with telemetry.span("row", None) as row:
        row.settled(Answer(text="x"))
    telemetry.close()


def test_calls_tokens_cost_latency_and_queue_depth_are_counted_for_every_row(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        watched(Telemetry.start(TelemetrySpec(otlp=receiver.url, sample=0.0), "c", tmp_path))
    assert not receiver.spans
    durations = receiver.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert {attributes(point).get("error.type"): point.count for point in durations} == {None: 2, "timeout": 1}
    tokens = receiver.metrics["gen_ai.client.token.usage"].histogram.data_points
    assert {attributes(point)["gen_ai.token.type"]: point.sum for point in tokens} == {"input": 42, "output": 6}
    [cost] = receiver.metrics["partsong.cost"].sum.data_points
    assert cost.as_double == pytest.approx(0.5042)
    [row] = receiver.metrics["partsong.step.duration"].histogram.data_points
    assert (attributes(row), row.count) == ({"partsong.step.kind": "row"}, 1)
    [depth] = receiver.metrics["partsong.pool.waiting"].gauge.data_points
    assert (attributes(depth), depth.as_double) == ({"partsong.model": "mini"}, 3.0)
    assert receiver.metrics["partsong.telemetry.dropped"].gauge.data_points[0].as_int == 0
    assert receiver.metrics.keys() == {*(metric.name for metric in METRICS), SPANS_WAITING.name, "partsong.pool.waiting"}


def test_levels_of_one_name_differ_in_their_attributes(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "c", tmp_path)
        for model, depth in {"mini": 3.0, "large": 5.0}.items():
            telemetry.gauge(*CALLS_WAITING, lambda depth=depth: depth, {"partsong.model": model})
        telemetry.close()
    points = receiver.metrics[CALLS_WAITING.name].gauge.data_points
    assert {attributes(point)["partsong.model"]: point.as_double for point in points} == {"mini": 3.0, "large": 5.0}


def test_levels_with_the_same_attributes_are_added_up(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        telemetry = Telemetry.start(TelemetrySpec(otlp=receiver.url), "c", tmp_path)
        for depth in (3.0, 5.0):  # two workers of one model in this process
            telemetry.gauge(*WORKER_WAITING, lambda depth=depth: depth, {"partsong.model": "mini"})
        telemetry.close()
    [point] = receiver.metrics[WORKER_WAITING.name].gauge.data_points
    assert point.as_double == 8.0


def test_metrics_are_written_to_a_file_beside_the_traces(tmp_path: Path) -> None:
    watched(on_file(tmp_path))
    lines = next(tmp_path.glob("metrics-coordinator-*.jsonl")).read_text().splitlines()
    metrics = json.loads(lines[-1])["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert {"gen_ai.client.operation.duration", "partsong.cost", "partsong.pool.waiting"} <= {metric["name"] for metric in metrics}
