"""A job that goes on elsewhere ends here without a word."""

import os
import threading

from partsong_actors.setup import SystemSpec
from partsong_cluster.jobs.actor import _JobActor
from partsong_cluster.jobs.order import JobOrder, Tenancy

from partsong.errors import EngineError, FencedError

ORDER = JobOrder(
    run="r",
    name="r",
    mesh="",
    mesh_file="m",
    mesh_hash="",
    input="i",
    output="o",
    tenancy=Tenancy(name="t"),
    system=SystemSpec(name="s", lasting=True),
)


def raising(error):
    def raises(self):
        raise error

    return raises


async def test_one_that_has_a_successor_ends_its_process_and_tells_no_end(monkeypatch):
    codes, gone = [], threading.Event()

    def leave(code):
        codes.append(code)
        gone.set()
        threading.Event().wait()  # the real one does not return either

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(JobOrder, "loaded", raising(FencedError("fenced", "another leads the run")))
    job = _JobActor(ORDER.pack())
    assert gone.wait(10)
    assert codes == [1]
    assert (await job.news("", 0, 0.1))[2] == []


async def test_one_that_fails_tells_why(monkeypatch):
    monkeypatch.setattr(JobOrder, "loaded", raising(EngineError("mesh-gone", "the mesh is not there")))
    monkeypatch.setattr("partsong_cluster.jobs.actor.Notes.end", lambda *_: None)
    job = _JobActor(ORDER.pack())
    [told] = (await job.news("", 0, 10.0))[2]
    assert "mesh-gone" in told
