"""Follow: a job's progress as a local run shows it, through lost connections and lost watchers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from partsong.errors import EngineError
from partsong_cluster.batch.progress import Progress
from partsong_cluster.jobs.cluster import Cluster, Job, JobAwayError
from partsong_cluster.jobs.events import Event

__all__ = ["Follower"]

_TRIES_AGAIN_S = 2.0
_MOST_STARTED = 10
"""Watchers that one follower starts."""


@dataclass(slots=True)
class Follower:
    """Follows one job to its end."""

    cluster: Cluster
    run: str
    progress: Progress
    watch_again: Callable[[Job], None]
    """Submits a new watcher of a job that has lost its own."""

    async def until_over(self) -> Event:
        """Return the job's last event; EngineError when it ended without one."""
        shown: dict[str, int] = {}
        away, started = False, 0
        while True:
            try:
                job = await asyncio.to_thread(self.cluster.job, self.run)
                if away:
                    self.progress.say("The cluster answers again.")
                away = False
                last = await self._followed(job.last.submission_id, shown)
            except (JobAwayError, EngineError) as error:
                if isinstance(error, EngineError) and error.code not in ("no-cluster", "no-job-api", "job-refused"):
                    raise
                if not away:
                    self.progress.say("The cluster does not answer; the job goes on without us. Trying again.")
                away = True
                await asyncio.sleep(_TRIES_AGAIN_S)
                continue
            if last is not None:
                return last
            job = await asyncio.to_thread(self.cluster.job, self.run)
            if job.is_lost and started < _MOST_STARTED:
                started += 1
                self.progress.say("The job's watcher was lost; a new one is started, and the job goes on.")
                await asyncio.to_thread(self.watch_again, job)
            elif not job.is_watched:
                what = f"the job ended without a word: {(job.last.message or job.state).strip()}"[:2000]
                raise EngineError("job-failed", what, remedy="`partsong jobs logs` has all that it printed; `partsong jobs resume` goes on")
            await asyncio.sleep(_TRIES_AGAIN_S)

    async def _followed(self, submission: str, shown: dict[str, int]) -> Event | None:
        """Show one watcher's events that were not shown yet; return the last one; None when its log ends without it."""
        number = 0
        async for line in self.cluster.lines(submission):
            event = Event.read(line)
            if event is None:
                continue
            number += 1
            if number <= shown.get(submission, 0):
                continue
            shown[submission] = number
            if event.is_last:
                return event
            self._show(event)
        return None

    def _show(self, event: Event) -> None:
        if event.kind == "say":
            self.progress.say(event.line)
        elif event.kind == "progress":
            self.progress.show(event.read_tally(), event.in_flight, event.fraction)
