"""A run: every row once in the output, whatever stops it."""

import json
from pathlib import Path

import pytest
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Outcome, Stop
from scripted_engine import Script, ScriptedEngine, answer, echo

from partsong.contracts import Failure, FailureCode, Reply, Row
from partsong.mesh import LoadedMesh, load_text

MESH = """
version: 1
models:
  mini: {adapter: recorded, file: outcomes.jsonl}
"""


class Bench:
    """A folder with an input, and the sessions run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.input = folder / "in.jsonl"
        self.stop = Stop()
        self.engine = ScriptedEngine(self.out)

    def rows(self, count: int) -> "Bench":
        self.input.write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}", "kind": n % 3}) + "\n" for n in range(count)))
        return self

    async def run(self, script: Script = echo, *, concurrency: int = 8, limits: Limits | None = None, **order: object) -> dict:
        self.stop = Stop()
        self.engine = ScriptedEngine(self.out, script, concurrency)
        session = Session(
            RunOrder("mesh.yaml", str(self.input), self.out, limits=limits or Limits(), **order),  # type: ignore[arg-type]
            loaded(self.folder),
            lambda: self.engine,
            Silent(),
            self.stop,
            lambda task: 0.0,
        )
        return await session.work()

    def output(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "output.jsonl").read_text().splitlines()]

    def errors(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "errors.jsonl").read_text().splitlines()]


class Silent:
    def show(self, *state: object) -> None:
        pass


def loaded(folder: Path) -> LoadedMesh:
    (folder / "outcomes.jsonl").touch()
    return load_text(MESH, folder, env={})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_every_row_is_answered_once(bench: Bench):
    summary = await bench.rows(1000).run()
    assert sorted(line["custom_id"] for line in bench.output()) == sorted(f"q{n}" for n in range(1000))
    assert summary["outcome"] == "complete"
    assert summary["rows"] == {"finished": 1000, "answered": 1000, "failed": 0, "failures": {}}
    assert summary["cost_usd"] == pytest.approx(1.0)


async def test_no_more_rows_are_in_flight_than_allowed(bench: Bench):
    await bench.rows(300).run(concurrency=7)
    assert bench.engine.most_in_flight == 7


async def test_the_same_command_again_asks_for_nothing(bench: Bench):
    await bench.rows(20).run()
    await bench.run()
    assert bench.engine.asked == []
    assert len(bench.output()) == 20


async def test_an_interrupted_run_goes_on_where_it_stopped(bench: Bench):
    async def stops_at_40(row: Row) -> Reply:
        if row.row == 40:
            bench.stop.ask(Outcome.INTERRUPTED)
        return answer("x")

    summary = await bench.rows(100).run(stops_at_40)
    assert summary["outcome"] == "interrupted"
    first = len(bench.output())
    assert 40 <= first < 100
    summary = await bench.run()
    assert len(bench.engine.asked) == 100 - first
    assert sorted(line["partsong"]["row"] for line in bench.output()) == list(range(100))
    assert summary["rows"]["answered"] == 100
    assert summary["sessions"] == 2


async def test_a_failed_row_stands_in_the_errors_file_with_its_input(bench: Bench):
    async def fails(row: Row) -> Reply:
        return Failure(code=FailureCode.TIMEOUT, message="too slow", where="mini") if row.row == 1 else answer("x")

    summary = await bench.rows(3).run(fails)
    [error] = bench.errors()
    assert (error["custom_id"], error["line"], error["code"], error["reason"]) == ("q1", 2, "timeout", "too slow")
    assert error["input"]["metadata"] == {"kind": 1}
    assert summary["rows"]["failures"] == {"timeout": 1}


async def test_a_bad_row_costs_itself_alone(bench: Bench):
    bench.input.write_bytes(b'{"id": "a", "prompt": "hello"}\n{"id": "b", "prom\n{"id": "c", "prompt": "you"}\n')
    await bench.run()
    assert [line["custom_id"] for line in bench.output()] == ["a", "c"]
    [error] = bench.errors()
    assert (error["line"], error["code"], error["input"]) == (2, "bad-row", '{"id": "b", "prom')
