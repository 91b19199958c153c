"""The journal: durable when append returns, many callers in one transaction, whatever is cancelled or killed."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from partsong.contracts import Completion
from partsong.contracts.epoch import Epoch
from partsong.errors import FencedError, StoreError, WireError
from partsong.journal.journal import Journal
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import FORGOTTEN_AT_ONCE, Published, Record, RunInfo
from partsong.testing.store_conformance import call_record, row_record

APPEND_FOREVER = """
import asyncio, sys
from pathlib import Path
from partsong.journal.journal import Journal
from partsong.journal.sqlite import SqliteStore
from partsong.testing.store_conformance import call_record

async def write(journal, writer):
    for n in range(1_000_000):
        await journal.append([call_record(n, str(writer))])
        sys.stdout.write(f"{n} {writer}\\n")
        sys.stdout.flush()

async def main():
    async with Journal(SqliteStore.open(Path(sys.argv[1]))) as journal:
        await asyncio.gather(*(write(journal, writer) for writer in range(8)))

asyncio.run(main())
"""


class GatedStore(SqliteStore):
    """A real store whose transactions wait at a gate and are counted."""

    gate: threading.Event
    transactions: list[int]

    @classmethod
    def at(cls, path: Path) -> "GatedStore":
        store = cls.open(path)
        assert isinstance(store, GatedStore)
        store.gate, store.transactions = threading.Event(), []
        return store

    def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
        assert self.gate.wait(10)
        records = list(records)
        self.transactions.append(len(records))
        super().append(records, under)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def rows_in(path: Path) -> list[int]:
    with closing(SqliteStore.open(path, read_only=True)) as store:
        return [row.row for _, row in store.rows("run", 0, 10_000)]


async def appending(journal: Journal, rows: Iterable[int]) -> list[asyncio.Task[None]]:
    """Start an append for each row and let it reach the journal."""
    tasks = [asyncio.create_task(journal.append([row_record(row)])) for row in rows]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_an_append_is_durable_when_it_returns(path: Path) -> None:
    async with Journal(SqliteStore.open(path)) as journal:
        await journal.append([row_record(1), call_record(2)])
        assert rows_in(path) == [1]


async def test_every_operation_of_the_store_is_there(path: Path) -> None:
    info, call = RunInfo("run", "m", "i", 1.0), call_record(1)
    async with Journal(SqliteStore.open(path)) as journal:
        await journal.begin(info)
        await journal.append([call, row_record(2)])
        await journal.publish("run", Published(seq=1))
        assert await journal.run("run") == info
        assert await journal.published("run") == Published(seq=1)
        assert await journal.calls("run", 0, 9) == [call]
        assert await journal.done("run", 0, 9) == {2}
        assert await journal.finished("run", 9) == 1
        assert [row for _, row in await journal.rows("run", 0, 9)] == [row_record(2)]
        assert await journal.cached([call.ask_hash]) == {call.ask_hash: call.reply}
        assert await journal.spent("run", 0.0) == {}
        await journal.forget("run")
        assert await journal.run("run") is None


async def test_others_append_while_a_large_run_is_forgotten(path: Path) -> None:
    turns = []

    class Seen(SqliteStore):
        def forget(self, run: str, under: Collection[Epoch] = ()) -> bool:
            turns.append("part")
            return super().forget(run, under)

        def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
            turns.append("append")
            super().append(records, under)

    async with Journal(Seen.open(path)) as journal:
        await journal.append([row_record(row, run="large") for row in range(3 * FORGOTTEN_AT_ONCE)])
        turns.clear()
        forgetting = asyncio.create_task(journal.forget("large"))
        await asyncio.sleep(0)
        await asyncio.gather(forgetting, *await appending(journal, [1]))
        assert await journal.finished("large", 10**9) == 0
    assert turns.count("part") == 4
    assert turns.index("append") < 4


async def test_what_comes_during_a_transaction_shares_the_next_one(path: Path) -> None:
    store = GatedStore.at(path)
    async with Journal(store) as journal:
        first = await appending(journal, [0])
        rest = await appending(journal, range(1, 51))
        store.gate.set()
        await asyncio.gather(*first, *rest)
    assert store.transactions == [1, 50]


async def test_lookups_that_come_together_are_one_query(path: Path) -> None:
    class Counting(SqliteStore):
        queries = 0

        def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
            self.queries += 1
            return super().cached(ask_hashes)

    calls, unknown = [call_record(row) for row in range(50)], b"never asked....."
    store = Counting.open(path)
    async with Journal(store) as journal:
        await journal.append(calls)
        found = await asyncio.gather(*(journal.cached([call.ask_hash, unknown]) for call in calls))
    assert found == [{call.ask_hash: call.reply} for call in calls]
    assert isinstance(store, Counting)
    assert store.queries == 1


async def test_a_lookup_that_fails_fails_its_callers_alone(path: Path) -> None:
    async with Journal(SqliteStore.open(path)) as journal:
        await journal.append([call_record(1)])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("update calls set record = x'01ff', crc = null")
        with pytest.raises(StoreError) as caught:
            await journal.cached([call_record(1).ask_hash])
        assert caught.value.code == "store-bad-record"
        assert await journal.cached([b"never asked....."]) == {}


async def test_a_full_queue_makes_appends_wait(path: Path) -> None:
    store = GatedStore.at(path)
    async with Journal(store, max_pending=4) as journal:
        tasks = await appending(journal, range(1)) + await appending(journal, range(1, 20))
        assert journal.pending_records == 4
        store.gate.set()
        await asyncio.gather(*tasks)
    assert rows_in(path) == list(range(20))
    assert max(store.transactions) <= 4


async def test_an_append_larger_than_the_queue_is_taken_whole(path: Path) -> None:
    async with Journal(SqliteStore.open(path), max_pending=4) as journal:
        await journal.append([row_record(row) for row in range(100)])
        assert len(await journal.done("run", 0, 100)) == 100


async def test_a_caller_cancelled_while_waiting_to_be_durable_has_its_records_written_and_disturbs_nobody(path: Path) -> None:
    store = GatedStore.at(path)
    async with Journal(store) as journal:
        first, cancelled, other = await appending(journal, [0, 1, 2])
        cancelled.cancel()
        store.gate.set()
        await asyncio.gather(first, other)
        assert cancelled.cancelled()
    assert rows_in(path) == [0, 1, 2]


async def test_a_caller_cancelled_while_the_queue_is_full_has_its_records_written(path: Path) -> None:
    store = GatedStore.at(path)
    async with Journal(store, max_pending=1) as journal:
        tasks = await appending(journal, [0]) + await appending(journal, [1, 2, 3])
        tasks[-1].cancel()
        store.gate.set()
        await asyncio.gather(*tasks[:-1])
        assert tasks[-1].cancelled()
    assert sorted(rows_in(path)) == [0, 1, 2, 3]


async def test_closing_writes_what_is_pending(path: Path) -> None:
    store = GatedStore.at(path)
    journal = Journal(store, max_pending=2)
    tasks = await appending(journal, [0]) + await appending(journal, range(1, 10))
    closing_task = asyncio.create_task(journal.aclose())
    store.gate.set()
    await closing_task
    await asyncio.gather(*tasks)
    assert rows_in(path) == list(range(10))


async def test_closing_twice_is_harmless_and_a_closed_journal_says_so(path: Path) -> None:
    journal = Journal(SqliteStore.open(path))
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(StoreError) as caught:
        await journal.append([row_record(1)])
    assert caught.value.code == "journal-closed"
    with pytest.raises(StoreError):
        await journal.done("run", 0, 1)


async def test_a_failed_transaction_fails_its_callers_and_the_next_goes_on(path: Path) -> None:
    SqliteStore.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    async with Journal(SqliteStore(connection, path)) as journal:
        await journal.append([row_record(0)])
        connection.execute("pragma max_page_count = 12")
        results = await asyncio.gather(*(journal.append([row_record(row)]) for row in range(1, 500)), return_exceptions=True)
        assert {result.code for result in results if isinstance(result, StoreError)} == {"store-full"}
        assert len(results) == 499
        connection.execute("pragma max_page_count = 100000")
        await journal.append([row_record(500)])
        assert await journal.done("run", 0, 1000) == {0, 500}


async def test_a_record_that_cannot_be_packed_fails_its_own_caller_alone(path: Path) -> None:
    deep: object = 1
    for _ in range(3000):
        deep = [deep]
    bad = row_record(1).model_copy(update={"task": row_record(1).task.model_copy(update={"metadata": {"deep": deep}})})  # type: ignore[union-attr]
    async with Journal(SqliteStore.open(path)) as journal:
        outcomes = await asyncio.gather(
            journal.append([row_record(0)]), journal.append([bad]), journal.append([row_record(2)]), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), WireError, type(None)]
        assert await journal.done("run", 0, 9) == {0, 2}


async def test_what_a_fenced_caller_appends_fails_it_alone(path: Path) -> None:
    async with Journal(SqliteStore.open(path)) as journal:
        over, held = await journal.claim("a"), await journal.claim("b")
        await journal.claim("a")
        outcomes = await asyncio.gather(
            journal.append([row_record(0)], [held]),
            journal.append([row_record(1)], [over]),
            journal.append([row_record(2)]),
            journal.append([row_record(3)], [held, over]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), FencedError, type(None), FencedError]
        assert await journal.done("run", 0, 9) == {0, 2}
        assert [await journal.holds(epoch) for epoch in (over, held)] == [False, True]


async def test_a_fault_of_the_store_reaches_the_callers_and_not_the_log(path: Path) -> None:
    class Broken(SqliteStore):
        def append(self, records: Iterable[Record], under: Collection[Epoch] = ()) -> None:
            raise ZeroDivisionError

    async with Journal(Broken.open(path)) as journal:
        with pytest.raises(ZeroDivisionError):
            await journal.append([row_record(1)])


@pytest.mark.parametrize("seed", range(10))
def test_what_was_acknowledged_before_a_kill_is_there_afterwards(seed: int, path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", APPEND_FOREVER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        stop_after = random.Random(seed).randrange(1, 1500)
        acknowledged = [process.stdout.readline() for _ in range(stop_after)]
        process.kill()
        acknowledged += process.stdout.readlines()
    promised = {tuple(line.split()) for line in acknowledged if line.endswith("\n")}
    with closing(SqliteStore.open(path)) as store:
        held = {(str(call.row), call.step) for call in store.calls("run", 0, 2_000_000)}
    assert promised <= held
    assert len(promised) >= stop_after
