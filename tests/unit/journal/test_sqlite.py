"""The SQLite store: it conforms, and says clearly what is wrong with a file or a disk."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from partsong.contracts import Completion, Timing
from partsong.contracts.epoch import Epoch
from partsong.errors import StoreError
from partsong.journal.address import open_store
from partsong.journal.schema import SCHEMA_VERSION
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Published, Store
from partsong.testing.store_conformance import StoreConformance, attempt_record, call_record, feedback, row_record

HOLD_OPEN = """
import sys, time
from pathlib import Path
from partsong.journal.sqlite import SqliteStore
store = SqliteStore.open(Path(sys.argv[1]))
print("open", flush=True)
time.sleep(60)
"""


class TestSqliteStore(StoreConformance):
    def open(self, folder: Path) -> Store:
        return SqliteStore.open(folder / "journal.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the journal open for writing."""
    with subprocess.Popen([sys.executable, "-c", HOLD_OPEN, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def refusal(path: Path, *, read_only: bool = False) -> StoreError:
    with pytest.raises(StoreError) as caught:
        SqliteStore.open(path, read_only=read_only)
    return caught.value


def test_a_second_writer_is_told_who_the_first_is(path: Path, holder: subprocess.Popen[str]) -> None:
    error = refusal(path)
    assert error.code == "store-owned"
    assert f"process {holder.pid} on {os.uname().nodename}" in str(error)


def test_a_second_writer_in_the_same_process_is_refused_too(path: Path) -> None:
    with closing(SqliteStore.open(path)):
        assert refusal(path).code == "store-owned"


def test_others_may_read_while_one_writes(path: Path) -> None:
    with closing(SqliteStore.open(path)) as writer, closing(SqliteStore.open(path, read_only=True)) as reader:
        writer.append([row_record(1)])
        assert reader.done("run", 0, 9) == {1}


def test_a_killed_writer_leaves_the_journal_to_the_next(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    SqliteStore.open(path).close()


def test_a_closed_journal_is_free_to_open_again(path: Path) -> None:
    SqliteStore.open(path).close()
    SqliteStore.open(path).close()


def test_a_reader_cannot_write(path: Path) -> None:
    SqliteStore.open(path).close()
    with closing(SqliteStore.open(path, read_only=True)) as store, pytest.raises(StoreError) as caught:
        store.append([row_record(1)])
    assert caught.value.code == "store-read-only"


def test_reading_a_journal_that_is_not_there_makes_none(path: Path) -> None:
    assert refusal(path, read_only=True).code == "store-missing"
    assert not path.exists()


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_text("These are my notes.\n" * 100)
    assert refusal(path).code == "store-not-a-database"
    assert path.read_text().startswith("These are my notes.")


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table recipes (name text)")
    assert refusal(path).code == "store-foreign"


def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    SqliteStore.open(path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    assert refusal(path).code == "store-newer"
    assert refusal(path, read_only=True).code == "store-newer"


PAID = Completion(text="for money", model="m-1", timing=Timing(total_s=0.5), cost_usd=0.25)


def made_by_version(version: int, path: Path) -> None:
    """A journal as version 1, 2, 3, 4 or 5 laid it out."""
    with closing(SqliteStore.open(path)) as store:
        paid = call_record(1, "a", reply=PAID).model_copy(update={"at_s": 100.0})
        store.append([call_record(1, "b"), paid, row_record(2)])
        store.rate([feedback(2)])
    with closing(sqlite3.connect(path)) as old:
        old.executescript("alter table feedback drop column edited; pragma user_version = 5;")
        if version < 5:
            old.executescript("drop table feedback; pragma user_version = 4;")
        if version < 4:
            old.executescript("drop table epochs; pragma user_version = 3;")
    if version >= 3:
        return
    key = {1: "run, row, step", 2: "run, row, step, ask_hash"}[version]
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            f"""
            create table old_calls (
                run text not null, row integer not null, step text not null, ask_hash blob not null, answered integer not null,
                record blob not null, unique ({key})
            ) strict;
            insert into old_calls select run, row, step, ask_hash, answered, record from calls order by rowid;
            alter table rows drop column crc;
            drop table calls;
            alter table old_calls rename to calls;
            create index calls_by_ask on calls (ask_hash) where answered = 1;
            drop table attempts;
            drop table forgotten;
            pragma user_version = {version};
            """
        )


@pytest.mark.parametrize("version", [4, 5])
def test_feedback_of_an_older_version_is_read_and_an_edit_is_taken_once_it_is_brought_up(version: int, path: Path) -> None:
    made_by_version(version, path)
    with closing(SqliteStore.open(path, read_only=True)) as store:
        assert store.ratings("run", 0, 9) == ([feedback(2)] if version == 5 else [])
    edit = feedback(2, at_s=2.0).model_copy(update={"score": None, "edited": "mended"})
    with closing(SqliteStore.open(path)) as store:
        store.rate([edit])
        assert store.ratings("run", 0, 9) == [edit.model_copy(update={"score": 1.0 if version == 5 else None})]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_a_journal_of_an_older_version_keeps_its_records_and_takes_a_second_call_at_a_step(version: int, path: Path) -> None:
    made_by_version(version, path)
    held = [call_record(1, "b"), call_record(1, "a", reply=PAID).model_copy(update={"at_s": 100.0})]
    asked_otherwise = call_record(1, "a", asked="otherwise")
    with closing(SqliteStore.open(path)) as store:
        assert store.calls("run", 1, 1) == held
        store.append([asked_otherwise])
    with closing(SqliteStore.open(path)) as store:
        assert store.calls("run", 1, 1) == [*held, asked_otherwise]
        assert [row for _, row in store.rows("run", 0, 9)] == [row_record(2)]
        assert store.cached([held[0].ask_hash]) == {held[0].ask_hash: held[0].reply}


@pytest.mark.parametrize("version", [1, 2])
def test_a_journal_of_an_older_version_knows_what_its_calls_have_cost_once_it_is_brought_up(version: int, path: Path) -> None:
    made_by_version(version, path)
    with closing(SqliteStore.open(path, read_only=True)) as store, pytest.raises(StoreError) as caught:
        store.spent("run", 0.0)
    assert caught.value.code == "store-older"
    with closing(SqliteStore.open(path)) as store:
        store.append([attempt_record(4, usd=1.0, at_s=101.0)])
        assert store.spent("run", 0.0) == {"m": 1.25}
        assert store.spent(None, 100.5) == {"m": 1.0}


def test_a_record_of_an_older_version_that_cannot_be_read_does_not_keep_the_others_from_being_brought_up(path: Path) -> None:
    made_by_version(2, path)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update calls set record = x'01ff' where step = 'b'")
    with closing(SqliteStore.open(path)) as store:
        assert store.spent("run", 0.0) == {"m": 0.25}
        with pytest.raises(StoreError) as caught:
            store.calls("run", 0, 9)
    assert caught.value.code == "store-bad-record"


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_journal_of_an_older_version_can_be_read_without_being_changed(version: int, path: Path) -> None:
    made_by_version(version, path)
    with closing(SqliteStore.open(path, read_only=True)) as store:
        assert [call.step for call in store.calls("run", 1, 1)] == ["b", "a"]
        assert not store.holds(Epoch(name="a", number=1))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_journal_of_an_older_version_counts_epochs_once_it_is_brought_up(version: int, path: Path) -> None:
    made_by_version(version, path)
    with closing(SqliteStore.open(path)) as store:
        epoch = store.claim("a")
        store.append([call_record(3)], [epoch])
        assert store.holds(epoch)


def test_a_damaged_page_is_an_error_that_says_so(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(row) for row in range(500)])
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 8 :] = b"\xa5" * (len(damaged) - 4096 * 8)
    path.write_bytes(damaged)
    with closing(SqliteStore.open(path)) as store, pytest.raises(StoreError) as caught:
        store.rows("run", 0, 1000)
    assert caught.value.code == "store-corrupt"


def test_a_record_that_cannot_be_read_is_named_as_such(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(1)])
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update rows set record = x'01ff', crc = null")
    with closing(SqliteStore.open(path)) as store, pytest.raises(StoreError) as caught:
        store.rows("run", 0, 9)
    assert caught.value.code == "store-bad-record"


def test_a_record_that_is_not_what_was_written_is_no_answer(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(1), call_record(2)])
    path.write_bytes(path.read_bytes().replace(b"Because.", b"Becausf.").replace(b"to run/2", b"to rum/2"))
    with closing(SqliteStore.open(path)) as store:
        for read in (lambda: store.rows("run", 0, 9), lambda: store.calls("run", 0, 9), lambda: store.cached([call_record(2).ask_hash])):
            with pytest.raises(StoreError) as caught:
                read()
            assert caught.value.code == "store-corrupt"


def test_a_file_shorter_than_it_says_is_damaged(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(row) for row in range(500)])
    os.truncate(path, path.stat().st_size - 5000)
    assert refusal(path).code == "store-corrupt"


@pytest.mark.parametrize("lost_bytes", [1, 24, 3000, 4120, 9000])
def test_of_a_log_cut_short_whole_transactions_are_left(lost_bytes: int, path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        for row in range(20):
            store.append([row_record(row), call_record(row)])
        log = path.with_name("journal.db-wal").read_bytes()
        main = path.read_bytes()
    left = path.parent / "left"
    left.mkdir()
    (left / "journal.db").write_bytes(main)
    (left / "journal.db-wal").write_bytes(log[:-lost_bytes])
    with closing(SqliteStore.open(left / "journal.db")) as store:
        rows = [record.row for _, record in store.rows("run", 0, 99)]
        assert rows == list(range(len(rows)))
        assert 15 <= len(rows) < 20
        store.append([row_record(row) for row in range(20)])
        assert store.finished("run", 20) == 20


@pytest.mark.parametrize("what", ["deleted", "replaced", "folder deleted"])
def test_a_journal_that_is_deleted_while_it_is_written_acknowledges_nothing_more(what: str, tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.db"
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(1)])
        if what == "folder deleted":
            shutil.rmtree(path.parent)
        else:
            path.rename(tmp_path / "aside.db")
        if what == "replaced":
            path.write_bytes((tmp_path / "aside.db").read_bytes())
        with pytest.raises(StoreError) as caught:
            store.append([row_record(2)])
        assert caught.value.code == "store-gone"


def test_a_journal_that_is_put_back_is_written_on(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(1)])
        path.rename(path.with_name("aside.db"))
        with pytest.raises(StoreError):
            store.append([row_record(2)])
        path.with_name("aside.db").rename(path)
        store.append([row_record(2)])
        assert store.done("run", 0, 9) == {1, 2}


def test_a_full_disk_loses_nothing_written_and_writes_again_when_there_is_room(path: Path) -> None:
    SqliteStore.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    with closing(SqliteStore(connection, path)) as store:
        store.append([row_record(1)])
        connection.execute("pragma max_page_count = 12")
        with pytest.raises(StoreError) as caught:
            store.append([row_record(row) for row in range(2, 1000)])
        assert caught.value.code == "store-full"
        assert store.done("run", 0, 1000) == {1}
        connection.execute("pragma max_page_count = 100000")
        store.append([row_record(2)])
        assert store.done("run", 0, 1000) == {1, 2}


def test_a_file_that_may_not_grow_is_an_error_of_the_disk(path: Path) -> None:
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(StoreError) as caught:
                store.append([row_record(row) for row in range(2, 2000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert caught.value.code in {"store-io", "store-full"}
        store.append([row_record(2)])
        assert store.done("run", 0, 2000) == {1, 2}


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    assert refusal(tmp_path / "folder" / "journal.db").code == "store-cannot-open"


def test_a_journal_that_is_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    assert refusal(tmp_path / "journal.db").code == "store-cannot-open"


def test_a_place_where_nobody_may_write_is_a_clear_error() -> None:
    assert refusal(Path("/proc/journal.db")).code == "store-cannot-open"


def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore.open(path)
    store.close()
    with pytest.raises(StoreError) as caught:
        store.done("run", 0, 1)
    assert caught.value.code == "store-closed"


def test_a_checkpoint_of_an_unknown_run_is_an_error(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store, pytest.raises(StoreError) as caught:
        store.publish("nobody", Published(seq=1))
    assert caught.value.code == "store-unknown-run"


def test_a_path_with_odd_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "what? 100% #1.db"
    SqliteStore.open(path).close()
    assert path.is_file()


def test_a_relative_address_starts_at_the_folder(tmp_path: Path) -> None:
    open_store("sqlite:///runs/partsong.db", tmp_path).close()
    assert (tmp_path / "runs" / "partsong.db").is_file()


def test_an_absolute_address_is_taken_as_it_is(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/partsong.db", Path("/nowhere")).close()
    assert (tmp_path / "partsong.db").is_file()


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "partsong.db", "sqlite:///", ""])
def test_an_unknown_address_names_what_there_is_and_no_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sqlite:///") as caught:
        open_store(url, tmp_path)
    assert caught.value.code == "store-scheme"
    assert "secret" not in str(caught.value)


def test_large_rows_are_handed_out_few_at_a_time_and_none_is_left_out(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.append([row_record(row).model_copy(update={"raw": "x" * 1_500_000}) for row in range(7)])
        seq, steps = 0, []
        while found := store.rows("run", seq, 256):
            steps.append([record.row for _, record in found])
            seq = found[-1][0]
    assert steps == [[0, 1, 2], [3, 4, 5], [6]]
