"""Output on S3, on a real server: every row once, never half a file, whatever the server refuses meanwhile."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from batch_bench import Bench
from objects import ObjectStore
from partsong_cluster.batch.finished import manifest_of
from partsong_cluster.batch.folder import read_snapshot
from partsong_cluster.batch.remote_results import RemoteResults
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.stop import Outcome
from scripted_engine import answer, echo

from partsong.contracts import Failure, FailureCode, Reply, Row
from partsong.errors import RunError


class RemoteBench(Bench):
    """Runs whose results go to a URL."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        super().__init__(folder)
        self.store = store
        self.url = f"{store.bucket()}/team/run-1"

    async def run(self, *args: object, **order: object) -> dict:
        return await super().run(*args, **{"output": self.url, **order})  # type: ignore[arg-type]

    def lines(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.store.read(f"{self.url}/{name}").splitlines()]

    def names(self) -> list[str]:
        return self.store.names(self.url)

    def rows_seen(self) -> list[int]:
        return sorted(line["partsong"]["row"] for line in self.lines("output.jsonl"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteResults, "pause_s", 0.05)


@pytest.fixture
def bench(tmp_path: Path, s3: ObjectStore) -> Bench:
    return RemoteBench(tmp_path, s3)


async def some_fail(row: Row) -> Reply:
    return Failure(code=FailureCode.TIMEOUT, message="too slow") if row.row % 5 == 0 else answer("fine")


async def slowly(row: Row) -> Reply:
    await asyncio.sleep(0.005)
    return answer("x")


async def test_a_complete_run_leaves_two_files_and_its_summary_and_no_parts(bench: RemoteBench):
    summary = await bench.rows(500).run(some_fail)
    assert bench.names() == ["errors.jsonl", "mesh.json", "output.jsonl", "run.json", "summary.json"]
    assert sorted(line["custom_id"] for line in [*bench.lines("output.jsonl"), *bench.lines("errors.jsonl")]) == sorted(
        f"q{row}" for row in range(500)
    )
    assert json.loads(bench.store.read(f"{bench.url}/summary.json"))["rows"] == summary["rows"]


async def test_a_folder_that_all_nodes_share_is_made_where_it_is_not_there(bench: RemoteBench, tmp_path: Path):
    await bench.rows(20).run(output=(tmp_path / "new" / "answers").as_uri())
    answers = tmp_path / "new" / "answers"
    assert sorted(path.name for path in answers.rglob("*")) == ["errors.jsonl", "mesh.json", "output.jsonl", "run.json", "summary.json"]
    assert (manifest_of(answers).input, set(read_snapshot(answers)["models"])) == (str(bench.input), {"mini"})


async def test_until_the_run_is_complete_there_are_parts_and_no_file(bench: RemoteBench):
    async def stops_at_300(row: Row) -> Reply:
        if row.row == 300:
            bench.stop.ask(Outcome.INTERRUPTED)
        return await slowly(row)

    await bench.rows(600).run(stops_at_300)
    assert "output.jsonl" not in bench.names()
    parts = [name for name in bench.names() if name.startswith("output.jsonl.parts/")]
    assert len(parts) > 1
    await bench.run()
    assert bench.rows_seen() == list(range(600))
    assert not [name for name in bench.names() if ".parts/" in name]


async def test_a_larger_limit_goes_on_from_the_whole_file(bench: RemoteBench):
    await bench.rows(300).run(limits=Limits(rows=100))
    assert bench.rows_seen() == list(range(100))
    await bench.run()
    assert bench.rows_seen() == list(range(300))
    assert len(bench.engine.asked) == 200


async def test_a_server_that_refuses_for_a_while_is_waited_for_and_nothing_is_lost(bench: RemoteBench):
    async def shuts_at_100(row: Row) -> Reply:
        if row.row == 100:
            await asyncio.to_thread(bench.store.shut, 4)
        return await slowly(row)

    summary = await bench.rows(400).run(shuts_at_100)
    assert summary["outcome"] == "complete"
    assert bench.rows_seen() == list(range(400))
    assert len(bench.engine.asked) == 400
    said = "\n".join(bench.watcher.said)
    assert f"{bench.url}: it cannot be written: " in said
    assert "it is tried again until it is back" in said
    assert "it answers again; the run goes on." in said
    assert bench.store.turned_away() > 0


async def test_a_run_that_is_stopped_while_the_server_is_away_ends_with_what_to_do_and_goes_on_later(bench: RemoteBench):
    async def shuts_and_stops(row: Row) -> Reply:
        if row.row == 50:
            await asyncio.to_thread(bench.store.shut, 600)
            bench.stop.ask(Outcome.INTERRUPTED)
        return await slowly(row)

    with pytest.raises(RunError, match="place-away") as error:
        await bench.rows(200).run(shuts_and_stops, limits=Limits(grace_s=0.5))
    assert "nothing is lost" in error.value.problems[0].remedy
    asked = len(bench.engine.asked)
    bench.store.shut(0)
    await bench.run()
    assert asked + len(bench.engine.asked) == 200
    assert bench.rows_seen() == list(range(200))


async def test_parts_that_somebody_deleted_are_written_anew_from_the_journal(bench: RemoteBench):
    async def stops_at_100(row: Row) -> Reply:
        if row.row == 100:
            bench.stop.ask(Outcome.INTERRUPTED)
        return await slowly(row)

    await bench.rows(200).run(stops_at_100)
    [first, *_] = [name for name in bench.names() if name.startswith("output.jsonl.parts/")]
    bench.store.delete(f"{bench.url}/{first}")
    await bench.run()
    assert bench.rows_seen() == list(range(200))
    assert any("parts of output.jsonl are gone" in line for line in bench.watcher.said)


async def test_parts_that_disappear_during_the_run_are_noticed_when_it_ends(bench: RemoteBench):
    async def deletes(row: Row) -> Reply:
        if row.row == 150:
            while not (parts := [name for name in await asyncio.to_thread(bench.names) if name.startswith("output.jsonl.parts/")]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.to_thread(bench.store.delete, f"{bench.url}/{parts[0]}")
        return await slowly(row)

    await bench.rows(200).run(deletes)
    assert bench.rows_seen() == list(range(200))
    assert any("parts of output.jsonl are gone" in line for line in bench.watcher.said)


async def test_what_another_writer_left_behind_does_not_come_into_the_file(bench: RemoteBench):
    await bench.rows(100).run(limits=Limits(rows=40))
    content = bench.store.read(f"{bench.url}/output.jsonl")
    end = len(content) + 10
    bench.store.write(f"{bench.url}/output.jsonl.parts/{len(content):016}-{end:016}.jsonl", b"half a li\n")
    await bench.run()
    assert bench.rows_seen() == list(range(100))
    assert b"half a li" not in bench.store.read(f"{bench.url}/output.jsonl")


async def test_two_runs_do_not_share_a_place(bench: RemoteBench, tmp_path: Path):
    await bench.rows(10).run()
    bench.out = tmp_path / "elsewhere"
    with pytest.raises(RunError, match="the results of another run stand here"):
        await bench.run()
    await bench.run(fresh=True)
    assert bench.rows_seen() == list(range(10))


async def test_a_bucket_that_is_not_there_is_an_error_and_not_waited_for(bench: RemoteBench):
    with pytest.raises(RunError, match="output-refused"):
        await bench.rows(3).run(echo, output="s3://no-such-bucket-at-all/run")


async def test_input_on_s3_is_read_and_a_change_of_it_is_noticed(bench: RemoteBench):
    bucket = bench.url.rpartition("/team")[0]
    for part in ("a", "b"):
        content = "".join(json.dumps({"id": f"{part}{n}", "prompt": "hi"}) + "\n" for n in range(50))
        bench.store.write(f"{bucket}/in/{part}.jsonl", content.encode())
    bench.input = f"{bucket}/in/*.jsonl"  # type: ignore[assignment]
    await bench.run()
    assert bench.rows_seen() == list(range(100))
    bench.store.write(f"{bucket}/in/b.jsonl", b'{"id": "z", "prompt": "new"}\n')
    with pytest.raises(RunError, match="the input changed"):
        await bench.run()


async def test_compressed_input_on_s3_is_read(bench: RemoteBench):
    bucket = bench.url.rpartition("/team")[0]
    content = "".join(json.dumps({"id": f"q{n}", "prompt": "hi"}) + "\n" for n in range(50))
    bench.store.write(f"{bucket}/in.jsonl.gz", gzip.compress(content.encode()))
    bench.input = f"{bucket}/in.jsonl.gz"  # type: ignore[assignment]
    await bench.run()
    assert bench.rows_seen() == list(range(50))


async def test_input_that_cannot_be_read_for_a_while_is_waited_for(bench: RemoteBench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.batch.places._BUFFER_BYTES", 1024)
    bucket = bench.url.rpartition("/team")[0]
    content = "".join(json.dumps({"id": f"q{n}", "prompt": "x" * 9_000}) + "\n" for n in range(2000))
    bench.store.write(f"{bucket}/in.jsonl", content.encode())
    bench.input = f"{bucket}/in.jsonl"  # type: ignore[assignment]

    async def shuts(row: Row) -> Reply:
        if row.row == 300:
            await asyncio.to_thread(bench.store.shut, 6)
        return answer("x")

    await bench.run(shuts)
    assert bench.rows_seen() == list(range(2000))
    assert any("it cannot be read" in line for line in bench.watcher.said)


async def test_parquet_is_made_of_the_whole_file(bench: RemoteBench):
    import pyarrow.parquet as pq

    await bench.rows(50).run(output_format="parquet")
    table = pq.read_table(bench.out / "output.parquet")
    assert table.num_rows == 50
    assert bench.store.read(f"{bench.url}/output.parquet") == (bench.out / "output.parquet").read_bytes()


async def test_a_file_of_many_pieces_is_uploaded_in_parts(bench: RemoteBench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.batch.remote_results._PIECE_BYTES", 5 * 2**20)

    async def long(row: Row) -> Reply:
        return answer(f"{row.row}:" + "x" * 400_000)

    await bench.rows(40).run(long)
    assert bench.rows_seen() == list(range(40))


async def test_another_run_goes_on_from_the_store_in_any_folder(bench: RemoteBench, tmp_path: Path):
    """As a job's actor does that is started anew on another node: the run's name is known, its folder is gone."""

    async def stops_at_30(row: Row) -> Reply:
        if row.row == 30:
            bench.stop.ask(Outcome.INTERRUPTED)
        return await slowly(row)

    first = await bench.rows(80).run(stops_at_30, run="run-77")
    for path in bench.out.iterdir():
        if not path.name.startswith("journal.db"):
            path.unlink()
    await bench.run(run="run-77")
    assert len(bench.engine.asked) == 80 - first["rows"]["finished"]
    assert bench.rows_seen() == list(range(80))
    bench.rows(81)
    (bench.out / "run.json").unlink()
    with pytest.raises(RunError, match="the input changed"):
        await bench.run(run="run-77")
