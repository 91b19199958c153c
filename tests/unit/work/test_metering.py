"""A limiter with a clock: who waits is woken when time alone lets it go."""

import asyncio

from work_bench import LimitedBench

from partsong.contracts import Failure, FailureCode, Limits, ModelSpec, Price, Terms
from partsong.pool.limiter import Limiter
from partsong.pool.meter import NOTHING, Amounts
from partsong.pool.purse import PurseWish
from partsong.work.clock import Clock
from partsong.work.metering import Metering

CALL = Amounts(1.0, 10.0, 20.0, 0.5)
_MIDNIGHT_S = 86_400.0 * 20_000


async def reserved(bench, run="run", terms=None):
    return await asyncio.wait_for(bench.caller.purse.reserve(run, terms or Terms(), CALL), 2)


async def test_who_waits_for_time_alone_is_woken():
    bench = LimitedBench(ModelSpec(adapter="scripted", limits=Limits(requests_per_minute=1200)))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(40):
        await reserved(bench)
    took_s = loop.time() - began_s
    assert 0.15 < took_s < 1.0  # 36 at once, then twenty a second


async def test_a_days_limit_begins_anew_at_midnight_though_nobody_waited_for_it():
    now = [0.0]
    clock = Clock(now_s=lambda: now[0], unix_s=lambda: _MIDNIGHT_S - 10.0 + now[0])
    spec = ModelSpec(adapter="scripted", limits=Limits(usd_per_day=0.6), price=Price(input=1, output=1))
    bench = LimitedBench(spec, clock)
    bench.caller.purse.settle(await reserved(bench), CALL)
    refused = await reserved(bench)
    assert isinstance(refused, Failure)
    assert refused.code is FailureCode.RUN_BUDGET
    now[0] = 11.0
    assert not isinstance(await reserved(bench), Failure)


async def test_a_clock_that_is_set_back_begins_no_day_anew():
    now = [0.0]
    clock = Clock(now_s=lambda: 0.0, unix_s=lambda: _MIDNIGHT_S + now[0])
    spec = ModelSpec(adapter="scripted", limits=Limits(usd_per_day=0.6), price=Price(input=1, output=1))
    bench = LimitedBench(spec, clock)
    bench.caller.purse.settle(await reserved(bench), CALL)
    for now[0] in (-3600.0, 3600.0):
        assert isinstance(await reserved(bench), Failure)


async def test_what_is_given_back_goes_to_who_waits():
    bench = LimitedBench(ModelSpec(adapter="scripted", limits=Limits(calls_in_flight=1)))
    first = await reserved(bench)
    second = asyncio.create_task(reserved(bench))
    await asyncio.sleep(0.01)
    assert not second.done()
    assert bench.metering.waiting == 1
    bench.caller.purse.settle(first, NOTHING)
    await second


async def test_closed_it_wakes_nobody():
    bench = LimitedBench(ModelSpec(adapter="scripted", limits=Limits(requests_per_minute=60)))
    await reserved(bench)
    waits = asyncio.create_task(bench.caller.purse.reserve("run", Terms(), CALL))
    await asyncio.sleep(0.01)
    bench.metering.close()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


async def test_what_a_cancelled_call_gives_back_goes_to_the_next_in_its_turn():
    """Three calls wait for ten dollars; the first is cancelled, and what it gives back must not be taken for another's."""
    bench = LimitedBench(ModelSpec(adapter="scripted", price=Price(input=1, output=1)))
    purse, terms = bench.caller.purse, Terms(budget_usd=10.0)
    first = await purse.reserve("run", terms, Amounts(usd=8.0))
    waiting = [asyncio.create_task(purse.reserve("run", terms, Amounts(usd=usd))) for usd in (9.0, 4.0, 20.0)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    purse.settle(first, NOTHING)
    four, twenty = await asyncio.gather(*waiting[1:])
    assert not isinstance(four, Failure)
    purse.settle(four, Amounts(usd=4.0))
    assert isinstance(twenty if isinstance(twenty, Failure) else await purse.reserve("run", terms, Amounts(usd=20.0)), Failure)
    assert isinstance(twenty, Failure)


async def test_held_wishes_are_carried_out_when_all_have_been_heard():
    leased = []
    spec = ModelSpec(adapter="scripted", limits=Limits(calls_in_flight=1))
    metering = Metering(Limiter({"model": spec}, {}), Clock(), leased.append, held=True)
    for caller in ("a", "b"):
        metering.take(caller, PurseWish("model", "run", Terms(), needs=(CALL,)))
    assert not leased
    metering.join("a", "born", [])
    metering.open()
    assert [instruction.purpose.caller for instruction in leased] == ["b"]
