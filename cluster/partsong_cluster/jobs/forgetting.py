"""Forgetting: a run's records are deleted where its store can be reached, in the cluster. What it spent stays known, its results stay."""

import asyncio
from pathlib import Path
from typing import Any

from partsong.errors import RunError
from partsong.journal.address import open_store
from partsong.routing.experiments import recorded_runs
from partsong_cluster.cli.exit_codes import ExitCode
from partsong_cluster.jobs.notes import Notes
from partsong_cluster.jobs.order import JobOrder

__all__ = ["forgotten"]


async def forgotten(order: JobOrder) -> int:
    """Delete all that store and head keep of the run; RunError while it is at work. Return the exit code."""
    from partsong_actors.again import own_error

    from partsong_cluster.jobs.head import RayHead

    around, notes = order.system.around, Notes(RayHead())
    if _found(order, around.job(order.run)) is not None and await asyncio.to_thread(notes.ended, order.run) is None:
        raise RunError("is-running", "the job is at work", remedy="`partsong jobs stop` first")
    if (journal := _found(order, around.journal())) is not None:
        for run in _runs(order):
            await own_error(journal.forget.remote(run, ()))
    else:
        await asyncio.to_thread(_forget, order)
    await asyncio.to_thread(notes.forget, order.tenancy.name, order.run)
    return ExitCode.DONE


def _found(order: JobOrder, name: str) -> Any:
    try:
        return order.system.around.actor(name)
    except ValueError:
        return None


def _runs(order: JobOrder) -> list[str]:
    return recorded_runs(order.run, order.loaded().mesh.experiments)


def _forget(order: JobOrder) -> None:
    stated = order.loaded().mesh.store
    assert stated.url is not None, "a job has a store"
    store = open_store(stated.url, Path(), segments=stated.segments)
    try:
        for run in _runs(order):
            while store.forget(run):
                pass
    finally:
        store.close()
