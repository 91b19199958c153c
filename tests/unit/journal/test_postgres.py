"""The PostgreSQL store: does what any store must, tells what is wrong, and comes back when the server does."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from postgres import Postgres, postgres

from partsong.errors import FencedError, StoreError
from partsong.journal.address import open_store
from partsong.journal.away import away_notice
from partsong.journal.journal import Journal
from partsong.journal.postgres import PostgresStore
from partsong.journal.postgres_schema import REVISIONS
from partsong.journal.store import Store
from partsong.testing.store_conformance import StoreConformance, attempt_record, call_record, row_record

__all__ = ["postgres"]


class TestPostgresStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        self.url = postgres.database()

    def open(self, folder: Path) -> Store:
        return PostgresStore.open(self.url)


def refusal(url: str, **options: bool) -> StoreError:
    with pytest.raises(StoreError) as caught:
        open_store(url, Path(), **options).close()
    return caught.value


def read(url: str) -> tuple[list[int], list[int]]:
    """Rows and calls of the run that a store holds."""
    with closing(PostgresStore.open(url, read_only=True)) as store:
        return [row.row for _, row in store.rows("run", 0, 10_000)], [call.row for call in store.calls("run", 0, 10_000)]


def noting(told: list[StoreError]) -> tuple[Callable[[StoreError], None], asyncio.Event]:
    """What a journal may tell from its thread, kept; and an event that is set when it has."""
    loop, away = asyncio.get_running_loop(), asyncio.Event()

    def note(error: StoreError) -> None:
        told.append(error)
        loop.call_soon_threadsafe(away.set)

    return note, away


def test_a_wrong_password_is_told_and_not_waited_for(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong")
    error = refusal(postgres.url("postgres"))
    assert error.code == "store-refused"
    assert "does not let partsong in" in str(error)
    assert "wrong" not in str(error)


def test_a_database_that_is_not_there_is_told(postgres: Postgres) -> None:
    error = refusal(postgres.url("nowhere"))
    assert error.code == "store-missing"
    assert "createdb nowhere" in str(error)


def test_the_password_is_taken_from_the_variable_that_the_address_names(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.database()
    monkeypatch.setenv("MY_STORE", postgres.password)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    open_store(f"{url}?password_env=MY_STORE", Path()).close()
    open_store(url.replace("postgresql", "postgresql+asyncpg") + "?password_env=MY_STORE", Path()).close()
    monkeypatch.delenv("MY_STORE")
    assert refusal(f"{url}?password_env=MY_STORE").code == "missing-secret"


@pytest.mark.parametrize("url", ["postgresql://me:canary-1@host/db", "postgresql://host/db?password=canary-1"])
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    error = refusal(url)
    assert error.code == "literal-secret"
    assert "canary" not in str(error)


def test_an_address_without_a_database_is_refused() -> None:
    assert refusal("postgresql://host").code == "store-scheme"


def test_an_address_with_settings_that_make_no_sense_is_refused(postgres: Postgres) -> None:
    assert refusal(postgres.url("postgres") + "?sslmode=perhaps").code == "store-scheme"


def test_a_database_of_another_program_is_left_alone(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.sql(url, "create table runs (kilometres integer)")
    assert refusal(url).code == "store-foreign"


def test_a_journal_of_a_newer_schema_is_refused(postgres: Postgres) -> None:
    url = postgres.database()
    PostgresStore.open(url).close()
    postgres.sql(url, "update partsong_schema set version_num = '9999'")
    assert refusal(url).code == "store-newer"
    assert refusal(url, read_only=True).code == "store-newer"


def test_reading_makes_no_tables_and_changes_nothing(postgres: Postgres) -> None:
    url = postgres.database()
    assert refusal(url, read_only=True).code == "store-missing"
    with closing(PostgresStore.open(url)) as store:
        store.append([row_record(1)])
    with closing(PostgresStore.open(url, read_only=True)) as store:
        assert store.row("run", 1) == row_record(1)
        with pytest.raises(StoreError) as caught:
            store.append([row_record(2)])
    assert caught.value.code == "store-read-only"


def test_several_that_open_an_empty_database_at_once_all_can(postgres: Postgres) -> None:
    url = postgres.database()
    with ThreadPoolExecutor(4) as threads:
        for store in threads.map(PostgresStore.open, [url] * 4):
            store.close()
    assert postgres.sql(url, "select count(*) from partsong_schema") == "1\n"


def test_the_revisions_are_those_that_the_migrations_are_of() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    import partsong.journal.postgres_schema as schema

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    found = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert list(REVISIONS) == found[::-1]


def test_a_changed_record_is_told_and_not_believed(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(PostgresStore.open(url)) as store:
        store.append([row_record(1)])
        postgres.sql(url, "update rows set record = set_byte(record, 20, 7)")
        with pytest.raises(StoreError) as caught:
            store.row("run", 1)
    assert caught.value.code == "store-corrupt"


def test_large_rows_are_handed_out_few_at_a_time(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(PostgresStore.open(url)) as store:
        for row in range(8):
            large = row_record(row)
            task = large.task.model_copy(update={"metadata": {"much": "x" * 1_500_000}})
            store.append([large.model_copy(update={"task": task})])
        first = store.rows("run", 0, 100)
        assert 1 <= len(first) < 8
        assert len(first) + len(store.rows("run", first[-1][0], 100)) + 2 >= 8


def test_an_append_that_is_repeated_counts_an_attempt_once_and_two_of_the_same_are_two(postgres: Postgres) -> None:
    attempts = [attempt_record(1, usd=0.5, at_s=7.0), attempt_record(1, usd=0.5, at_s=7.0)]
    with closing(PostgresStore.open(postgres.database())) as store:
        store.append(attempts)
        store.append([call_record(9), *attempts])
        assert store.spent("run", 0.0) == {"m": 1.0}


def test_rows_get_their_places_in_the_order_of_commits_whoever_writes(postgres: Postgres) -> None:
    url = postgres.database()
    writers, rows_each = 4, 60

    def write(writer: int) -> None:
        with closing(PostgresStore.open(url)) as store:
            for n in range(rows_each):
                row = writer * rows_each + n
                store.append([call_record(row), row_record(row)])

    seen: list[int] = []
    with ThreadPoolExecutor(writers) as threads, closing(PostgresStore.open(url)) as reader:
        writing = [threads.submit(write, writer) for writer in range(writers)]
        after = 0
        while len(seen) < writers * rows_each:
            found = reader.rows("run", after, 7)
            seen += [row.row for _, row in found]
            after = found[-1][0] if found else after
            for failed in (one for one in writing if one.done()):
                failed.result()
    assert sorted(seen) == list(range(writers * rows_each))


def test_a_claim_waits_for_what_is_being_appended_under_the_epoch_before(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(PostgresStore.open(url)) as old, closing(PostgresStore.open(url)) as new, ThreadPoolExecutor(1) as threads:
        epoch = old.claim("a")
        postgres.sql(url, "create function wait() returns trigger language plpgsql as 'begin perform pg_sleep(1); return new; end'")
        postgres.sql(url, "create trigger slow before insert on calls for each row execute function wait()")
        appending = threads.submit(old.append, [call_record(1)], [epoch])
        while not postgres.sql(url, "select 1 from pg_stat_activity where wait_event = 'PgSleep'"):
            assert not appending.done()
        new.claim("a")
        assert new.calls("run", 0, 9) == [call_record(1)]
        appending.result()
        with pytest.raises(FencedError):
            old.append([call_record(2)], [epoch])


def test_a_password_is_changed_under_a_store_at_work_which_reads_its_file_anew(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, passwords = postgres.database(), tmp_path / "pgpass"
    name = url.rpartition("/")[2]

    def is_now(password: str) -> None:
        passwords.touch(0o600)
        passwords.write_text(f"*:*:*:writer_{name}:{password}\n")
        postgres.sql(url, f"alter role writer_{name} password '{password}'")

    postgres.sql(url, f"create role writer_{name} login; alter database {name} owner to writer_{name}")
    is_now("first")
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with closing(PostgresStore.open(url.replace("partsong@", f"writer_{name}@"))) as store:
        store.append([row_record(1)])
        is_now("second")
        store.append([row_record(2)])
        postgres.sql(url, f"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'writer_{name}'")
        store.append([row_record(3)])
        assert [row.row for _, row in store.rows("run", 0, 10)] == [1, 2, 3]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_of_the_server_is_not_noticed_by_who_asks_afterwards(how: signal.Signals, postgres: Postgres) -> None:
    url = postgres.database()
    with closing(PostgresStore.open(url)) as store:
        store.append([row_record(1)])
        postgres.stop(how)
        postgres.start()
        store.append([row_record(2)])
    assert read(url)[0] == [1, 2]


async def test_while_the_server_is_away_everybody_waits_and_is_told_and_nothing_is_lost_or_doubled(postgres: Postgres) -> None:
    url, told = postgres.database(), list[StoreError]()
    tell, away = noting(told)
    async with Journal(PostgresStore.open(url), away=tell) as journal:
        await journal.append([row_record(0)])
        postgres.stop(signal.SIGQUIT)
        appending = [asyncio.create_task(journal.append([row_record(row), call_record(row + 100)])) for row in range(1, 9)]
        asking = asyncio.create_task(journal.finished("run", 100))
        await away.wait()
        assert not any(task.done() for task in [*appending, asking])
        postgres.start()
        await asyncio.gather(*appending)
        assert await asking in range(1, 10)
    assert {error.code for error in told} == {"store-away"}
    assert read(url) == ([*range(9)], [*range(101, 109)])


async def test_servers_that_go_and_come_lose_and_double_nothing(postgres: Postgres) -> None:
    url, told = postgres.database(), list[StoreError]()

    async def write(journal: Journal, writer: int) -> list[int]:
        acknowledged = []
        for n in range(150):
            row = writer * 1000 + n
            await journal.append([call_record(row), row_record(row)])
            acknowledged.append(row)
        return acknowledged

    async with Journal(PostgresStore.open(url), away=told.append) as journal:
        writing = asyncio.gather(*(write(journal, writer) for writer in range(4)))
        for how in (signal.SIGQUIT, signal.SIGINT, signal.SIGQUIT):
            await asyncio.sleep(0.05)
            postgres.stop(how)
            postgres.start()
        acknowledged = [row for rows in await writing for row in rows]
    held = read(url)[0]
    assert len(held) == len(set(held))
    assert sorted(held) == sorted(acknowledged)


async def test_a_journal_that_is_closed_while_the_store_is_away_does_not_wait_for_it(postgres: Postgres) -> None:
    tell, away = noting([])
    journal = Journal(PostgresStore.open(postgres.database()), away=tell)
    postgres.stop()
    try:
        appending = asyncio.create_task(journal.append([row_record(1)]))
        await away.wait()
        await journal.aclose()
        with pytest.raises(StoreError) as caught:
            await appending
    finally:
        postgres.start()
    assert caught.value.code == "store-away"


def test_a_server_that_cannot_be_reached_at_the_start_is_told(postgres: Postgres) -> None:
    url = postgres.database()
    postgres.stop()
    try:
        error = refusal(url)
    finally:
        postgres.start()
    assert error.code == "store-away"
    assert str(away_notice(error)).endswith("everything waits until it is back; nothing is lost")


def test_a_server_that_says_nothing_is_away(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partsong.journal.postgres_server._ANSWERS_WITHIN_S", 0.5)
    monkeypatch.setattr("partsong.journal.postgres_server._CONNECTS_WITHIN_S", 0.5)
    url = postgres.database()
    with closing(PostgresStore.open(url)) as store:
        store.append([row_record(1)])
        postgres.freeze()
        try:
            with pytest.raises(StoreError) as caught:
                store.append([row_record(2)])
        finally:
            postgres.freeze(frozen=False)
        store.append([row_record(2)])
    assert caught.value.code == "store-away"
    assert read(url)[0] == [1, 2]


def test_two_appends_that_cross_are_both_recorded(postgres: Postgres) -> None:
    url = postgres.database()
    with closing(PostgresStore.open(url)) as one, closing(PostgresStore.open(url)) as other, ThreadPoolExecutor(2) as threads:
        for turn in range(20):
            calls = [call_record(turn * 100 + n) for n in range(60)]
            for appending in [threads.submit(one.append, calls), threads.submit(other.append, calls[::-1])]:
                appending.result()
        assert len(one.calls("run", 0, 10_000)) == 20 * 60


def test_a_store_that_was_backed_up_while_it_was_written_goes_on_where_the_copy_was_made(postgres: Postgres, tmp_path: Path) -> None:
    url, copy = postgres.database(), tmp_path / "copy.dump"
    with closing(PostgresStore.open(url)) as store:
        epoch = store.claim("a/journal-0")
        store.append([row_record(1), call_record(2), attempt_record(3, usd=0.5)], [epoch])
        postgres.tool("pg_dump", "--format=custom", f"--file={copy}", url.rpartition("/")[2])
        store.append([row_record(4)], [epoch])
    restored = postgres.database()
    postgres.tool("pg_restore", "--exit-on-error", f"--dbname={restored.rpartition('/')[2]}", str(copy))
    with closing(PostgresStore.open(restored)) as store:
        [(seq, _)] = store.rows("run", 0, 9)
        assert store.calls("run", 0, 9) == [call_record(2)]
        assert store.spent("run", 0.0) == {"m": 0.5}
        later = store.claim("a/journal-0")
        assert later.number == 2
        store.append([row_record(2)], [later])
        assert [row.row for _, row in store.rows("run", seq, 9)] == [2]
