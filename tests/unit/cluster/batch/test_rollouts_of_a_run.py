"""Rollouts in a run: the share grows while the run goes on, and a resumed run, or another on the same store, finds it where it was."""

import json
from pathlib import Path

from batch_bench import Bench
from partsong_cluster.batch.run import Limits
from partsong_cluster.report.experiments import standings_of
from partsong_cluster.report.standing_words import standing_words
from scripted_engine import answer

from partsong.contracts import Failure, Reply, Row
from partsong.evaluation.standing import RolloutStage
from partsong.mesh import load_text

MESH = """
version: 1
models:
  mini: {adapter: recorded, file: outcomes.jsonl}
  maxi: {adapter: recorded, file: outcomes.jsonl}
experiments:
  trial:
    rollout:
      champion: mini
      challenger: maxi
      stages: [{share: 0.2, rows: 40}, {share: 0.5, rows: 60}, {share: 1.0}]
      guardrails: {accuracy_drop: 0.2}
routes: [{use: trial}]
"""


def rows(bench: Bench, count: int) -> Bench:
    lines = [{"id": f"q{n}", "prompt": "yes or no?", "expected": "yes"} for n in range(count)]
    bench.input.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return bench


def script(bench: Bench, *, good: bool = True):
    router = load_text(MESH, bench.folder, env={}).mesh.router()

    async def answered(row: Row) -> Reply:
        route = router.decide(row.task, row.shares)
        assert not isinstance(route, Failure)
        right = good or route.use == "mini"
        return answer("yes" if right else "no").model_copy(update={"route": route})

    return answered


def shares(bench: Bench) -> list[float]:
    return [row.shares["trial"] for row in sorted(bench.engine.asked, key=lambda row: row.row)]


def prepared(folder) -> Bench:
    (folder / "outcomes.jsonl").touch()
    return rows(Bench(folder), 200)


def renamed(out: Path) -> Path:
    """Make a folder for another run, with the journal of the first."""
    later = out.with_name("later")
    later.mkdir()
    return (out / "journal.db").rename(later / "journal.db").parent


async def test_the_share_grows_with_the_rows_that_are_finished(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench), mesh=MESH, concurrency=1)
    found = shares(bench)
    assert found[:40] == [0.2] * 40
    assert found[40:100] == [0.5] * 60
    assert found[100:] == [1.0] * 100
    assert [line.split(":")[0] for line in bench.watcher.said] == [
        "trial goes on to 50 % of the rows for the challenger",
        "trial goes on to 100 % of the rows for the challenger",
    ]


async def test_rows_under_way_when_a_stage_ends_keep_the_share_that_they_had(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench), mesh=MESH, concurrency=8)
    found = shares(bench)
    assert found == sorted(found)
    assert 40 <= found.count(0.2) <= 48


async def test_a_resumed_run_goes_on_at_the_share_that_it_had_come_to(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench), mesh=MESH, concurrency=1, limits=Limits(rows=70))
    assert shares(bench)[-1] == 0.5
    await bench.run(script(bench), mesh=MESH, concurrency=1)
    assert shares(bench) == [0.5] * 30 + [1.0] * 100


async def test_a_guardrail_that_breaks_stops_it_and_a_resumed_run_knows(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench, good=False), mesh=MESH, concurrency=1, limits=Limits(rows=150))
    assert shares(bench)[-1] == 0.0
    assert "trial is stopped, the champion answers every row from now on: accuracy" in bench.watcher.said[-1]
    await bench.run(script(bench), mesh=MESH, concurrency=1)
    assert set(shares(bench)) == {0.0}


async def test_another_run_on_the_store_goes_on_from_the_stage_and_the_rows_that_were_reached(tmp_path):
    mesh = f'{MESH}store: {{url: "sqlite:///journal.db"}}'
    bench = prepared(tmp_path)
    await bench.run(script(bench), mesh=mesh, concurrency=1, limits=Limits(rows=70))
    bench.watcher.said.clear()
    bench.out = renamed(bench.out)
    await bench.run(script(bench), mesh=mesh, concurrency=1, limits=Limits(rows=70))
    assert shares(bench) == [0.5] * 30 + [1.0] * 40
    assert "UTC: trial goes on to 50 % of the rows for the challenger" in bench.watcher.said[0]


async def test_a_stopped_rollout_stays_stopped_in_later_runs_and_under_another_name_begins_anew(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench, good=False), mesh=MESH, concurrency=1, limits=Limits(rows=150))
    stopped = bench.watcher.said.pop()
    bench.watcher.said.clear()
    await bench.run(script(bench), mesh=MESH, concurrency=1, fresh=True, limits=Limits(rows=50))
    assert set(shares(bench)) == {0.0}
    assert stopped.removesuffix(".") in bench.watcher.said[0]
    assert "rollback" in bench.watcher.said[0]
    await bench.run(script(bench), mesh=MESH.replace("trial", "trial-2"), concurrency=1, fresh=True, limits=Limits(rows=50))
    assert bench.engine.asked[0].shares == {"trial-2": 0.2}


async def test_what_is_shown_of_a_run_tells_the_share_that_its_rollout_has_reached(tmp_path):
    bench = prepared(tmp_path)
    await bench.run(script(bench), mesh=MESH, concurrency=1, limits=Limits(rows=30))
    assert standings_of([bench.out])[0].rollout == RolloutStage(share=0.2, stopped=None)
    await bench.run(script(bench), mesh=MESH, concurrency=1, limits=Limits(rows=40))
    [standing] = standings_of([bench.out])
    assert standing.rollout == RolloutStage(share=0.5, stopped=None)
    assert "The rollout is at 50 % of the rows for the challenger." in standing_words(standing)
