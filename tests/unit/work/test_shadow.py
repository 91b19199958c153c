"""Shadows: rows that a challenger gets too: behind the answer, within their own budget, and nobody's trouble."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from partsong.adapters.python import imported
from partsong.contracts import Answer, CallRecord, Completion, Failure, FailureCode, Route, Row, RowOutcome, RowRecord, Task, Terms, Timing
from partsong.errors import BudgetError
from partsong.inline import InlineEngine
from partsong.journal.sqlite import SqliteStore
from partsong.mesh import load_text
from partsong.routing.experiments import Shadow
from partsong.telemetry import Telemetry
from partsong.work.shadow import Shadows

ROUTE = Route(use="old", reason="r", experiment="trial", arm="champion", propensity=1.0)


class Journal:
    """Holds what it was given."""

    def __init__(
        self, rows: Sequence[tuple[str, int]] = (), calls: Sequence[CallRecord] = (), spent_usd: Mapping[str, float] | None = None
    ):
        self._rows, self._calls, self._spent_usd = rows, calls, spent_usd or {}

    async def row(self, run: str, row: int) -> RowRecord | None:
        failure = Failure(code=FailureCode.TIMEOUT, message="no reply")
        return RowRecord(run=run, row=row, custom_id="q", reply=failure) if (run, row) in self._rows else None

    async def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        return [call for call in self._calls if (call.run, call.row) == (run, first_row)]

    async def spent(self, run: str, since_s: float) -> Mapping[str, float]:
        return self._spent_usd


class Challenger:
    """Answers when it is let; may raise."""

    def __init__(self, *, waits: bool = False, error: Exception | None = None):
        self.rows: list[Row] = []
        self.routes: list[Route] = []
        self.cancelled = 0
        self.let = asyncio.Event()
        self._error = error
        if not waits:
            self.let.set()

    async def __call__(self, row: Row, route: Route) -> None:
        self.rows.append(row)
        self.routes.append(route)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error


def shadows(work: Challenger, journal: Journal | None = None, forgotten: list[str] | None = None, **fields: object) -> Shadows:
    shadow = Shadow.model_validate({"champion": "old", "challenger": "new", "usd_per_run": 1.0, "finish_within": 0.2, **fields})
    forget = (forgotten if forgotten is not None else []).append
    return Shadows({"trial": shadow}, work, journal or Journal(), forget, Telemetry.off())  # type: ignore[arg-type]


def row(number: int, run: str = "run") -> Row:
    return Row(run=run, row=number, task=Task.of("hello", id=f"q{number}"), terms=Terms(weight=2.0, budget_usd=9.0, today_usd={"new": 3.0}))


def counted(all_of_them: Shadows) -> dict[str, int]:
    return dict(all_of_them._all["trial"].counted)


async def test_a_shadow_is_a_row_of_a_run_of_its_own_on_its_own_terms():
    work = Challenger()
    mine = shadows(work, Journal(spent_usd={"new": 0.25}))
    mine.offer(row(3), ROUTE)
    await mine.close()
    [shadowed], [route] = work.rows, work.routes
    assert (shadowed.run, shadowed.row, shadowed.task) == ("run~trial", 3, row(3).task)
    assert shadowed.terms == Terms(weight=0.1, budget_usd=1.0, spent_usd={"new": 0.25}, today_usd={"new": 3.0})
    assert (route.use, route.experiment, route.arm) == ("new", "trial", "challenger")


async def test_offering_waits_for_nothing_and_a_full_queue_drops():
    work = Challenger(waits=True)
    mine = shadows(work, at_once=2, waiting=3)
    for number in range(3):
        mine.offer(row(number), ROUTE)
    assert work.rows == []
    await asyncio.sleep(0)
    for number in range(3, 10):
        mine.offer(row(number), ROUTE)
    work.let.set()
    await mine.close()
    assert counted(mine)["answered"] + counted(mine)["dropped"] == 10
    assert counted(mine)["dropped"] >= 5
    assert [one.row for one in work.rows] == list(range(len(work.rows)))


@pytest.mark.parametrize("route", [None, Route(use="old", reason="r"), ROUTE.model_copy(update={"experiment": "other"})])
async def test_rows_of_no_shadow_are_let_be(route):
    work = Challenger()
    mine = shadows(work)
    mine.offer(row(1), route)
    await mine.close()
    assert work.rows == []


async def test_only_sampled_rows_are_taken():
    work = Challenger()
    mine = shadows(work, share=0.1, waiting=500)
    for number in range(500):
        mine.offer(row(number), ROUTE)
    await mine.close()
    assert 20 < len(work.rows) < 90


async def test_what_the_journal_has_is_not_asked_again():
    call = CallRecord(run="run~trial", row=1, step="new", ask_hash=b"h" * 16, model="new", reply=completion("half done"))
    work = Challenger()
    mine = shadows(work, Journal(rows=[("run~trial", 0)], calls=[call]))
    for number in range(2):
        mine.offer(row(number), ROUTE)
    await mine.close()
    [shadowed] = work.rows
    assert (shadowed.row, shadowed.held) == (1, (call,))


async def test_a_spent_budget_is_counted_and_no_error():
    mine = shadows(Challenger(error=BudgetError("run-budget", "it is spent")))
    mine.offer(row(1), ROUTE)
    await mine.close()
    assert counted(mine) == {"refused": 1, "dropped": 0}


async def test_a_shadow_that_breaks_is_logged_once_and_the_next_is_worked(caplog):
    work = Challenger(error=RuntimeError("out of order"))
    mine = shadows(work, at_once=1)
    with caplog.at_level(logging.ERROR):
        for number in range(2):
            mine.offer(row(number), ROUTE)
        await mine.close()
    assert counted(mine)["failed"] == 2
    assert caplog.text.count("trial cannot shadow row 0") == 1


async def test_the_end_waits_no_longer_than_it_was_told_and_leaves_nothing_behind():
    work = Challenger(waits=True)
    mine = shadows(work, at_once=1, finish_within=0.01)
    before = asyncio.all_tasks()
    for number in range(3):
        mine.offer(row(number), ROUTE)
    await mine.close()
    assert work.cancelled == 1
    assert counted(mine)["dropped"] == 2
    assert asyncio.all_tasks() == before


async def test_a_run_that_is_over_is_forgotten_when_its_last_shadow_has_ended():
    forgotten: list[str] = []
    work = Challenger(waits=True)
    mine = shadows(work, forgotten=forgotten)
    mine.offer(row(1), ROUTE)
    await asyncio.sleep(0)
    mine.over("run")
    assert forgotten == []
    work.let.set()
    await mine.close()
    assert forgotten == ["run~trial"]


async def test_a_run_without_shadows_is_forgotten_at_once():
    forgotten: list[str] = []
    mine = shadows(Challenger(), forgotten=forgotten)
    mine.over("run")
    assert forgotten == ["run~trial"]


def completion(text: str) -> Completion:
    return Completion(text=text, model="m", timing=Timing(total_s=0.0))


MESH = """
version: 1
models:
  old: {{adapter: python, target: "workers:old", price: {{input: 0, output: 0}}}}
  new: {{adapter: python, target: "workers:{new}", price: {{input: 0, output: 0}}}}
experiments:
  trial: {{shadow: {{champion: old, challenger: new, usd_per_run: 1, finish_within: {within}}}}}
routes: [{{use: trial}}]
"""
WORKERS = """
import asyncio

async def old(task):
    return "old"

async def new(task):
    await asyncio.sleep(0.05)
    return "new"

async def hangs(task):
    await asyncio.sleep(3600)
"""


async def engine_end(folder: Path, new: str, within: str) -> list[RowRecord]:
    """Answer three rows and end the engine; return the shadows on record."""
    (folder / "workers.py").write_text(WORKERS)
    mesh = load_text(MESH.format(new=new, within=within), folder, env={}).mesh
    async with InlineEngine(mesh, SqliteStore.open(folder / "journal.db"), folder=folder) as engine:
        for number in range(3):
            outcome = await engine.answer(Row(run="run", row=number, task=Task.of("hello", id=f"q{number}")))
            assert isinstance(outcome.reply, Answer)
            assert outcome.reply.text == "old"
        engine.over("run")
    store = SqliteStore.open(folder / "journal.db")
    try:
        return [record for _, record in store.rows("run~trial", 0, 10)]
    finally:
        store.close()


async def test_an_engine_ends_when_the_shadows_of_its_rows_have(tmp_path):
    records = await engine_end(tmp_path, "new", "20s")
    assert [record.reply.text for record in records if isinstance(record.reply, Answer)] == ["new"] * 3


async def test_an_engine_does_not_wait_for_a_challenger_that_hangs(tmp_path):
    before = asyncio.all_tasks()
    assert await engine_end(tmp_path, "hangs", "50ms") == []
    assert asyncio.all_tasks() == before


ONE_MODEL = """
version: 1
models:
  one: {adapter: python, target: "turns:answered", concurrency: 1, price: {input: 0, output: 0}}
plans:
  again: {cascade: [{ask: one}]}
experiments:
  trial: {shadow: {champion: one, challenger: again, usd_per_run: 1, at_once: 1}}
routes: [{use: trial}]
"""
TURNS = """
import asyncio

turns = []
shadow_began, shadow_may_end = asyncio.Event(), asyncio.Event()

async def answered(task):
    turns.append(task.id)
    if turns == ["q0", "q0"]:
        shadow_began.set()
        await shadow_may_end.wait()
    return "yes"

async def state(task):
    return turns, shadow_began, shadow_may_end
"""


async def test_on_one_model_a_live_row_waits_for_the_shadow_call_under_way_and_for_no_other(tmp_path):
    (tmp_path / "turns.py").write_text(TURNS)
    loaded = load_text(ONE_MODEL, tmp_path, env={})
    turns, began, may_end = await imported("turns:state", tmp_path)(None)

    def ask(engine: InlineEngine, number: int) -> asyncio.Task[RowOutcome]:
        return asyncio.create_task(engine.answer(Row(run="run", row=number, task=Task.of(f"hello {number}", id=f"q{number}"))))

    async with InlineEngine(loaded.mesh, SqliteStore.open(tmp_path / "journal.db"), folder=tmp_path) as engine:
        await ask(engine, 0)
        await began.wait()
        live = [ask(engine, number) for number in (1, 2)]
        for _ in range(200):
            await asyncio.sleep(0)
        assert turns == ["q0", "q0"]  # the shadow's call has the model's one permit
        may_end.set()
        await asyncio.gather(*live)
        assert turns[2] == "q1"
        engine.over("run")
    assert sorted(turns) == ["q0", "q0", "q1", "q1", "q2", "q2"]
