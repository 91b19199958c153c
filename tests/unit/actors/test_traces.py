"""Spans of a job's rows go to the job; what it does not take stays with the process that made it."""

from pathlib import Path

import pytest
from partsong_actors.traces import PARCELS, Sender, SpanPost

from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.telemetry.file import SpanFile
from partsong.telemetry.tree import read_trace, trace_files

ONE, OTHER = "aaaa00000001", "bbbb00000002"
SENDER = Sender(actor="a", life="1", service="worker-mini", host="h", node="n")


class Jobs:
    """Actors of jobs: each takes what is sent, says that it is none, or does not answer."""

    def __init__(self) -> None:
        self.taken: dict[str, list[bytes]] = {ONE: []}
        self.away = False
        self.asked = 0

    def __call__(self, run: str, packed: bytes) -> bool:
        self.asked += 1
        if self.away:
            raise OSError("it does not answer")
        if run not in self.taken:
            return False
        self.taken[run].append(packed)
        return True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(tmp_path: Path, jobs: Jobs, clock: Clock):
    def posted(file: SpanFile) -> SpanPost:
        return SpanPost(jobs, SENDER, file, clock)

    made = Telemetry.start(TelemetrySpec(file="traces.jsonl"), "worker", tmp_path, host="host", instead=posted)
    yield made
    made.close()


def row(telemetry: Telemetry, run: str, custom_id: str) -> str:
    with telemetry.span("row", None, {"partsong.custom_id": custom_id}, run=run) as span:
        pass
    return span.trace_id


def written(telemetry: Telemetry, *spans: tuple[str, str]) -> None:
    for run, custom_id in spans:
        row(telemetry, run, custom_id)
    telemetry.close()


def test_a_trace_begins_with_the_name_of_its_run(telemetry: Telemetry) -> None:
    ids = [row(telemetry, ONE, "a") for _ in range(100)]
    assert {trace_id[:12] for trace_id in ids} == {ONE}
    assert len(set(ids)) == 100


@pytest.mark.parametrize("run", ["nightly", "", "AAAA00000001", "aaaa000000011"])
def test_another_name_leaves_no_mark(telemetry: Telemetry, run: str) -> None:
    trace_id = row(telemetry, run, "a")
    assert len(trace_id) == 32
    assert not trace_id.startswith("aaaa0000000")


def test_each_job_gets_spans_of_its_own_rows_alone(telemetry: Telemetry, jobs: Jobs, tmp_path: Path) -> None:
    jobs.taken[OTHER] = []
    written(telemetry, (ONE, "a"), (OTHER, "b"), (ONE, "c"))
    for run, ids in ((ONE, {"a", "c"}), (OTHER, {"b"})):
        lines = b"".join(PARCELS.unpack(packed)[0].line for packed in jobs.taken[run])
        assert {custom_id for custom_id in "abc" if f'"stringValue":"{custom_id}"'.encode() in lines} == ids
    assert not trace_files(tmp_path)


def test_what_is_of_no_job_is_written_to_a_file_named_after_the_host(telemetry: Telemetry, tmp_path: Path) -> None:
    written(telemetry, ("nightly", "a"), (OTHER, "b"))
    assert read_trace(tmp_path, "a").custom_id == "a"
    assert read_trace(tmp_path, "b").custom_id == "b"
    assert [path.name.startswith("traces-host-worker-") for path in trace_files(tmp_path)] == [True]
    assert len(list(tmp_path.glob("metrics-host-worker-*.jsonl"))) == 1


def test_a_run_without_a_job_is_not_asked_for_again_for_a_minute(tmp_path: Path, jobs: Jobs, clock: Clock) -> None:
    posts: list[SpanPost] = []

    def posted(file: SpanFile) -> SpanPost:
        posts.append(SpanPost(jobs, SENDER, file, clock))
        return posts[-1]

    telemetry = Telemetry.start(TelemetrySpec(file="traces.jsonl"), "worker", tmp_path, instead=posted)
    with telemetry.span("row", None, run=OTHER) as span:
        pass
    for now_s, asked in ((0.0, 1), (59.0, 1), (61.0, 2)):
        clock.now_s = now_s
        assert posts[0].write([span])
        assert jobs.asked == asked
    telemetry.close()


def test_what_a_job_cannot_be_sent_is_kept_here_and_told_with_the_next(tmp_path: Path, jobs: Jobs, clock: Clock) -> None:
    posts: list[SpanPost] = []

    def posted(file: SpanFile) -> SpanPost:
        posts.append(SpanPost(jobs, SENDER, file, clock))
        return posts[-1]

    telemetry = Telemetry.start(TelemetrySpec(file="traces.jsonl"), "worker", tmp_path, instead=posted)
    with telemetry.span("row", None, {"partsong.custom_id": "a"}, run=ONE) as span:
        pass
    jobs.away = True
    assert posts[0].write([span, span])
    jobs.away = False
    assert posts[0].write([span])
    [parcel] = PARCELS.unpack(jobs.taken[ONE][0])
    assert parcel.kept_back == 2
    assert read_trace(tmp_path, "a").custom_id == "a"
    telemetry.close()
