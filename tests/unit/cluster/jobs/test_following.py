"""Following a job: what its watcher prints is shown as a local run's progress, through lost connections and lost watchers."""

import io
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from partsong_cluster.batch.progress import LineProgress, Progress
from partsong_cluster.batch.tally import ModelTally, Tally
from partsong_cluster.jobs.cluster import Job, JobAwayError
from partsong_cluster.jobs.events import Event, ended, failed, progress, said
from partsong_cluster.jobs.follow import Follower
from partsong_cluster.jobs.telling import Telling
from rich.console import Console

from partsong.errors import EngineError, Place, RunError

SUMMARY = {"outcome": "complete", "rows": {"failed": 0}}


@dataclass
class Watched:
    """One of Ray's jobs, as its API tells of it."""

    submission_id: str
    status: str = "RUNNING"
    driver_exit_code: int | None = None
    error_type: str | None = None
    message: str = ""
    start_time: int = 1
    metadata: dict[str, str] = field(default_factory=lambda: {"partsong.run": "r1", "partsong.name": "nightly"})


class ScriptedCluster:
    """Answers as the script says: a sequence of logs, each the lines of a watcher or an error after them."""

    def __init__(self, *logs: Sequence[str | Exception], after: Sequence[Watched] = ()) -> None:
        self.logs = list(logs)
        self.watchers = [Watched("one")]
        self.after = list(after)

    def job(self, named: str) -> Job:
        return Job("r1", self.watchers)

    async def lines(self, submission: str) -> AsyncIterator[str]:
        for line in self.logs.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line
        if self.after:
            self.watchers[-1] = self.after.pop(0)


class Seen(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.rows: list[int] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        self.rows.append(tally.rows)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partsong_cluster.jobs.follow._TRIES_AGAIN_S", 0.0)


def tally(rows: int) -> Tally:
    return Tally(answered=rows, models={"mini": ModelTally(calls=rows, answered=rows, cost_usd=rows / 1000)})


def lines(*events: Event) -> list[str]:
    return [event.written() for event in events]


async def follow(cluster: Any, again: Any = None) -> tuple[Event, Seen]:
    seen = Seen()
    last = await Follower(cluster, "r1", seen, again or (lambda job: None)).until_over()
    return last, seen


@pytest.mark.parametrize(
    "event",
    [
        said("Row 3 failed: \u2028 timeout"),
        progress(tally(7), 3, 0.25),
        ended(SUMMARY, 3),
        failed(RunError("run-changed", "the input changed", at=Place("s3://b/o"), remedy="put it back"), 6),
    ],
)
def test_an_event_is_read_as_it_was_written(event: Event):
    line = event.written()
    assert "\n" not in line
    assert Event.read(line) == event


@pytest.mark.parametrize("line", ["", "hello", "{", '{"kind": "say"}', '{"kind":"dance","partsong":1}', '{"a":1,"partsong":1}'])
def test_a_line_of_others_is_no_event(line: str):
    assert Event.read(line) is None


async def test_progress_and_words_are_shown_and_the_end_is_returned():
    cluster = ScriptedCluster([*lines(said("Starting."), progress(tally(5), 2, 0.5)), "noise of others", *lines(ended(SUMMARY, 0))])
    last, seen = await follow(cluster)
    assert (last.kind, last.code, last.summary) == ("end", 0, SUMMARY)
    assert (seen.said, seen.rows) == (["Starting."], [5])


async def test_a_lost_connection_is_tried_again_and_nothing_is_shown_twice():
    first = lines(said("Starting."), progress(tally(5), 2, 0.5))
    rest = lines(progress(tally(9), 2, 0.9), ended(SUMMARY, 0))
    last, seen = await follow(ScriptedCluster([*first, JobAwayError("gone")], [JobAwayError("gone")], [*first, *rest]))
    assert last.is_last
    assert seen.said == [
        "Starting.",
        "The cluster does not answer; the job goes on without us. Trying again.",
        "The cluster answers again.",
        "The cluster does not answer; the job goes on without us. Trying again.",
        "The cluster answers again.",
    ]
    assert seen.rows == [5, 9]


async def test_a_job_that_lost_its_watcher_is_given_another():
    lost = Watched("one", "FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED")
    cluster = ScriptedCluster(lines(progress(tally(5), 2, 0.5)), lines(progress(tally(8), 0, 1.0), ended(SUMMARY, 0)), after=[lost])
    last, seen = await follow(cluster, lambda job: cluster.watchers.append(Watched("two")))
    assert last.is_last
    assert "The job's watcher was lost; a new one is started, and the job goes on." in seen.said
    assert seen.rows == [5, 8]


async def test_a_job_that_ends_without_a_word_is_an_error_with_what_ray_says():
    broken = Watched("one", "FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", "no room on the disk")
    with pytest.raises(EngineError, match="no room on the disk"):
        await follow(ScriptedCluster([], after=[broken]))


async def test_an_error_of_the_job_is_the_same_error_here():
    event = failed(RunError("run-changed", "the input changed", at=Place("s3://b/o"), remedy="put it back"), 6)
    last, _ = await follow(ScriptedCluster(lines(event)))
    error = last.error()
    assert isinstance(error, RunError)
    assert (error.code, str(error.problems[0].at).strip(), error.problems[0].remedy) == ("run-changed", "s3://b/o", "put it back")


def test_a_follower_draws_what_a_local_run_draws():
    told = progress(tally(1200), 8, 0.5)
    here, there = io.StringIO(), io.StringIO()
    times = itertools.count(0.0, 6.0)
    LineProgress(Console(file=here, width=200), lambda: next(times)).show(tally(1200), 8, 0.5)
    times = itertools.count(0.0, 6.0)
    read = Event.read(told.written())
    assert read is not None
    LineProgress(Console(file=there, width=200), lambda: next(times)).show(read.read_tally(), read.in_flight, read.fraction)
    assert here.getvalue() == there.getvalue()
    assert "1,200 rows" in there.getvalue()


@pytest.mark.parametrize(
    ("status", "code", "error", "state"),
    [
        ("PENDING", None, None, "waiting"),
        ("RUNNING", None, None, "running"),
        ("SUCCEEDED", 0, None, "complete"),
        ("FAILED", 3, "JOB_ENTRYPOINT_COMMAND_ERROR", "complete, some rows failed"),
        ("FAILED", 4, "JOB_ENTRYPOINT_COMMAND_ERROR", "stopped by budget"),
        ("FAILED", 7, "JOB_ENTRYPOINT_COMMAND_ERROR", "failed"),
        ("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", "unwatched"),
        ("FAILED", None, "JOB_SUPERVISOR_ACTOR_START_FAILURE", "unwatched"),
        ("FAILED", -9, "JOB_ENTRYPOINT_COMMAND_ERROR", "unwatched"),
        ("FAILED", 130, "JOB_ENTRYPOINT_COMMAND_ERROR", "stopped"),
        ("STOPPED", None, None, "stopped"),
    ],
)
def test_the_state_of_a_job_in_words(status: str, code: int | None, error: str | None, state: str):
    assert Job("r1", [Watched("one", status, code, error)]).state == state


async def test_what_nobody_asked_for_is_kept_and_of_states_only_the_last():
    telling = Telling()
    telling.say("one")
    for rows in range(5):
        telling.show(tally(rows), 1, None)
    telling.say("two")
    number, events = await telling.news(0, 0.0)
    assert [event.kind for event in events] == ["say", "progress", "say"]
    assert events[1].read_tally().rows == 4
    assert await telling.news(number, 0.0) == (number, [])
    telling.end(ended(SUMMARY, 0))
    assert telling.over
    assert [event.kind for event in (await telling.news(number, 0.0))[1]] == ["end"]
