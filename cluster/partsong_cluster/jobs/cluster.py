"""Cluster: jobs as a laptop sees them, by nothing but the HTTP address of Ray's job API."""

import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from partsong.errors import EngineError, Place, RunError
from partsong_cluster.address import dashboard_url
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.ray_token import WHERE_IT_GOES, token_of

__all__ = ["Cluster", "Job", "JobAwayError"]

_ANSWERS_WITHIN_S = 20.0
_LOOKS_EVERY_S = 0.2
_TALKATIVE = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Loggers of Ray that set their own level and tell of every step."""
_LOST = frozenset({None, *(f"JOB_SUPERVISOR_ACTOR_{how}" for how in ("DIED", "UNKNOWN_FAILURE", "START_FAILURE"))})
"""The last is told by a head that has come back, of a supervisor that ran under the one before and is gone."""
_KILLED = frozenset({137, 139, 143})
"""Exit codes as a shell tells of SIGKILL, SIGSEGV, SIGTERM."""
_FINISHED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_BY_CODE: Mapping[int, str] = {
    ExitCode.DONE: "complete",
    ExitCode.SOME_FAILED: "complete, some rows failed",
    ExitCode.BUDGET: "stopped by budget",
    ExitCode.DEADLINE: "stopped by deadline",
    ExitCode.INTERRUPTED: "stopped",
}


T = TypeVar("T")


class JobAwayError(Exception):
    """The job API does not answer now. Never leaves the following of a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run, with all of Ray's jobs that have watched it, the last one last."""

    run: str
    watchers: Sequence[Any]

    @property
    def last(self) -> Any:
        """The watcher that counts."""
        return self.watchers[-1]

    @property
    def told(self) -> Mapping[str, str]:
        """What its submitter said: name, tenant, mesh, input, output."""
        return {key.removeprefix("partsong."): value for key, value in (self.last.metadata or {}).items() if key.startswith("partsong.")}

    @property
    def is_watched(self) -> bool:
        """Whether somebody in the cluster watches it, or will as soon as there is room."""
        return self.last.status not in _FINISHED

    @property
    def is_lost(self) -> bool:
        """Whether its watcher was lost, with the head most likely: its actor may go on."""
        code = self.last.driver_exit_code
        return self.last.status == "FAILED" and (self.last.error_type in _LOST if code is None else code < 0 or code in _KILLED)

    @property
    def state(self) -> str:
        """In words."""
        if self.is_watched:
            return "waiting" if self.last.status == "PENDING" else "running"
        if self.is_lost:
            return "unwatched"
        if self.last.status == "STOPPED":
            return "stopped"
        return _BY_CODE.get(self.last.driver_exit_code or 0, "failed")

    @property
    def started_ms(self) -> int:
        """Unix time of the first watcher's start, in milliseconds."""
        return self.watchers[0].start_time or 0

    @property
    def started(self) -> str:
        """The same as a date and time (UTC)."""
        return datetime.fromtimestamp(self.started_ms / 1e3, UTC).isoformat(timespec="seconds")


class Cluster:
    """Speaks to the job API; every method raises EngineError with what to do when it cannot."""

    def __init__(self, address: str, env: Mapping[str, str] = os.environ) -> None:
        """`env` is where the token is looked for, and the home folder after it."""
        self.address = dashboard_url(address)
        self._token = token_of(env)
        self._client: Any = None

    def check(self) -> str:
        """Return the cluster's version of Ray; EngineError when nothing answers or the token is refused. Ray's own clients hang then."""
        request = Request(f"{self.address}/api/version", headers=self._headers())  # noqa: S310  http or https, as the user says
        try:
            with urlopen(request, timeout=_ANSWERS_WITHIN_S) as response:  # noqa: S310
                version: str = json.load(response)["ray_version"]
                return version
        except HTTPError as error:
            error.close()
            raise self._refused(error.code) from None
        except (URLError, OSError, ValueError, KeyError) as error:
            raise self._nobody(error) from None

    def submit(self, submission: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
        """Submit a job of Ray's under this name and return the name."""

        def send() -> str:
            sent: str = self._sdk().submit_job(
                entrypoint=entrypoint, runtime_env=dict(runtime_env), metadata=dict(metadata), submission_id=submission
            )
            return sent

        return self._asked(send)

    def jobs(self) -> Sequence[Job]:
        """Return all of Partsong's jobs that the cluster knows, the oldest first."""
        by_run: dict[str, list[Any]] = {}
        for one in self._asked(lambda: self._sdk().list_jobs()):
            if run := (one.metadata or {}).get("partsong.run"):
                by_run.setdefault(run, []).append(one)
        jobs = [Job(run, sorted(found, key=lambda one: one.start_time or 0)) for run, found in by_run.items()]
        return sorted(jobs, key=lambda job: job.started_ms)

    def job(self, named: str) -> Job:
        """Return the job of this run, the beginning of its name, the name its user gave it, or Ray's name of a watcher."""
        if (found := self.known(named)) is not None:
            return found
        raise RunError("unknown-job", f"no job is called {named!r}", at=Place(self.address), remedy="`partsong jobs ls` shows their runs")

    def known(self, named: str) -> Job | None:
        """Return the job that is called so, as `job` does; None if the cluster knows none. RunError when it knows several."""
        jobs = self.jobs()
        found = [job for job in jobs if job.run == named or any(one.submission_id == named for one in job.watchers)]
        found = found or [job for job in jobs if job.run.startswith(named)] or [job for job in jobs if job.told.get("name") == named]
        if len(found) > 1:
            which = ", ".join(f"{job.run} ({job.state}, {job.started})" for job in found)
            what = f"{len(found)} jobs are called {named!r}: {which}"
            raise RunError("ambiguous-job", what, at=Place(self.address), remedy="name one by its run")
        return found[0] if found else None

    def log(self, job: Job) -> str:
        """Return what the job's last watcher has printed."""
        text: str = self._asked(lambda: self._sdk().get_job_logs(job.last.submission_id))
        return text

    async def lines(self, submission: str) -> AsyncIterator[str]:
        """Yield the lines of a watcher's log from its start, as they come; JobAwayError when the connection is lost."""
        import aiohttp

        rest = ""
        try:
            async for chunk in self._sdk().tail_job_logs(submission):
                *whole, rest = (rest + chunk).split("\n")
                for line in whole:
                    yield line
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise JobAwayError(str(error)) from error
        if rest:
            yield rest

    def end_watching(self, job: Job) -> None:
        """Send the job's watcher SIGTERM: the run is stopped in order."""
        self._asked(lambda: self._sdk().stop_job(job.last.submission_id))

    def outcome(self, submission: str) -> str:
        """Return Ray's word for how a job whose log has ended came out; waits until Ray has it."""
        until_s = time.monotonic() + _ANSWERS_WITHIN_S
        while (status := str(self._asked(lambda: self._sdk().get_job_status(submission)).value)) not in _FINISHED:
            if time.monotonic() > until_s:
                break
            time.sleep(_LOOKS_EVERY_S)
        return status

    def delete(self, submission: str) -> None:
        """Delete Ray's record of a job that has ended."""
        self._asked(lambda: self._sdk().delete_job(submission))

    def _sdk(self) -> Any:
        if self._client is None:
            self.check()
            if self._token.text:
                os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray's client sends the token only when told so before it is imported
            from ray.job_submission import JobSubmissionClient

            for talkative in _TALKATIVE:
                logging.getLogger(talkative).setLevel(logging.WARNING)
            self._client = JobSubmissionClient(self.address, headers=self._headers())
        return self._client

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except ConnectionError as error:
            raise self._nobody(error) from None
        except OSError as error:  # of `requests`, whose errors are OSErrors
            raise self._nobody(error) from None
        except RuntimeError as error:
            what = f"the job API refuses: {error}"[:800]
            raise EngineError("job-refused", what, at=Place(self.address), remedy="see the cluster's dashboard") from None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.text}"} if self._token.text else {}

    def _refused(self, status: int) -> EngineError:
        at = Place(self.address)
        if status in (401, 403) and not self._token.text:
            remedy = f"{WHERE_IT_GOES}; whoever runs the cluster has it"
            return EngineError("token-missing", "this cluster wants a token", at=at, remedy=remedy)
        if status in (401, 403):
            what = f"this cluster refuses the token of {self._token.source}"
            return EngineError("token-wrong", what, at=at, remedy="ask whoever runs the cluster for its token")
        remedy = "check that the address is that of Ray's dashboard"
        return EngineError("no-job-api", f"what answers is no job API (status {status})", at=at, remedy=remedy)

    def _nobody(self, error: BaseException) -> EngineError:
        reason = getattr(error, "reason", None) or error
        remedy = "check the address (Ray's dashboard, port 8265), and that the cluster runs and can be reached from here"
        return EngineError("no-cluster", f"no cluster answers: {reason}"[:500], at=Place(self.address), remedy=remedy)
