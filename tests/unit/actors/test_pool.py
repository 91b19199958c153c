"""The pools' shell, without Ray: who is remembered, and how a worker is drained."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from partsong_actors import pool
from partsong_actors.news import STAFF, PoolNews, Recruit, Staffing, Wish, WorkerReport
from partsong_actors.pool import _ModelPool
from partsong_actors.setup import Around, Setup, SystemSpec

from partsong.mesh import load_text
from partsong.pool.built import built_from

MESH = """\
version: 1
models: {mini: {adapter: openai, model: mini, base_url: "http://127.0.0.1:9/v1", concurrency: 4, workers: {min: 2, max: 2}}}
routes: [{use: mini}]
"""


def mesh(text: str = MESH):
    return load_text(text, Path(), env={}, check_secrets=False).mesh


def setup(folder: Path, text: str = MESH) -> Setup:
    system = SystemSpec.passing()
    return Setup(mesh=mesh(text).pack(), folder=".", store_url="sqlite:///j.db", run_folder=str(folder), system=system)


def recruit(key: str, text: str = MESH) -> Recruit:
    spec = mesh(text).models["mini"]
    return Recruit(SimpleNamespace(_actor_id=key.encode()), spec.concurrency, built_from(spec), "node")


@pytest.fixture
def kept(monkeypatch) -> list[set[str]]:
    """The callers that Ray's head has been told of, each time; the last is what it keeps."""
    told: list[set[str]] = []
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(was_current_actor_reconstructed=False))
    monkeypatch.setattr(Around, "actor", lambda *_: SimpleNamespace())
    monkeypatch.setattr(pool, "remember_callers", lambda _, callers: told.append(set(callers)))
    return told


@pytest.fixture
async def pools(kept, tmp_path):
    made = _ModelPool(setup(tmp_path), ["a"], "journal")
    await join(made, "a")
    yield made
    for task in made._beside:
        task.cancel()


async def join(pools: _ModelPool, *callers: str) -> None:
    await asyncio.gather(*(pools.join(caller, f"life of {caller}", "process", {}, []) for caller in callers))


async def told(pools: _ModelPool, member: str, life: str) -> list[PoolNews]:
    return list(await asyncio.wait_for(pools.news(member, life), 10) or ())


async def test_callers_that_come_at_once_are_all_remembered_and_one_that_leaves_is_not(pools, kept):
    assert kept == []  # the one that was named at the start needs no word
    await join(pools, "b", "c", "d")
    assert kept[-1] == {"a", "b", "c", "d"}
    await pools.leave("c", "life of c")
    assert kept[-1] == {"a", "b", "d"}


async def test_a_caller_that_could_not_be_remembered_is_when_it_comes_again(pools, kept, monkeypatch):
    def away(*_):
        raise ConnectionError("the head is away")

    with monkeypatch.context() as patched:
        patched.setattr(pool, "remember_callers", away)
        with pytest.raises(ConnectionError):
            await join(pools, "b")
    await join(pools, "b")
    assert kept[-1] == {"a", "b"}


async def test_a_worker_is_replaced_drained_and_ended_when_every_caller_has_left_it(pools, tmp_path):
    other = MESH.replace("concurrency: 4", "concurrency: 5")
    await join(pools, "b")
    await pools.staff("s", {"mini": Staffing((recruit("old-1"), recruit("old-2")), 0, None)})
    await pools.change(setup(tmp_path, other))
    assert [news.kind for news in await told(pools, STAFF, "s")] == ["change", "start"]
    await pools.reported("s", [WorkerReport("mini", "ready", (new := recruit("new", other)).key, new)])
    [drained] = [news.key for news in await told(pools, STAFF, "s") if news.kind == "drain"]
    await pools.exchange("a", "life of a", [Wish("life of a", "mini", left=drained)])
    await pools.exchange("b", "life of b", [Wish("life of b", "mini", left=drained)])
    assert [(news.kind, news.key) for news in await told(pools, STAFF, "s")] == [("end", drained)]
