"""A run folder that a fault has been at: a repair that says what it did, or an error that says what to do; every row once in the end."""

import asyncio
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from batch_bench import Bench
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.batch.folder import Manifest
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.run import Limits
from scripted_engine import answer, echo

from partsong.contracts import Failure, FailureCode, Reply, Row
from partsong.errors import RunError, StoreError
from partsong.journal.salvage import problems, salvage
from partsong.journal.sqlite import SqliteStore

HALF, ALL = 300, 600


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path).rows(ALL)


async def some_fail(row: Row) -> Reply:
    return Failure(code=FailureCode.TIMEOUT, message="too slow") if row.row % 5 == 0 else answer("fine")


async def half_done(bench: Bench) -> None:
    await bench.run(some_fail, limits=Limits(rows=HALF))


async def every_row_once(bench: Bench, *, asked: int) -> None:
    """Run the same command again: every row is in one of the two files, once, and no more is asked than should be."""
    summary = await bench.run(some_fail)
    check_every_row_once(bench)
    assert len(bench.engine.asked) == asked
    assert (summary["rows"]["finished"], summary["rows"]["failed"]) == (ALL, ALL // 5)


def check_every_row_once(bench: Bench) -> None:
    assert sorted(line["custom_id"] for line in [*bench.output(), *bench.errors()]) == sorted(f"q{row}" for row in range(ALL))


def told(bench: Bench) -> str:
    return "\n".join(bench.watcher.said)


def cut(lost_bytes: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, path.stat().st_size - lost_bytes)


def torn_tail(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"id": "half a li')


def garbage_behind(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * 5000 + b"\xff\n" + b'{"custom_id": "q1"}\n')


def overwritten_end(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(b"\0" * 10)


MENDED = {
    "torn last line": (torn_tail, "a tail was not yet vouched for; it is written again."),
    "garbage behind": (garbage_behind, "a tail was not yet vouched for; it is written again."),
    "cut short": (cut(7), "was cut short; 300 rows were written anew from the journal."),
    "cut by half": (cut(9_000), "was cut short; 300 rows were written anew from the journal."),
    "emptied": (lambda path: path.write_bytes(b""), "was deleted or emptied; 300 rows were written anew from the journal."),
    "deleted": (Path.unlink, "was deleted or emptied; 300 rows were written anew from the journal."),
    "last line overwritten": (overwritten_end, "was changed; 300 rows were written anew from the journal."),
}


@pytest.mark.parametrize("name", ["output.jsonl", "errors.jsonl"])
@pytest.mark.parametrize("fault", MENDED)
async def test_an_output_file_is_brought_back_to_what_the_journal_says(fault: str, name: str, bench: Bench):
    await half_done(bench)
    spoil, said = MENDED[fault]
    spoil(bench.out / name)
    await every_row_once(bench, asked=ALL - HALF)
    assert f"{name} {said}" in told(bench) or f"{name}: {said}" in told(bench)
    assert len([line for line in bench.watcher.said if not line.startswith("Row ")]) == 1


async def test_an_untouched_folder_needs_no_mending(bench: Bench):
    await half_done(bench)
    bench.watcher.said.clear()
    await bench.run(echo)
    assert not bench.watcher.said


@pytest.mark.parametrize("what", ["deleted", "replaced", "emptied", "both deleted"])
async def test_output_that_disappears_during_a_run_is_written_anew(what: str, bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("partsong_cluster.batch.results.LocalResults.pause_s", 0.001)
    output, errors = bench.out / "output.jsonl", bench.out / "errors.jsonl"

    async def spoils(row: Row) -> Reply:
        if row.row == HALF:
            while not output.stat().st_size:  # noqa: ASYNC110 - a file is no event
                await asyncio.sleep(0.001)
            if what == "emptied":
                os.truncate(output, 0)
            else:
                output.unlink()
            if what == "replaced":
                output.write_text("not yours\n")
            if what == "both deleted":
                errors.unlink()
        return await some_fail(row)

    await bench.run(spoils)
    check_every_row_once(bench)
    assert "were written anew from the journal" in told(bench)


async def test_a_folder_deleted_during_a_run_ends_it_with_an_error(bench: Bench):
    async def deletes(row: Row) -> Reply:
        if row.row == HALF:
            shutil.rmtree(bench.out)
        return answer("x")

    with pytest.raises((RunError, StoreError)) as caught:
        await bench.run(deletes)
    assert caught.value.code in {"folder-gone", "store-gone"}
    assert not bench.out.exists()


async def test_a_folder_moved_during_a_run_ends_it_and_put_back_goes_on(bench: Bench):
    async def moves(row: Row) -> Reply:
        if row.row == HALF:
            bench.out.rename(bench.folder / "elsewhere")
        return await some_fail(row)

    with pytest.raises((RunError, StoreError)) as caught:
        await bench.run(moves)
    assert caught.value.code in {"folder-gone", "store-gone"}
    held = len(finished(bench.folder / "elsewhere" / "journal.db"))
    assert held > 200
    (bench.folder / "elsewhere").rename(bench.out)
    await every_row_once(bench, asked=ALL - held)


def finished(path: Path) -> list[int]:
    with closing(SqliteStore.open(path, read_only=True)) as store:
        run = store._db.execute("select run from runs").fetchone()[0]  # the run's name is nobody's business but its folder's
        return sorted(store.done(run, 0, ALL))


async def test_a_journal_put_back_from_an_older_copy_has_the_missing_rows_asked_again(bench: Bench):
    await bench.run(some_fail, limits=Limits(rows=100))
    shutil.copy(bench.out / "journal.db", bench.folder / "copy.db")
    await half_done(bench)
    shutil.copy(bench.folder / "copy.db", bench.out / "journal.db")
    await every_row_once(bench, asked=ALL - 100)
    assert "of 300 rows that were done the journal holds 100" in told(bench)
    assert "the 200 rows that are missing are asked again" in told(bench)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"\0" * 20_000),
        lambda path: path.write_bytes(b"no database at all " * 900),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + os.urandom(len(path.read_bytes()) - 4096)),
        lambda path: path.write_bytes(b""),
        Path.unlink,
    ],
    ids=["zeros", "foreign", "cut short", "pages overwritten", "emptied", "deleted"],
)
async def test_a_ledger_that_is_damaged_or_gone_is_made_anew_from_journal_and_input(spoil: Callable[[Path], None], bench: Bench):
    await half_done(bench)
    path = bench.out / "ledger.db"
    spoil(path)
    await every_row_once(bench, asked=ALL - HALF)
    damaged = path.exists() and spoil is not Path.unlink
    assert ("ledger.db: it was damaged; it is made anew" in told(bench)) == (damaged and "emptied" not in os.environ["PYTEST_CURRENT_TEST"])


async def test_a_ledger_damaged_where_it_is_not_looked_at_first_is_thrown_away_when_it_is_found(bench: Bench):
    await half_done(bench)
    path = bench.out / "ledger.db"
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = random.Random(1).randbytes(len(content) - 4096 * 3)
    path.write_bytes(content)
    with suppress(RunError):
        await bench.run(some_fail)
    await every_row_once(bench, asked=ALL - HALF if bench.engine.asked == [] else ALL - len(finished(bench.out / "journal.db")))


@pytest.mark.parametrize("torn", ["", "{", '{"version": 1, "run": "abc"', "\0" * 400, "gone"])
async def test_a_torn_manifest_is_written_anew_from_the_ledgers_copy(torn: str, bench: Bench):
    await half_done(bench)
    path = bench.out / "run.json"
    whole = path.read_text()
    path.unlink() if torn == "gone" else path.write_text(torn)
    await every_row_once(bench, asked=ALL - HALF)
    assert path.read_text() == whole
    assert "run.json or mesh.json could not be read; both are written anew" in told(bench)


async def test_a_torn_manifest_without_a_copy_is_an_error_and_fresh_starts_again(bench: Bench):
    await half_done(bench)
    (bench.out / "run.json").write_text("{")
    (bench.out / "ledger.db").unlink()
    with pytest.raises(RunError) as caught:
        await bench.run()
    assert caught.value.code == "run-manifest"
    assert "--fresh" in str(caught.value)
    summary = await bench.run(fresh=True)
    assert summary["rows"]["finished"] == ALL
    Manifest.model_validate_json((bench.out / "run.json").read_bytes())


@pytest.mark.parametrize(("name", "code"), [("run.json", "run-manifest"), ("mesh.json", "run-snapshot")])
async def test_what_reads_a_folder_with_a_torn_file_says_so(name: str, code: str, bench: Bench):
    await half_done(bench)
    (bench.out / name).write_text("{")
    with pytest.raises(RunError) as caught:
        list(finished_rows(bench.out))
    assert caught.value.code == code
    assert "go on with the run" in str(caught.value)


async def test_a_torn_snapshot_of_the_mesh_is_written_anew(bench: Bench):
    await half_done(bench)
    path = bench.out / "mesh.json"
    whole = path.read_text()
    path.write_text(whole[:20])
    await every_row_once(bench, asked=ALL - HALF)
    assert path.read_text() == whole


async def test_a_journal_that_is_gone_with_the_ledger_is_not_taken_for_a_new_run(bench: Bench):
    await half_done(bench)
    for name in ("journal.db", "ledger.db"):
        (bench.out / name).unlink()
    with pytest.raises(RunError) as caught:
        await bench.run()
    assert caught.value.code == "journal-gone"
    assert len(bench.output()) == HALF * 4 // 5


def damage(path: Path) -> None:
    """Overwrite some pages in the middle of the journal."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 5 * 4096] = random.Random(1).randbytes(5 * 4096)
    path.write_bytes(content)


async def test_fresh_starts_again_over_a_damaged_journal_and_keeps_it_aside(bench: Bench):
    await half_done(bench)
    damage(bench.out / "journal.db")
    summary = await bench.run(fresh=True)
    assert summary["rows"]["finished"] == ALL
    assert "journal.db: it was damaged; it is kept as journal.db.damaged-1." in told(bench)


@pytest.mark.parametrize("spoil", [damage, cut(100_000)], ids=["pages overwritten", "cut short"])
async def test_a_damaged_journal_is_an_error_and_salvaged_the_run_goes_on(spoil: Callable[[Path], None], bench: Bench):
    await bench.run(some_fail)
    path = bench.out / "journal.db"
    spoil(path)
    assert problems(path)
    (bench.out / "output.jsonl").unlink()  # so that every row is read
    with pytest.raises(StoreError) as caught:
        await bench.run(some_fail)
    assert caught.value.code == "store-corrupt"
    assert "salvage" in str(caught.value)
    salvaged = salvage(path)
    assert not problems(path)
    assert salvaged.damaged == bench.out / "journal.db.damaged-1"
    assert ALL // 3 < salvaged.rows < ALL
    await every_row_once(bench, asked=ALL - salvaged.rows)
    await every_row_once(bench, asked=0)


async def test_a_clock_that_jumps_by_days_loses_no_row_and_ends_no_session(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    real, dice = time.time, random.Random(1)
    monkeypatch.setattr(time, "time", lambda: real() + dice.choice([-1, 0, 1]) * 86_400)
    await bench.run(some_fail, limits=Limits(rows=HALF, deadline_s=60.0))
    await every_row_once(bench, asked=ALL - HALF)
    summary = json.loads((bench.out / "summary.json").read_bytes())
    assert summary["sessions"] == 2
    assert 0 < summary["duration_s"] < 60


def test_a_ledger_keeps_a_copy_of_the_manifest(tmp_path: Path):
    for manifest in (None, {"run": "a"}, {"run": "b"}):
        ledger = Ledger(tmp_path / "ledger.db")
        if manifest:
            ledger.keep_manifest(manifest)
        assert ledger.manifest() == manifest
        ledger.close()
