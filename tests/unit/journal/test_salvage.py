"""Salvage: of a damaged journal all that can be read is kept, and nothing that is not what was written."""

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from partsong.errors import StoreError
from partsong.journal.salvage import problems, salvage, set_aside_if_damaged
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Published, RunInfo
from partsong.testing.store_conformance import attempt_record, call_record, feedback, row_record

ROWS = 300
INFO = RunInfo("run", "mesh", "input", 5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with closing(SqliteStore.open(path)) as store:
        store.begin(INFO)
        for row in range(ROWS):
            store.append([call_record(row), attempt_record(row, usd=0.5), row_record(row)])
        store.append([attempt_record(0, run="earlier", usd=7.0)])
        while store.forget("earlier"):
            pass
        store.claim("a")
        store.rate([feedback(3)])
        store.publish("run", Published(seq=ROWS, output_bytes=5))
    return path


def overwrite(path: Path, seed: int, pages: int) -> None:
    dice = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(pages):
        page = dice.randrange(1, len(content) // 4096) * 4096  # not the first, where the tables are named
        content[page : page + 4096] = dice.randbytes(4096)
    path.write_bytes(content)


def test_a_sound_journal_has_no_problems(path: Path) -> None:
    assert problems(path) == []
    assert set_aside_if_damaged(path) is None


def test_a_changed_letter_is_a_problem(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"to run/7/", b"to run/8/"))
    assert problems(path) == ["record 8 of calls is not what was written"]


def test_a_salvaged_journal_of_a_sound_one_holds_the_same(path: Path) -> None:
    kept = salvage(path)
    assert (kept.rows, kept.calls, kept.dropped) == (ROWS, 2 * ROWS, 0)
    with closing(SqliteStore.open(path)) as store:
        assert [record for _, record in store.rows("run", 0, ROWS)] == [row_record(row) for row in range(ROWS)]
        assert store.run("run") == INFO
        assert store.published("run") == Published()
        assert store.spent("run", 0.0) == {"m": ROWS / 2}
        assert store.claim("a").number == 2
        assert store.ratings("run", 0, ROWS) == [feedback(3)]
        assert store.spent(None, 0.0) == {"m": ROWS / 2 + 7.0}


def test_a_changed_record_is_dropped_and_the_others_are_kept(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"to run/7/", b"to run/8/"))
    kept = salvage(path)
    assert (kept.rows, kept.calls, kept.dropped) == (ROWS, 2 * ROWS - 1, 1)
    assert problems(path) == []


@pytest.mark.parametrize("seed", range(20))
def test_what_the_damaged_pages_do_not_hold_is_kept_and_true(seed: int, path: Path) -> None:
    overwrite(path, seed, pages=3)
    kept = salvage(path)
    assert problems(path) == []
    assert kept.rows + kept.calls > ROWS // 2
    with closing(SqliteStore.open(path)) as store:
        rows = [record for _, record in store.rows("run", 0, ROWS)]
        assert rows == [row_record(record.row) for record in rows]
        assert len(rows) == kept.rows
        assert store.run("run") is not None


@pytest.mark.parametrize("lost_bytes", [4096, 50_000])
def test_of_a_file_cut_short_the_rest_is_kept(lost_bytes: int, path: Path) -> None:
    os.truncate(path, path.stat().st_size - lost_bytes)
    assert problems(path)
    kept = salvage(path)
    assert kept.rows + kept.calls > ROWS
    assert problems(path) == []


def test_the_damaged_file_is_kept_under_a_free_name(path: Path) -> None:
    before = path.read_bytes()
    assert salvage(path).damaged.read_bytes() == before
    assert salvage(path).damaged.name == "journal.db.damaged-2"
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "journal.db",
        "journal.db.damaged-1",
        "journal.db.damaged-2",
        "journal.db.owner",
    ]


def test_a_file_of_which_nothing_can_be_read_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"\xa5" * 50_000)
    with pytest.raises(StoreError):
        salvage(path)
    assert path.read_bytes() == b"\xa5" * 50_000
    assert set_aside_if_damaged(path) == path.with_name("journal.db.damaged-1")


def test_a_journal_at_work_is_not_salvaged(path: Path) -> None:
    with closing(SqliteStore.open(path)), pytest.raises(StoreError) as caught:
        salvage(path)
    assert caught.value.code == "store-owned"


def test_the_database_of_another_program_is_not_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "recipes.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table recipes (name text)")
    for act in (salvage, set_aside_if_damaged):
        with pytest.raises(StoreError) as caught:
            act(path)
        assert caught.value.code == "store-foreign"


def test_there_is_nothing_to_salvage_where_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        salvage(tmp_path / "journal.db")
    assert caught.value.code == "store-missing"
