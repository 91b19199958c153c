"""A run: every row once in the output, whatever stops it."""

import asyncio
import errno
import gzip
import json
import os
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch_bench import MESH, Bench, Silent
from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.batch.folder import RunFolder
from partsong_cluster.batch.ingest import InputRules
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.stop import Outcome
from partsong_cluster.batch.tally import Tally
from scripted_engine import Script, answer

from partsong.contracts import CallRecord, Completion, Failure, FailureCode, Reply, Row, Timing
from partsong.errors import BudgetError, EngineError, InputError, RunError


def completion(text: str) -> Completion:
    return Completion(text=text, model="mini-1", timing=Timing(total_s=0.1))


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


async def test_the_engine_hears_when_a_run_is_over(bench: Bench):
    summary = await bench.rows(3).run()
    assert bench.engine.ended == [summary["run"]]


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


async def test_a_limit_takes_rows_from_the_start_and_a_larger_one_goes_on(bench: Bench):
    await bench.rows(50).run(limits=Limits(rows=10))
    assert sorted(line["partsong"]["row"] for line in bench.output()) == list(range(10))
    await bench.run(limits=Limits(rows=30))
    assert len(bench.engine.asked) == 20


async def test_calls_that_the_journal_holds_are_handed_to_the_engine(bench: Bench):
    call = CallRecord(run="", row=3, step="mini", ask_hash=bytes(16), model="mini", reply=completion("held"))

    async def stops_half_way(row: Row) -> Reply:
        if row.row == 3:
            await bench.engine.journal.append([call.model_copy(update={"run": row.run})])
            bench.stop.ask(Outcome.INTERRUPTED, at_once=True)
            await asyncio.sleep(60)
        return answer("x")

    await bench.rows(5).run(stops_half_way, concurrency=1)
    await bench.run()
    assert [(row.row, len(row.held)) for row in bench.engine.asked] == [(3, 1), (4, 0)]


async def test_rows_in_flight_may_finish_within_the_grace(bench: Bench):
    async def slow(row: Row) -> Reply:
        bench.stop.ask(Outcome.INTERRUPTED) if bench.stop.why is None else None
        await asyncio.sleep(0.05)
        return answer("x")

    await bench.rows(100).run(slow, concurrency=1)
    assert len(bench.output()) == 1


async def test_a_second_request_to_stop_drops_rows_in_flight_and_loses_nothing(bench: Bench):
    async def stuck(row: Row) -> Reply:
        if row.row == 5:
            bench.stop.ask(Outcome.INTERRUPTED)
            bench.stop.ask(Outcome.INTERRUPTED)
            await asyncio.sleep(60)
        return answer("x")

    summary = await bench.rows(20).run(stuck)
    assert summary["outcome"] == "interrupted"
    await bench.run()
    assert sorted(line["partsong"]["row"] for line in bench.output()) == list(range(20))


async def test_a_grace_that_passes_drops_rows_in_flight(bench: Bench):
    async def stuck(row: Row) -> Reply:
        bench.stop.ask(Outcome.INTERRUPTED) if bench.stop.why is None else None
        await asyncio.sleep(60)
        return answer("x")

    summary = await bench.rows(3).run(stuck, limits=Limits(grace_s=0.05))
    assert (summary["outcome"], summary["rows"]["finished"]) == ("interrupted", 0)


async def test_a_deadline_ends_the_session_and_the_next_one_goes_on(bench: Bench):
    async def stuck_half_way(row: Row) -> Reply:
        if row.row >= 50:
            await asyncio.sleep(60)
        return answer("x")

    summary = await bench.rows(200).run(stuck_half_way, limits=Limits(deadline_s=2.0, grace_s=0.05))
    assert (summary["outcome"], summary["rows"]["answered"]) == ("deadline", 50)
    assert (await bench.run())["rows"]["answered"] == 200


async def test_rows_that_a_budget_refuses_are_not_done_and_go_on_with_a_larger_one(bench: Bench):
    def affords(rows: int) -> Script:
        async def script(row: Row) -> Reply:
            if row.row >= rows:
                raise BudgetError("run-budget", "the run's budget of $1")
            return answer("x")

        return script

    summary = await bench.rows(100).run(affords(10), limits=Limits(budget_usd=1.0))
    assert (summary["outcome"], summary["rows"], summary["refused"]) == (
        "budget",
        {"finished": 10, "answered": 10, "failed": 0, "failures": {}},
        "the run's budget of $1",
    )
    assert bench.engine.asked[0].terms.budget_usd == 1.0
    assert (await bench.run(affords(100)))["rows"]["answered"] == 100


async def test_a_budget_that_refuses_when_all_rows_are_handed_out_is_no_complete_run(bench: Bench):
    async def dear(row: Row) -> Reply:
        await asyncio.sleep(0.05)
        if row.row >= 3:
            raise BudgetError("run-budget", "the run's budget of $1")
        return answer("x")

    summary = await bench.rows(6).run(dear, limits=Limits(budget_usd=1.0))
    assert (summary["outcome"], summary["rows"]["finished"]) == ("budget", 3)


async def test_what_fails_is_told_once_a_code_and_not_once_a_row(bench: Bench):
    async def refused(row: Row) -> Reply:
        return Failure(code=FailureCode.AUTH, message="the key is refused")

    await bench.rows(50).run(refused)
    [said] = bench.watcher.said
    assert said.startswith("Row ")
    assert "auth: the key is refused" in said


async def test_a_changed_mesh_is_named_and_refused(bench: Bench):
    await bench.rows(3).run()
    with pytest.raises(RunError, match=r"models\.mini changed\n"):
        await bench.run(mesh=MESH.replace("outcomes", "other"))


async def test_a_changed_input_is_named_and_refused(bench: Bench):
    await bench.rows(3).run()
    bench.rows(4)
    with pytest.raises(RunError, match="the input changed"):
        await bench.run()


async def test_what_was_added_to_and_removed_from_the_mesh_is_named_in_short(bench: Bench):
    await bench.rows(3).run()
    with pytest.raises(RunError, match=r"otherwise: models\.mini removed, models\.mega added\n"):
        await bench.run(mesh=MESH.replace("mini", "mega"))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (InputRules(Shape(Columns("ticket"))), "--id-column was id, is ticket"),
        (InputRules(Shape(Columns(prompt="text"))), "--prompt-column was prompt, is text"),
        (InputRules(longest_row_bytes=99), "--max-row was 10000000, is 99"),
    ],
)
async def test_another_way_of_reading_the_input_is_named_and_refused(bench: Bench, rules: InputRules, told: str):
    await bench.rows(3).run()
    with pytest.raises(RunError, match=told):
        await bench.run(rules=rules)


async def test_rows_that_failed_are_asked_again_with_their_errors_file_as_the_input(bench: Bench):
    async def fails(row: Row) -> Reply:
        return Failure(code=FailureCode.OVERLOADED, message="an outage") if row.row % 2 else answer("fine")

    await bench.rows(6).run(fails)
    bench.input, bench.out = bench.out / "errors.jsonl", bench.folder / "again"
    summary = await bench.run()
    assert summary["rows"]["answered"] == 3
    assert sorted(row.task.id for row in bench.engine.asked) == ["q1", "q3", "q5"]
    assert sorted((row.task.text, row.task.metadata["kind"]) for row in bench.engine.asked) == [
        ("question 1", 1),
        ("question 3", 0),
        ("question 5", 2),
    ]


async def test_a_run_shows_what_is_in_flight_while_its_first_rows_take_long(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.batch.run._SHOWN_EVERY_S", 0.01)
    seen, told = asyncio.Event(), []

    class Watching(Silent):
        def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
            told.append((tally.rows, in_flight))
            seen.set()

    async def waits(row: Row) -> Reply:
        await seen.wait()
        return answer("x")

    bench.watcher = Watching()
    await bench.rows(3).run(waits)
    assert told[0] == (0, 3)


async def test_an_input_that_has_grown_is_continued_when_accepted(bench: Bench):
    await bench.rows(3).run()
    await bench.rows(5).run(accept_changes=True)
    assert [row.row for row in bench.engine.asked] == [3, 4]
    assert len(bench.output()) == 5


async def test_fresh_starts_again(bench: Bench):
    await bench.rows(3).run()
    summary = await bench.rows(4).run(fresh=True)
    assert len(bench.engine.asked) == 4
    assert len(bench.output()) == 4
    assert summary["sessions"] == 1


async def test_a_second_driver_is_told_who_works_in_the_folder(bench: Bench):
    folder = RunFolder.claim(bench.out)
    try:
        with pytest.raises(RunError, match=f"process {os.getpid()} on .* works in this folder"):
            await bench.rows(1).run()
    finally:
        folder.release()


async def test_what_stands_behind_the_checkpoint_is_cut_off(bench: Bench):
    await bench.rows(10).run(limits=Limits(rows=5))
    with (bench.out / "output.jsonl").open("a") as file:
        file.write('{"custom_id": "half a li')
    await bench.run()
    assert sorted(line["custom_id"] for line in bench.output()) == sorted(f"q{n}" for n in range(10))


async def test_output_that_was_deleted_is_written_anew_from_the_journal(bench: Bench):
    await bench.rows(10).run()
    (bench.out / "output.jsonl").unlink()
    summary = await bench.run()
    assert len(bench.output()) == 10
    assert summary["rows"]["answered"] == 10


async def test_a_tally_left_behind_by_a_kill_is_made_up_for(bench: Bench):
    await bench.rows(10).run()
    ledger = Ledger(bench.out / "ledger.db")
    ledger.keep_tally(0, Tally().written())
    ledger.close()
    assert (await bench.run())["rows"]["answered"] == 10


async def test_a_full_disk_is_an_error_that_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("partsong_cluster.batch.results.os.fsync", full)
        with pytest.raises(RunError, match="the disk is full"):
            await bench.rows(100).run()
    await bench.run()
    assert sorted(line["partsong"]["row"] for line in bench.output()) == list(range(100))


async def test_a_slow_sink_slows_the_source(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.batch.publisher._MOST_WAITING_ROWS", 20)
    monkeypatch.setattr("partsong_cluster.batch.results.LocalResults.pause_s", 0.01)
    monkeypatch.setattr("partsong_cluster.batch.results.os.fsync", lambda fd: time.sleep(0.01))
    ahead = []

    async def watches(row: Row) -> Reply:
        written = (bench.out / "output.jsonl").read_bytes().count(b"\n")
        ahead.append(row.row - written)
        return answer("x")

    await bench.rows(300).run(watches, concurrency=4)
    assert max(ahead) <= 20 + 4 + 256  # those that may wait, those in flight, one step of the publisher


async def test_an_engine_that_cannot_go_on_ends_the_run_and_what_was_done_is_kept(bench: Bench):
    async def dies(row: Row) -> Reply:
        if row.row == 50:
            raise EngineError("ray-gone", "Ray has died", remedy="start it")
        return answer("x")

    with pytest.raises(EngineError, match="Ray has died"):
        await bench.rows(100).run(dies, concurrency=1)
    await bench.run()
    assert len(bench.engine.asked) == 50
    assert sorted(line["partsong"]["row"] for line in bench.output()) == list(range(100))


async def test_an_input_that_breaks_off_ends_the_run_after_the_rows_before_it(bench: Bench):
    bench.input = bench.folder / "in.jsonl.gz"
    bench.input.write_bytes(gzip.compress(b'{"prompt": "a"}\n' * 600)[:-4])
    with pytest.raises(InputError, match="reading broke off"):
        await bench.run()
    assert len(bench.output()) in (256, 512, 600)


async def test_parquet_output_holds_every_answer(bench: Bench):
    await bench.rows(10).run(output_format="parquet")
    table = pq.read_table(bench.out / "output.parquet").to_pylist()
    assert sorted(row["custom_id"] for row in table) == sorted(f"q{n}" for n in range(10))
    assert table[0]["text"].startswith("QUESTION")
    assert json.loads(table[0]["metadata"]) == {"kind": table[0]["row"] % 3}


async def test_one_model_can_answer_all_rows(bench: Bench):
    await bench.rows(3).run(use="mini")
    assert {row.task.use for row in bench.engine.asked} == {"mini"}


async def test_rows_finished_are_read_back_with_their_tasks(bench: Bench):
    await bench.rows(300).run()
    records = list(finished_rows(bench.out))
    assert sorted(record.row for record in records) == list(range(300))
    assert records[0].task is not None
    assert "kind" in records[0].task.metadata


async def test_a_file_shaped_as_openai_reads_it(bench: Bench):
    await bench.rows(1).run()
    [line] = bench.output()
    completion = line["response"]["body"]
    assert (line["response"]["status_code"], line["error"]) == (200, None)
    assert completion["object"] == "chat.completion"
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": "QUESTION 0", "refusal": None}
    assert completion["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert line["partsong"]["route"] == {"use": "mini", "reason": "rule 1: default"}


async def test_an_answer_with_half_a_surrogate_pair_is_written_as_an_escape(bench: Bench):
    async def odd(row: Row) -> Reply:
        return answer("half \ud83d").model_copy(update={"confidence": float("nan")})

    await bench.rows(1).run(odd)
    [line] = bench.output()
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "half \ud83d"
    assert line["partsong"]["confidence"] is None


async def test_failed_rows_can_be_run_again_from_the_errors_file(bench: Bench):
    async def fails(row: Row) -> Reply:
        return Failure(code=FailureCode.TIMEOUT, message="too slow")

    await bench.rows(3).run(fails)
    bench.input.write_text("".join(json.dumps(error["input"]) + "\n" for error in bench.errors()))
    await bench.run(fresh=True)
    assert [(line["custom_id"], line["partsong"]["metadata"]) for line in bench.output()] == [(f"q{n}", {"kind": n}) for n in range(3)]


async def test_a_journal_that_is_gone_is_not_taken_for_a_new_run(bench: Bench):
    await bench.rows(300).run()
    for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
        (bench.out / name).unlink(missing_ok=True)
    with pytest.raises(RunError, match="the journal of this run is gone"):
        await bench.run()


async def test_fields_that_change_nothing_are_counted(bench: Bench):
    body = {"messages": [{"role": "user", "content": "x"}], "presence_penalty": 1, "stream": True}
    bench.input.write_text("".join(json.dumps({"custom_id": f"r{n}", "body": body}) + "\n" for n in range(2)))
    assert (await bench.run())["unused_fields"] == {"presence_penalty": 2}
