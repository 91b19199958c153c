"""Which coordinator gets a row, and who goes on with the rows of one that is away."""

import asyncio

import pytest
from partsong_actors.coordinators import Coordinators

from partsong.contracts import Row, Task
from partsong.errors import EngineError, StoreError


class Remote:
    """Stands for a RemoteCoordinator; a test says how it is."""

    def __init__(self, name: str, epoch: int = 1):
        self.name = name
        self.epoch = epoch
        self.up = self.deaf = self.waits_for_a_node = self.given_up = False
        self.under_way = 0
        self.failed = None
        self.at_work: list[int] = []

    def come(self):
        pass

    def give_up(self):
        self.given_up = True
        self.under_way = 0

    async def rows(self, run: str, epoch: int):
        return self.at_work


class All:
    """Two coordinators, and what was fenced and told."""

    def __init__(self, *, lasting: bool = True):
        self.fenced: list[tuple[str, int]] = []
        self.told: list[str] = []
        self.store_away = False
        self.first, self.second = Remote("first"), Remote("second", epoch=4)
        self.coordinators = Coordinators(lambda notice: self.told.append(notice.code), "2 CPU", self._fence if lasting else None)
        self.coordinators.add(self.first)
        self.coordinators.add(self.second)

    async def _fence(self, name: str, number: int) -> None:
        if self.store_away:
            raise StoreError("store-away", "no store")
        self.fenced.append((name, number))

    async def turn(self, remote: Remote, **now) -> None:
        for name, value in now.items():
            setattr(remote, name, value)
        self.coordinators.turned(remote)
        for _ in range(5):
            await asyncio.sleep(0)


def row(number: int) -> Row:
    return Row(run="run", row=number, task=Task.of("?"))


async def test_a_row_goes_to_the_one_with_the_fewest_rows_under_way_and_its_number_chooses_among_equals():
    them = All()
    await them.turn(them.first, up=True)
    await them.turn(them.second, up=True)
    assert [(await them.coordinators.chosen(row(n))).name for n in (0, 1, 2)] == ["first", "second", "first"]
    them.first.under_way = 1
    assert (await them.coordinators.chosen(row(0))).name == "second"


async def test_a_row_waits_until_there_is_any():
    them = All()
    chosen = asyncio.create_task(them.coordinators.chosen(row(0)))
    await asyncio.sleep(0)
    assert not chosen.done()
    await them.turn(them.second, up=True)
    assert (await chosen).name == "second"


async def test_when_all_have_failed_rows_hear_why():
    them = All()
    chosen = asyncio.create_task(them.coordinators.chosen(row(0)))
    await them.turn(them.first, failed=EngineError("version-skew", "other versions"))
    assert not chosen.done()
    await them.turn(them.second, failed=EngineError("version-skew", "other versions"))
    with pytest.raises(EngineError, match="version-skew"):
        await chosen


async def test_one_that_is_lost_is_fenced_before_another_goes_on_with_its_rows():
    them = All()
    await them.turn(them.first, up=True)
    chosen = await asyncio.gather(*(them.coordinators.instead_of(them.second, row(n)) for n in range(3)))
    assert ({one.name for one in chosen}, them.fenced) == ({"first"}, [("second", 4)])


async def test_one_that_is_back_goes_on_itself():
    them = All()
    await them.turn(them.first, up=True, under_way=0)
    await them.turn(them.second, up=True, under_way=9)
    assert (await them.coordinators.instead_of(them.second, row(0))).name == "second"
    assert them.fenced == []


async def test_rows_of_one_that_is_deaf_are_given_up_when_it_is_fenced():
    them = All()
    await them.turn(them.first, up=True)
    await them.turn(them.second, deaf=True, under_way=3)
    assert (them.fenced, them.second.given_up, them.told) == ([("second", 4)], True, ["coordinator-deaf"])


async def test_rows_of_one_that_is_deaf_are_waited_for_when_there_is_no_other_or_no_fence():
    them = All()
    await them.turn(them.second, deaf=True, under_way=3)
    assert not them.second.given_up
    passing = All(lasting=False)
    await passing.turn(passing.first, up=True)
    await passing.turn(passing.second, deaf=True, under_way=3)
    assert not passing.second.given_up


async def test_rows_of_one_that_is_deaf_stay_where_they_are_while_the_store_is_away():
    them = All()
    them.store_away = True
    await them.turn(them.first, up=True)
    await them.turn(them.second, deaf=True, under_way=3)
    assert not them.second.given_up
    them.coordinators._passing.pop().cancel()


async def test_one_that_no_node_has_room_for_is_told_of():
    them = All()
    await them.turn(them.first, waits_for_a_node=True)
    assert them.told == ["no-node"]


async def test_who_is_at_work_on_a_run_is_found():
    them = All()
    them.first.at_work, them.second.at_work = [1, 2], [7]
    await them.turn(them.first, up=True)
    await them.turn(them.second, up=True)
    assert await them.coordinators.at_work_on("run", 3) == ({1: them.first, 2: them.first, 7: them.second}, False)


async def test_one_that_cannot_be_asked_who_is_at_work_is_fenced(monkeypatch):
    monkeypatch.setattr("partsong_actors.coordinators._HEARD_WITHIN_S", 0.01)
    them = All()
    them.first.at_work = [1]
    await them.turn(them.first, up=True)
    assert await them.coordinators.at_work_on("run", 3) == ({1: them.first}, True)
    assert them.fenced == [("second", 4)]
