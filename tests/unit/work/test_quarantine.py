"""Which call killed the worker is found out, without taking its neighbours with it."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from work_bench import caller_of, completion

from partsong.contracts import Call, Completion, Failure, FailureCode, ModelSpec, Task
from partsong.work.caller import Request, Tries
from partsong.work.quarantine import Quarantine


@asynccontextmanager
async def entered(quarantine, deaths):
    await quarantine.enter(deaths)
    try:
        yield
    finally:
        quarantine.leave(deaths)


class Flight:
    """Calls in a quarantine, each until it is landed."""

    def __init__(self):
        self.quarantine = Quarantine()
        self.flying: list[str] = []
        self.tasks: dict[str, asyncio.Task] = {}
        self.landing: dict[str, asyncio.Event] = {}

    async def start(self, *names, deaths):
        for name in names:
            self.landing[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._fly(name, deaths))
        await asyncio.sleep(0.001)

    async def land(self, *names):
        for name in names:
            self.landing[name].set()
        await asyncio.sleep(0.001)

    async def cancel(self, name):
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)

    async def _fly(self, name, deaths):
        async with entered(self.quarantine, deaths):
            self.flying.append(name)
            try:
                await self.landing[name].wait()
            finally:
                self.flying.remove(name)


async def test_calls_that_saw_no_death_fly_together():
    flight = Flight()
    await flight.start("a", "b", "c", deaths=0)
    assert flight.flying == ["a", "b", "c"]


async def test_without_suspects_nothing_is_waited_for():
    quarantine = Quarantine()
    assert [quarantine.try_enter(deaths) for deaths in (0, 1, 2)] == [True, False, False]


async def test_while_one_flies_alone_nobody_enters():
    flight = Flight()
    await flight.start("x", deaths=2)
    assert not flight.quarantine.try_enter(0)
    await flight.land("x")
    assert flight.quarantine.try_enter(0)
    flight.quarantine.leave(0)


async def test_suspects_fly_a_few_at_a_time_beside_the_others():
    flight = Flight()
    await flight.start(*map(str, range(10)), deaths=1)
    await flight.start("other", deaths=0)
    assert len(flight.flying) == 9
    await flight.land("0")
    assert "8" in flight.flying


async def test_who_saw_two_deaths_flies_alone():
    flight = Flight()
    await flight.start("other", deaths=0)
    await flight.start("x", "y", deaths=2)
    await flight.start("late", deaths=0)
    await flight.start("suspect", deaths=1)
    assert flight.flying == ["other"]
    await flight.land("other")
    assert flight.flying == ["x"]
    await flight.land("x")
    assert set(flight.flying) == {"late", "suspect"}  # the others get their turn between two
    await flight.land("late", "suspect")
    assert flight.flying == ["y"]
    await flight.land("y")
    assert flight.flying == []


@pytest.mark.parametrize("deaths", [0, 1, 2])
async def test_cancelled_while_waiting_a_call_holds_nobody_up(deaths):
    flight = Flight()
    await flight.start("x", deaths=2)
    await flight.start("cancelled", deaths=deaths)
    await flight.cancel("cancelled")
    await flight.land("x")
    await flight.start("y", deaths=2)
    assert flight.flying == ["y"]
    await flight.land("y")
    await flight.start("a", deaths=0)
    await flight.start("b", deaths=1)
    assert flight.flying == ["a", "b"]


async def test_cancelled_while_alone_a_call_lets_the_others_in():
    flight = Flight()
    await flight.start("x", deaths=2)
    await flight.cancel("x")
    await flight.start("a", deaths=0)
    assert flight.flying == ["a"]


class Mortal:
    """A worker that dies of the word poison, and whatever is in flight with it."""

    def __init__(self):
        self.deaths = 0
        self._died = asyncio.Event()

    async def ask(self, call: Call, on_text=None) -> Completion | Failure:
        if call.task.text == "poison":
            await asyncio.sleep(0.005)
            self.deaths += 1
            self._died.set()
            self._died = asyncio.Event()
            return self._lost(call)
        died = asyncio.ensure_future(self._died.wait())
        done, _ = await asyncio.wait((died,), timeout=0.01)
        died.cancel()
        return self._lost(call) if done else completion(call.task.text)

    def _lost(self, call):
        return Failure(code=FailureCode.WORKER_LOST, message="died", where=call.model, retryable=True, sent="maybe")


async def test_a_poisoned_call_is_given_up_after_three_deaths_and_takes_no_neighbour_with_it():
    worker = Mortal()
    made = caller_of(ModelSpec(adapter="scripted"))
    made.use([worker])
    prompts = [f"good {n}" for n in range(40)]
    prompts[20] = "poison"
    replies = await asyncio.gather(*[made.call(Request(Task.of(prompt), "step"), Tries()) for prompt in prompts])
    assert [reply.text for reply in replies if isinstance(reply, Completion)] == [prompt for prompt in prompts if prompt != "poison"]
    assert replies[20].code is FailureCode.WORKER_LOST
    assert worker.deaths == 3


async def test_several_poisoned_calls_are_each_found_out():
    worker = Mortal()
    made = caller_of(ModelSpec(adapter="scripted"))
    made.use([worker])
    prompts = [f"good {n}" if n % 10 else "poison" for n in range(40)]
    replies = await asyncio.gather(*[made.call(Request(Task.of(prompt), "step"), Tries()) for prompt in prompts])
    assert [isinstance(reply, Completion) for reply in replies] == [prompt != "poison" for prompt in prompts]
