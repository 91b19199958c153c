"""Journal client: a journal that another process still holds is waited for, a while."""

import asyncio
from types import SimpleNamespace

import msgpack
import pytest
from partsong_actors.journal import JournalClient

from partsong.contracts import Notice
from partsong.contracts.epoch import Epoch
from partsong.errors import FencedError, Place, StoreError
from partsong.journal.away import away
from partsong.journal.store import Published
from partsong.testing.store_conformance import call_record

OWNED = StoreError("store-owned", "the journal is being written by process 1 on here")


class Held:
    """A journal's actor that finds the journal held by another so many times, or its store away."""

    def __init__(self, times: int, error: StoreError = OWNED) -> None:
        self.times = times
        self.error = error
        self.run = SimpleNamespace(remote=self._run)

    async def _run(self, run: str) -> None:
        if self.times:
            self.times -= 1
            raise self.error


async def test_a_last_writer_that_is_about_to_end_is_waited_for():
    held = Held(2)
    assert await JournalClient(held).run("run") is None
    assert held.times == 0


async def test_a_writer_that_goes_on_is_told_of():
    with pytest.raises(StoreError, match="process 1"):
        await JournalClient(Held(1000), free_within_s=0.3).run("run")


async def test_a_store_that_is_away_is_waited_for_and_told_of():
    told: list[Notice] = []
    held = Held(3, away("PostgreSQL cannot be reached", Place("postgresql://host/db")))
    assert await JournalClient(held, told.append, free_within_s=0.0).run("run") is None
    assert [notice.code for notice in told] == ["store-away"] * 3


async def test_who_leads_a_run_publishes_it_under_what_it_holds():
    under = []

    async def publish(run, published, epochs):
        under.append(list(epochs))

    client, held = JournalClient(SimpleNamespace(publish=SimpleNamespace(remote=publish))), Epoch(name="job/run", number=2)
    client.led["run"] = held
    await client.publish("run", Published(seq=1))
    del client.led["run"]
    await client.publish("run", Published(seq=2))
    assert under == [[held], []]


class Fencing:
    """A journal's actor that takes nothing under the first epoch of a name."""

    def __init__(self) -> None:
        self.messages: list[list[tuple[list[tuple[str, int]], int]]] = []
        self.rows: list[int] = []
        self.append = SimpleNamespace(remote=self._append)

    async def _append(self, packed: bytes) -> list[FencedError | None]:
        appends = msgpack.unpackb(packed)
        self.messages.append([([tuple(epoch) for epoch in under], len(records)) for under, records, _ in appends])
        self.rows += [record[1] for _, records, _ in appends for record in records]
        return [FencedError("fenced", "over") if any(number == 1 for _, number in under) else None for under, *_ in appends]


async def test_appends_of_several_epochs_share_a_message_and_are_refused_apart():
    actor = Fencing()
    client = JournalClient(actor)
    over, held = Epoch(name="a", number=1), Epoch(name="b", number=2)
    await client.append([call_record(0)])
    outcomes = await asyncio.gather(
        client.append([call_record(1), call_record(2)], [held]),
        client.append([call_record(3)], [over]),
        client.append([call_record(4)]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), FencedError, type(None)]
    assert sum(len(message) for message in actor.messages[1:]) == 3
    assert actor.messages[0] == [([], 1)]


async def test_of_several_journals_each_row_has_one_and_all_have_some():
    actors = [Fencing() for _ in range(3)]
    client = JournalClient(actors[0], others=actors[1:])
    for step in ("a", "b"):
        await client.append([call_record(row, step) for row in range(60)])
    rows = [set(actor.rows) for actor in actors]
    assert sum(map(len, rows)) == 60
    assert all(rows)
    assert sum(len(actor.rows) for actor in actors) == 120


async def test_a_journal_that_cannot_be_asked_is_passed_over_by_who_reads():
    owned, free = Held(1000), Held(0)
    assert await JournalClient(owned, others=[free]).run("run") is None
    assert owned.times == 999
