"""Experiments read back from runs' folders: who leads, whether that is sure, and what the figures rest on."""

import json
from pathlib import Path
from shutil import copytree

import pytest
from batch_bench import Bench
from partsong_cluster.batch.run import Limits
from partsong_cluster.feedback import Verdict, rate
from partsong_cluster.report import write_run_report
from partsong_cluster.report.experiments import standings_of
from partsong_cluster.report.standing_words import standing_words
from scripted_engine import answer

from partsong.contracts import BillLine, Failure, FailureCode, Reply, Row, RowRecord
from partsong.errors import RunError
from partsong.evaluation.guardrails import Guardrails
from partsong.evaluation.standing import Gathering
from partsong.evaluation.trial import Trial
from partsong.mesh import load_text
from partsong.routing.experiments import Shadow, shadow_run

MESH = """
version: 1
models:
  mini: {{adapter: recorded, file: outcomes.jsonl, price: {{input: 1, output: 1}}}}
  maxi: {{adapter: recorded, file: outcomes.jsonl, price: {{input: 1, output: 1}}}}
experiments:
  trial: {experiment}
  untried: {{split: {{champion: maxi, challenger: mini}}}}
routes: [{{use: trial}}]
"""
SPLIT = MESH.format(experiment="{split: {champion: mini, challenger: maxi}}")
SHADOW = MESH.format(experiment="{shadow: {champion: mini, challenger: maxi, usd_per_run: 1}}")


def routed(mesh: str, folder: Path, row: Row) -> Reply:
    """Answer as the row's route has it: maxi is always right, mini half the time, and never on rows that say so."""
    route = load_text(mesh, folder, env={}).mesh.router().decide(row.task, row.shares)
    assert not isinstance(route, Failure)
    right = route.use == "maxi" or row.row % 2
    reply = answer("yes" if right else "no", cost_usd=0.002 if route.use == "maxi" else 0.001)
    return reply.model_copy(update={"route": route})


async def run(bench: Bench, mesh: str, rows: int, *, expected: str | None = "yes", **limits: int) -> Path:
    about = {} if expected is None else {"expected": expected}
    lines = [{"id": f"q{n}", "prompt": "yes or no?" + " x" * 300 * (n % 3 == 0), "user": f"u{n % 20}", **about} for n in range(rows)]
    bench.input.write_text("".join(json.dumps(line) + "\n" for line in lines))

    async def script(row: Row) -> Reply:
        return routed(mesh, bench.folder, row)

    await bench.run(script, mesh=mesh, limits=Limits(**limits))
    return bench.out


async def test_a_split_says_who_leads_and_that_one_may_stop(tmp_path):
    [standing] = standings_of([await run(Bench(tmp_path), SPLIT, 300)])
    assert (standing.leads, standing.may_stop, standing.tested) == ("challenger", True, 300)
    assert standing.champion.rows + standing.challenger.rows == 300
    assert [line.stratum for line in standing.strata] == ["medium", "short"]
    words = " ".join(standing_words(standing))
    assert "The challenger leads: the challenger maxi is right on 100 % (" in words
    assert "The difference is sure" in words
    assert "one may stop" in words
    assert "The rows are split as told" in words
    assert "failed. These intervals, of 95 %, hold for one look: " in words


async def test_the_report_page_says_it_too(tmp_path):
    page = write_run_report(await run(Bench(tmp_path), SPLIT, 40)).read_text()
    assert "trial: The challenger leads: the challenger maxi is right on 100 % (" in page


async def test_an_experiment_that_no_row_came_to_is_shown_where_it_is_named(tmp_path):
    out = await run(Bench(tmp_path), SPLIT, 10)
    assert [one.name for one in standings_of([out])] == ["trial"]
    assert [one.name for one in standings_of([out], ["untried"])] == ["untried"]


async def test_few_rows_are_not_sure(tmp_path):
    [standing] = standings_of([await run(Bench(tmp_path), SPLIT, 10)])
    assert not standing.may_stop
    assert "may be chance" in " ".join(standing_words(standing))


async def test_without_expected_answers_nothing_is_said_about_accuracy(tmp_path):
    [standing] = standings_of([await run(Bench(tmp_path), SPLIT, 30, expected=None)])
    assert (standing.difference, standing.leads, standing.may_stop, standing.tested) == (None, None, False, 0)
    assert "Nothing is said about which is right more often" in " ".join(standing_words(standing))


async def test_of_rows_with_one_key_the_first_is_tested(tmp_path):
    by_user = SPLIT.replace("challenger: maxi", "challenger: maxi, key: metadata.user")
    [standing] = standings_of([await run(Bench(tmp_path), by_user, 100)])
    assert standing.tested == 20
    assert standing.champion.rows + standing.challenger.rows == 100


async def test_rows_behind_one_that_is_not_finished_wait_for_it(tmp_path):
    bench = Bench(tmp_path)
    out = await run(bench, SPLIT, 30)
    manifest = json.loads((out / "run.json").read_text())
    async with bench.engine:
        record = await bench.engine.journal.row(manifest["run"], 3)
        assert record is not None
        await bench.engine.journal.append([record.model_copy(update={"row": 35})])
    [standing] = standings_of([out])
    assert (standing.tested, standing.waiting) == (30, 1)
    assert "1 finished row wait" in " ".join(standing_words(standing))


def test_an_arm_without_rows_is_compared_with_nothing():
    words = " ".join(standing_words(Gathering("mini", "maxi", Guardrails()).standing("trial", "split", None)))
    assert "1,000 rows cost" not in words
    assert "Nothing is said about which is right more often" in words


def test_a_split_that_lost_rows_of_one_arm_is_not_to_be_believed():
    gathering = Gathering("mini", "maxi", Guardrails())
    for number in range(40):
        gathering.test(Trial("champion" if number % 8 else "challenger", 0.5, True, False, 0.001, 0.1))
    standing = gathering.standing("trial", "split", None)
    assert not standing.is_split_as_told
    assert standing_words(standing)[0].startswith("The rows are not split as told: ")
    assert "Do not believe the comparison" in standing_words(standing)[0]


async def test_a_shadow_is_compared_row_by_row_with_what_answered(tmp_path):
    bench = Bench(tmp_path)
    by_user = SHADOW.replace("usd_per_run: 1", "usd_per_run: 1, key: metadata.user")
    out = await run(bench, by_user, 60)
    manifest = json.loads((out / "run.json").read_text())
    shadow = load_text(by_user, tmp_path, env={}).mesh.experiments["trial"]
    assert isinstance(shadow, Shadow)
    async with bench.engine:
        lives = await bench.engine.journal.rows(manifest["run"], 0, 100)
        shadows = [_shadow_of(record, shadow) for _, record in lives if record.row % 2 == 0]
        await bench.engine.journal.append(shadows)
    [standing] = standings_of([out])
    assert standing.shadow is not None
    assert (standing.shadow.sampled, standing.shadow.shadowed, standing.shadow.missing) == (60, 30, 30)
    assert (standing.champion.rows, standing.challenger.rows, standing.leads) == (30, 30, "challenger")
    assert standing.sample_ratio_p is None
    [twice] = standings_of([out, Path(copytree(out, tmp_path / "again"))])
    assert (standing.tested, twice.tested, twice.e_value, twice.challenger.rows) == (30, 30, standing.e_value, 60)
    words = " ".join(standing_words(standing))
    assert "Of 60 sampled rows 30 have a shadow; 30 have none" in words
    assert "The shadows cost $0.06. Latencies are those of the calls" in words
    assert (standing.champion.latency_p95_s, standing.challenger.latency_p95_s) == pytest.approx((0.25, 0.25), rel=0.05)


def _shadow_of(record: RowRecord, shadow: Shadow) -> RowRecord:
    route = shadow.shadow_route("trial")
    bill = (BillLine(step=route.use, model="maxi", cost_usd=0.002, latency_s=0.25),)
    reply = answer("yes").model_copy(update={"route": route, "bill": bill, "latency_s": 9.0})
    return record.model_copy(update={"run": shadow_run(record.run, "trial"), "reply": reply})


async def test_failed_rows_count_for_their_arm(tmp_path):
    bench = Bench(tmp_path)

    async def script(row: Row) -> Reply:
        reply = routed(SPLIT, tmp_path, row)
        assert reply.route is not None
        broken = Failure(code=FailureCode.TIMEOUT, message="no reply", route=reply.route)
        return broken if reply.route.arm == "challenger" else reply

    bench.rows(100)
    await bench.run(script, mesh=SPLIT)
    [standing] = standings_of([bench.out])
    assert standing.challenger.failed == standing.challenger.rows > 30
    assert [guard.state for guard in standing.guards] == ["unmeasured", "broken"]


async def test_runs_that_follow_each_other_are_one_experiment(tmp_path):
    folders = []
    for name in ("monday", "tuesday"):
        (tmp_path / name).mkdir()
        folders.append(await run(Bench(tmp_path / name), SPLIT, 50))
    [standing] = standings_of(folders)
    assert standing.champion.rows + standing.challenger.rows == 100


async def test_one_name_for_two_experiments_and_a_name_of_none_are_errors(tmp_path):
    folders = []
    for name, mesh in (("monday", SPLIT), ("tuesday", SHADOW)):
        (tmp_path / name).mkdir()
        folders.append(await run(Bench(tmp_path / name), mesh, 5))
    with pytest.raises(RunError, match="trial is a shadow of mini and maxi here, and a split of mini and maxi in an earlier run"):
        standings_of(folders)
    with pytest.raises(RunError, match="no run has an experiment 'trail'"):
        standings_of(folders[:1], ["trail"])


async def test_what_is_decided_is_said_and_not_tested(tmp_path):
    decided = SPLIT.replace("challenger: maxi", "challenger: maxi, decided: challenger")
    [standing] = standings_of([await run(Bench(tmp_path), decided, 20)])
    assert list(standing_words(standing)) == ["It is decided: the challenger answers every row."]


async def test_what_users_made_of_answers_counts_where_no_label_does(tmp_path):
    out = await run(Bench(tmp_path), SPLIT, 30, expected=None)
    rate(out, [Verdict(f"q{row}", 0.0) for row in range(10)])
    [standing] = standings_of([out])
    assert standing.tested == 10
    assert (standing.champion.right, standing.challenger.right) == (0, 0)


async def test_a_label_outranks_what_users_say(tmp_path):
    out = await run(Bench(tmp_path), SPLIT, 30)
    before = standings_of([out])
    rate(out, [Verdict(f"q{row}", 0.0) for row in range(10)])
    assert standings_of([out]) == before
