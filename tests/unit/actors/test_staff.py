"""A staff that cannot do its work says so: nobody else would start workers."""

import asyncio

import pytest
from partsong_actors.news import PoolNews
from partsong_actors.setup import Setup, SystemSpec
from partsong_actors.staff import Staff
from ray.exceptions import ActorDiedError

from partsong.contracts import Notice

SETUP = Setup(mesh=b"", folder=".", store_url="sqlite:///j.db", run_folder=".", system=SystemSpec.passing())


class Remote:
    """A method of an actor in this process."""

    def __init__(self, method):
        self.remote = method


class Pools:
    """Tells the staff what it is given, and nothing more."""

    def __init__(self, *news: PoolNews | Exception):
        self.untold = list(news)
        self.reports = asyncio.Queue()
        self.staff, self.news, self.reported = Remote(self._staff), Remote(self._news), Remote(self._reported)

    async def _staff(self, life, staffing):
        pass

    async def _news(self, member, life):
        if not self.untold:
            await asyncio.Event().wait()
        if isinstance(one := self.untold.pop(0), Exception):
            raise one
        return [one]

    async def _reported(self, life, reports):
        for report in reports:
            self.reports.put_nowait(report)


def staff(pools: Pools, told: list[Notice]) -> Staff:
    return Staff(pools, SETUP, {}, {}, told.append)


@pytest.mark.parametrize("news", [PoolNews("mini", "granted"), ActorDiedError()], ids=["what it does not know", "the end of the pools"])
async def test_what_ends_its_work_is_raised_and_nothing_goes_on_beside(news):
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(staff(Pools(news), []).work(), 5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_mistake_in_what_it_does_beside_ends_its_work_too(monkeypatch):
    async def mistaken(self, key):
        raise AttributeError("a mistake of ours")

    monkeypatch.setattr(Staff, "_end", mistaken)
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(staff(Pools(PoolNews("mini", "end", key="1")), []).work(), 5)


async def test_it_tells_what_the_pools_tell_and_reports_what_it_cannot_start():
    told, pools = [], Pools(PoolNews("", "notice", notice=Notice(code="c", what="w")), PoolNews("gone", "start"))
    working = asyncio.create_task(staff(pools, told).work())
    report = await asyncio.wait_for(pools.reports.get(), 5)
    working.cancel()
    await asyncio.wait([working])
    assert (told[0].code, report.kind, working.cancelled()) == ("c", "given-up", True)
