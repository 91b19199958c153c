"""Bounded: whatever is slow, every queue stays at its bound, by the levels that the metrics tell; memory does not grow behind it."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from batch_bench import Bench, Silent
from partsong_cluster.batch import publisher
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Stop
from providers.openai import OpenAIServer
from watched_levels import WatchedLevels

from partsong.contracts import Answer, RowRecord, Task
from partsong.contracts.epoch import Epoch
from partsong.inline import InlineEngine
from partsong.journal.journal import Journal
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Record
from partsong.mesh import LoadedMesh, load_mesh
from partsong.telemetry.levels import (
    CALLS_IN_FLIGHT,
    CALLS_LIMITED,
    CALLS_WAITING,
    JOURNAL_PENDING,
    LIMITS_WAITING,
    ROWS_UNDER_WAY,
    ROWS_UNPUBLISHED,
    WORKER_WAITING,
)

ECHO = """\
version: 1
models:
  echo: {adapter: python, target: "echo:echo", concurrency: 16}
  again: {adapter: python, target: "echo:echo", concurrency: 16}
plans:
  both: {ensemble: {members: [echo, again], merge: majority}}
routes: [{use: both}]
"""
ASKS = """\
version: 1
models:
  slow: {{adapter: openai, model: m, base_url: {url}, api_key: {{env: K}}, concurrency: 8{more}}}
"""
CALLS_A_ROW = 2


class SlowStore(SqliteStore):
    """A disk that takes long to sync."""

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        time.sleep(0.05)
        super().append(records, under)


@pytest.fixture
def levels() -> WatchedLevels:
    return WatchedLevels()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "echo.py").write_text("async def echo(task):\n    return task.text\n")
    return Bench(tmp_path)


async def run(bench: Bench, mesh: str, levels: WatchedLevels, limits: Limits | None = None, opened=SqliteStore, also=lambda: None) -> dict:
    """Run the bench's rows on the inline engine and watch."""
    (bench.folder / "mesh.yaml").write_text(mesh)
    loaded = load_mesh(bench.folder / "mesh.yaml", env={"K": "test-key"})
    order = RunOrder("mesh.yaml", str(bench.input), bench.out, limits=limits or Limits())
    session = Session(order, loaded, lambda: engine_on(bench, loaded, levels, opened), Silent(), Stop())
    async with levels.watching(also):
        return await session.work()


@asynccontextmanager
async def engine_on(bench: Bench, loaded: LoadedMesh, levels: WatchedLevels, opened) -> AsyncIterator[InlineEngine]:
    store = opened.open(bench.out / "journal.db")
    secrets = {"slow": "test-key"}
    async with InlineEngine(loaded.mesh, store, folder=loaded.folder, secrets=secrets, telemetry=levels) as engine:
        bench.window = engine.concurrency
        yield engine


async def test_a_slow_journal_slows_the_rows_down(bench: Bench, levels: WatchedLevels):
    summary = await run(bench.rows(400), ECHO, levels, opened=SlowStore)
    assert summary["rows"]["answered"] == 400
    assert levels.most(ROWS_UNDER_WAY) == bench.window  # it is the journal that holds them, not the models
    assert bench.window < levels.most(JOURNAL_PENDING) <= bench.window * (CALLS_A_ROW + 1)
    assert levels.most(CALLS_WAITING) <= bench.window
    assert levels.most(WORKER_WAITING) == 0


async def test_a_journal_takes_no_more_than_its_bound_however_many_append(tmp_path: Path, levels: WatchedLevels):
    async with Journal(SlowStore.open(tmp_path / "journal.db"), max_pending=32) as journal:
        levels.gauge(*JOURNAL_PENDING, lambda: journal.pending_records)
        reply = Answer(text="a")
        records = [RowRecord(run="r", row=row, custom_id=str(row), task=Task.of("q"), reply=reply, at_s=0.0) for row in range(500)]
        async with levels.watching():
            await asyncio.gather(*[journal.append([record]) for record in records])
    assert levels.most(JOURNAL_PENDING) == 32


async def test_a_slow_disk_under_the_output_slows_the_rows_down_and_nothing_piles_up(bench: Bench, levels: WatchedLevels, monkeypatch):
    monkeypatch.setattr(publisher, "_MOST_WAITING_ROWS", 100)
    monkeypatch.setattr(os, "fsync", slow(os.fsync, 0.1))
    held: list[int] = []
    summary = await run(bench.rows(1_000), ECHO, levels, also=lambda: held.append(sys.getallocatedblocks()))
    assert summary["rows"]["answered"] == 1_000
    assert 100 <= levels.most(ROWS_UNPUBLISHED) <= 100 + bench.window
    middle = len(held) // 2
    assert max(held[middle:]) < 1.1 * max(held[:middle])


async def test_a_slow_provider_slows_the_rows_down(bench: Bench, levels: WatchedLevels):
    async with OpenAIServer(latency_s=5.0) as server:
        summary = await run(bench.rows(5_000), ASKS.format(url=server.url, more=""), levels, Limits(deadline_s=1.5))
        assert server.most_in_flight == 8
    assert summary["outcome"] == "deadline"
    assert levels.most(ROWS_UNDER_WAY) == bench.window
    assert levels.most(CALLS_IN_FLIGHT) == 8
    assert levels.most(CALLS_WAITING) == bench.window - 8
    assert levels.most(WORKER_WAITING) == 0


async def test_a_rate_that_is_used_up_holds_calls_and_with_them_rows(bench: Bench, levels: WatchedLevels):
    async with OpenAIServer() as server:
        mesh = ASKS.format(url=server.url, more=", limits: {requests_per_minute: 20}")
        await run(bench.rows(5_000), mesh, levels, Limits(deadline_s=1.5))
        assert server.calls.total() <= 20
    assert levels.most(CALLS_LIMITED) == levels.most(LIMITS_WAITING) == levels.most(CALLS_IN_FLIGHT) == 8
    assert levels.most(ROWS_UNDER_WAY) == bench.window


def slow(function: Callable[[int], None], pause_s: float) -> Callable[[int], None]:
    def slowed(fd: int) -> None:
        time.sleep(pause_s)
        function(fd)

    return slowed
