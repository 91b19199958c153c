"""A row is worked once, however many ask for it."""

import asyncio

import pytest

from partsong.contracts import Answer, Row, RowOutcome, Task
from partsong.errors import StoreError
from partsong.work.under_way import RowsUnderWay


class Work:
    """Answers rows when the test says so."""

    def __init__(self):
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.goes_on = asyncio.Event()

    async def __call__(self, row: Row) -> RowOutcome:
        self.begun.append(row.row)
        try:
            await self.goes_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(row.row)
            raise
        return RowOutcome(row=row.row, custom_id=row.task.id, reply=Answer(text="done"))


async def recorded(row: Row) -> RowOutcome:
    return RowOutcome(row=row.row, custom_id=row.task.id, reply=Answer(text="by its record"))


def row(number: int, run: str = "run") -> Row:
    return Row(run=run, row=number, task=Task.of("?", id=str(number)))


async def asked(rows: RowsUnderWay, *wanted: Row) -> "list[asyncio.Task[RowOutcome]]":
    tasks = [asyncio.create_task(rows.answer(one)) for one in wanted]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_who_asks_for_a_row_that_is_under_way_waits_for_it():
    work = Work()
    rows = RowsUnderWay(work, recorded)
    tasks = await asked(rows, row(1), row(1), row(2))
    assert (work.begun, rows.of("run")) == ([1, 2], [1, 2])
    work.goes_on.set()
    assert [outcome.row for outcome in await asyncio.gather(*tasks)] == [1, 1, 2]
    assert not rows.any_of("run")


async def test_rows_of_another_run_are_other_rows():
    work = Work()
    rows = RowsUnderWay(work, recorded)
    await asked(rows, row(1, "a"), row(1, "b"))
    assert (work.begun, rows.of("a")) == ([1, 1], [1])
    work.goes_on.set()


async def test_a_row_goes_on_until_the_last_who_asked_for_it_is_cancelled():
    work = Work()
    rows = RowsUnderWay(work, recorded)
    first, second = await asked(rows, row(1), row(1))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert work.cancelled == []
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.sleep(0)
    assert (work.cancelled, rows.any_of("run"), rows.of("run")) == ([1], False, [])


async def test_a_row_that_is_asked_for_again_after_it_failed_is_worked_again():
    async def fails(row: Row) -> RowOutcome:
        raise StoreError("away", "no store")

    rows = RowsUnderWay(fails, recorded)
    for _ in range(2):
        with pytest.raises(StoreError):
            await rows.answer(row(1))
    assert rows.of("run") == []


async def test_a_row_that_is_asked_for_while_its_work_is_being_cancelled_is_begun_anew():
    work = Work()
    rows = RowsUnderWay(work, recorded)
    (first,) = await asked(rows, row(1))
    first.cancel()
    await asyncio.sleep(0)
    (second,) = await asked(rows, row(1))
    work.goes_on.set()
    assert (await second).row == 1
    assert work.begun == [1, 1]


async def test_a_row_that_was_finished_lately_is_answered_by_its_record():
    work = Work()
    work.goes_on.set()
    rows = RowsUnderWay(work, recorded)
    await rows.answer(row(1))
    assert (await rows.answer(row(1))).reply.text == "by its record"
    assert (work.begun, rows.of("run")) == ([1], [1])


async def test_of_finished_rows_only_the_latest_are_known():
    work = Work()
    work.goes_on.set()
    rows = RowsUnderWay(work, recorded, most_recent=2)
    for number in (1, 2, 3):
        await rows.answer(row(number))
    assert rows.of("run") == [2, 3]
