"""Taken up: a job that was submitted is watched again, sent to another cluster, asked to stop, forgotten."""

import asyncio
import os
import re
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from partsong.errors import EngineError, Place, RunError
from partsong_cluster.jobs.bundle import ORDER
from partsong_cluster.jobs.cluster import Cluster, Job
from partsong_cluster.jobs.events import Event
from partsong_cluster.jobs.order import JobOrder
from partsong_cluster.jobs.submission import ENTRYPOINT, environment_of, kept_folder, told_of

__all__ = ["again", "anew", "ask_to_stop", "forget"]

_RUN = re.compile(r"[0-9a-f]{12}")


def anew(cluster: Cluster, run: str, env: Mapping[str, str] = os.environ, *, flags: Sequence[str] = (), package: bool = True) -> str:
    """Submit a job of this machine to a cluster that does not know it, the one before being lost: it goes on from what its store holds.

    RunError when this machine keeps nothing of the run.
    """
    kept = kept_folder(run, env)
    if not _RUN.fullmatch(run) or not (kept / ORDER).exists():
        what = f"no job is called {run!r}, and this machine keeps none of that run"
        remedy = "`partsong jobs ls` shows the cluster's; for one of a lost cluster name the whole run, on the machine that submitted it"
        raise RunError("unknown-job", what, at=Place(cluster.address), remedy=remedy)
    order = JobOrder.unpack((kept / ORDER).read_bytes())
    with environment_of(kept, package=package) as environment:
        return cluster.submit(f"partsong-{run}", shlex.join([*ENTRYPOINT.split(), *flags]), environment, told_of(order))


def again(cluster: Cluster, job: Job, env: Mapping[str, str] = os.environ, *, flags: Sequence[str] = (), package: bool = True) -> str:
    """Submit another watcher of the job: of one that has ended it tells the end, unless its flags say that the job is to go on.

    The files are those that this machine has kept; on another machine those that the cluster still has.
    """
    entrypoint = shlex.join([*ENTRYPOINT.split(), *flags])
    with _environment(job, env, package=package) as environment:
        return cluster.submit(f"partsong-{job.run}-{len(job.watchers) + 1}", entrypoint, environment, job.last.metadata)


def ask_to_stop(cluster: Cluster, job: Job, env: Mapping[str, str] = os.environ, *, at_once: bool, package: bool = True) -> None:
    """Have a small job of its own ask the run to stop: the run's watcher is gone, or has been asked before."""
    entrypoint = f"{ENTRYPOINT} --stop {'at-once' if at_once else 'in-order'}"
    with _environment(job, env, package=package) as environment:
        cluster.submit(f"partsong-{job.run}-stop-{uuid.uuid4().hex[:6]}", entrypoint, environment, {"partsong.stops": job.run})


async def forget(cluster: Cluster, job: Job, env: Mapping[str, str] = os.environ, *, package: bool = True) -> None:
    """Delete what is kept of a job: its records in the store, by a small job of its own, Ray's records, this machine's copy of its files.

    Raises what the small job failed of; everything is as it was then, or can be forgotten once more.
    """
    name = f"partsong-{job.run}-forget-{uuid.uuid4().hex[:6]}"
    with _environment(job, env, package=package) as environment:
        asker = await asyncio.to_thread(cluster.submit, name, f"{ENTRYPOINT} --forget", environment, {"partsong.forgets": job.run})
    said = [line async for line in cluster.lines(asker)]
    for event in filter(None, map(Event.read, said)):
        if event.kind == "error":
            raise event.error()
    if await asyncio.to_thread(cluster.outcome, asker) != "SUCCEEDED":
        what = f"the job that was to forget it ended without a word: {' '.join(said[-3:])}"[:500]
        raise EngineError("job-failed", what, at=Place(cluster.address), remedy="see its log in Ray's dashboard")
    for submission in (*(watcher.submission_id for watcher in job.watchers), asker):
        await asyncio.to_thread(cluster.delete, submission)
    shutil.rmtree(kept_folder(job.run, env), ignore_errors=True)


@contextmanager
def _environment(job: Job, env: Mapping[str, str], *, package: bool) -> Iterator[Mapping[str, Any]]:
    kept = kept_folder(job.run, env)
    if not kept.exists():
        yield job.watchers[0].runtime_env or {}
        return
    with environment_of(kept, package=package) as environment:
        yield environment
