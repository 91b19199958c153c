"""One caller's part of what is limited: calls wait for their worst case, settle by what they took, and leave nothing behind."""

import asyncio
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partsong.contracts import Failure, FailureCode, Limits, ModelSpec, Terms
from partsong.errors import EngineError
from partsong.pool.limiter import Ahead, Leased, Limiter, Purpose, Refused
from partsong.pool.meter import NOTHING, Amounts
from partsong.pool.permits import Grant, KeepIdle, Permits, Recall
from partsong.pool.purse import Purse, Reservation
from partsong.pool.share import Share

CALL = Amounts(1.0, 10.0, 20.0, 0.5)
TWICE = Amounts(1.0, 20.0, 40.0, 1.0)
OVER = Failure(code=FailureCode.RUN_BUDGET, message="too much")


class Line:
    """A purse and what it says; a test plays the limiter."""

    def __init__(self, *, looks_ahead=False):
        self.now_s = 1000.0
        self.wishes = []
        self.purse = Purse("mini", self.wishes.append, metered=True, looks_ahead=looks_ahead, now_s=lambda: self.now_s)

    async def reserve(self, need=CALL):
        task = asyncio.create_task(self.purse.reserve("run", Terms(), need))
        await asyncio.sleep(0)
        return task

    @property
    def settled(self):
        return [settlement for wish in self.wishes for settlement in wish.settlements]

    @property
    def leased(self):
        return sum(standing.leased.requests for standing in self.purse.standings())


async def test_a_call_waits_for_its_worst_case_and_settles_by_what_it_took():
    line = Line()
    waits = await line.reserve()
    assert line.wishes[0].needs == (CALL,)
    line.purse.leased("run", 1)
    line.purse.settle(await waits, Amounts(1.0, 5.0, 5.0, 0.25), 2.0)
    [settlement] = line.settled
    assert (settlement.leased, settlement.used.usd, settlement.age_s) == (CALL, 0.25, 2.0)
    assert line.leased == 0.0


async def test_leases_go_to_calls_in_the_order_they_came():
    line = Line()
    first, second = await line.reserve(CALL), await line.reserve(TWICE)
    line.purse.leased("run", 1)
    line.purse.refused("run", OVER)
    assert (await first, await second) == (Reservation("run", CALL), OVER)


async def test_cancelled_while_waiting_a_call_gives_back_what_comes_for_it():
    line = Line()
    waits = await line.reserve()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert line.settled == []
    line.purse.leased("run", 1)
    assert [(one.leased, one.used) for one in line.settled] == [(CALL, NOTHING)]


async def test_cancelled_in_the_very_moment_of_the_lease_a_call_gives_it_back():
    line = Line()
    waits = await line.reserve()
    line.purse.leased("run", 1)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert [(one.leased, one.used) for one in line.settled] == [(CALL, NOTHING)]
    assert line.leased == 0.0


async def test_cancelled_in_the_very_moment_of_a_refusal_a_call_gives_nothing_back():
    line = Line()
    waits = await line.reserve()
    line.purse.refused("run", OVER)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert line.settled == []


async def test_what_is_leased_ahead_is_used_without_asking():
    line = Line(looks_ahead=True)
    waits = await line.reserve()
    line.purse.leased("run", 1)
    await waits
    line.purse.leased_ahead("run", CALL, 2)
    asked = len(line.wishes)
    await (await line.reserve())
    assert len(line.wishes) == asked
    line.purse.give_back_ahead()
    assert [(one.leased, one.used) for one in line.settled] == [(CALL, NOTHING)]


async def test_a_larger_call_gives_back_what_was_leased_ahead_before_it_asks():
    line = Line(looks_ahead=True)
    first = await line.reserve()
    line.purse.leased("run", 1)
    await first
    line.purse.leased_ahead("run", CALL, 3)
    waits = await line.reserve(TWICE)
    assert len(line.settled) == 3
    assert line.wishes[-1].needs == (TWICE,)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


async def test_new_pools_are_told_what_is_held_what_was_used_and_what_still_waits():
    line = Line()
    flying, gone, waits = await line.reserve(), await line.reserve(), await line.reserve(TWICE)
    line.purse.leased("run", 1)
    reservation = await flying
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    [standing] = line.purse.standings()
    assert (standing.leased, standing.used) == (CALL, NOTHING)
    [wish] = line.purse.waits()
    assert wish.needs == (TWICE,)
    line.purse.leased("run", 1)
    assert (await waits) == Reservation("run", TWICE)
    line.purse.settle(reservation, CALL, 5.0)
    [standing] = line.purse.standings()
    assert (standing.leased, standing.used, standing.recent) == (TWICE, CALL, [(5.0, CALL)])


async def test_what_ended_longer_than_a_minute_ago_is_not_told():
    line = Line()
    for age_s in (90.0, 0.0):
        waits = await line.reserve()
        line.purse.leased("run", 1)
        line.purse.settle(await waits, CALL, age_s)
    [standing] = line.purse.standings()
    assert standing.recent == [(0.0, CALL)]


async def test_a_limiter_that_is_gone_raises_from_calls_that_wait_and_from_those_to_come():
    line = Line()
    waits = await line.reserve()
    line.purse.lose(EngineError("pool-lost", "gone"))
    for _ in range(2):
        with pytest.raises(EngineError, match="pool-lost"):
            await waits
        waits = await line.reserve()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


CAPACITY, IN_FLIGHT, BUDGET_USD = 6, 4, 20.0


class Callers:
    """Two callers with permits and purses over one pool and limiter, messages in a queue; the pools may die and be told all anew."""

    def __init__(self):
        self.now_s = 1000.0
        self.in_flight = self.most_in_flight = 0
        self.spent_usd = 0.0
        self.messages = deque()
        self.lives = 0
        self.shares = {
            name: Share(lambda want, back, name=name: self._send(self._exchange, name, want, back), lambda: 0.0) for name in "ab"
        }
        self.purses = {
            name: Purse("mini", lambda wish, name=name: self._send(self._wish, name, wish), metered=True, looks_ahead=True, now_s=self.time)
            for name in "ab"
        }
        self.reborn()

    def time(self):
        return self.now_s

    def reborn(self):
        """The pools' process dies: what is on its way is lost, callers tell the new ones what is so."""
        self.lives += 1
        self.messages.clear()
        self.permits = Permits(CAPACITY)
        spec = ModelSpec(adapter="scripted", limits=Limits(calls_in_flight=IN_FLIGHT, usd_per_day=BUDGET_USD))
        self.limiter = Limiter({"mini": spec}, {})
        for name in "ab":
            self._carry_out(self.permits.join(name, *self.shares[name].renew()))
        told = {name: (self.purses[name].standings(), self.purses[name].waits()) for name in "ab"}
        for name, (standings, _) in told.items():
            self._hand_out(self.limiter.join(name, name, standings, self.now_s))
        for name, (_, waits) in told.items():
            for wish in waits:
                self._send(self._wish, name, wish)

    def _send(self, carry_out, *words):
        self.messages.append((self.lives, carry_out, words))

    def deliver(self):
        if self.messages:
            life, carry_out, words = self.messages.popleft()
            if life == self.lives:
                carry_out(*words)

    def _exchange(self, name, want, back):
        if back:
            self._carry_out(self.permits.give_back(name, back))
        if want:
            self._carry_out(self.permits.want(name, want))

    def _wish(self, name, wish):
        purpose = Purpose(name, wish.model, wish.run)
        if wish.settlements:
            self._hand_out(self.limiter.settle(purpose, wish.settlements, self.now_s))
        if wish.needs:
            self._hand_out(self.limiter.want(purpose, wish.terms, wish.needs, wish.ahead, self.now_s))

    def _carry_out(self, instructions):
        for one in instructions:
            share = self.shares[one.caller]
            match one:
                case Grant(count=count):
                    self._send(share.granted, count)
                case Recall(count=count):
                    self._send(share.recalled, count)
                case KeepIdle(keep=keep):
                    self._send(share.keep_idle, keep)

    def _hand_out(self, instructions):
        for one in instructions:
            purse, run = self.purses[one.purpose.caller], one.purpose.run
            match one:
                case Leased(count=count):
                    self._send(purse.leased, run, count)
                case Ahead(amounts=amounts, count=count):
                    self._send(purse.leased_ahead, run, amounts, count)
                case Refused(failure=failure):
                    self._send(purse.refused, run, failure)

    async def call(self, name, run, landing):
        await self.shares[name].acquire(run)
        try:
            reservation = await self.purses[name].reserve(run, Terms(), CALL)
            if isinstance(reservation, Failure):
                return
            used = CALL
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                await landing.wait()
                used = Amounts(1.0, 5.0, 5.0, 0.25)
            finally:
                self.in_flight -= 1
                self.spent_usd += used.usd
                self.purses[name].settle(reservation, used)
        finally:
            self.shares[name].release()


class Scene:
    """Callers to whom random things happen."""

    def __init__(self, seed, *, deaths):
        self.dice, self.deaths, self.at = random.Random(seed), deaths, Callers()
        self.landing, self.tasks = asyncio.Event(), []

    async def work(self):
        for _ in range(200):
            await self._step()
            if self.dice.random() < 0.5:
                await asyncio.sleep(0)
        await self._ended()

    async def _step(self):
        dice, at = self.dice, self.at
        match dice.randrange(12 if self.deaths else 11):
            case 0 | 1 | 2:
                self.tasks.append(asyncio.create_task(at.call(dice.choice("ab"), dice.choice("xy"), self.landing)))
            case 3:
                self.landing.set()
                await asyncio.sleep(0)
                self.landing.clear()
            case 4 if self.tasks:
                dice.choice(self.tasks).cancel()
            case 5:
                at.now_s += dice.random() * 20
            case 6:
                at.purses[dice.choice("ab")].give_back_ahead()
            case 11 if dice.random() < 0.3:
                at.reborn()
            case _:
                at.deliver()

    async def _ended(self):
        """Let everything that still can happen do so."""
        self.landing.set()
        for _ in range(20_000):
            self.at.deliver()
            await asyncio.sleep(0)
            if not self.at.messages and all(task.done() for task in self.tasks):
                break
        assert all(task.done() for task in self.tasks)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for purse in self.at.purses.values():
            purse.give_back_ahead()
        while self.at.messages:
            self.at.deliver()


@given(seed=st.integers(0, 2**32), deaths=st.booleans())
@settings(max_examples=50, deadline=None)
def test_whatever_is_granted_cancelled_and_lost_no_limit_is_passed_and_nothing_is_left_behind(seed, deaths):
    async def work():
        scene = Scene(seed, deaths=deaths)
        await scene.work()
        return scene.at

    at = asyncio.run(work())
    assert at.most_in_flight <= IN_FLIGHT
    assert at.spent_usd <= BUDGET_USD
    assert at.limiter.waiting == at.permits.waiting == 0
    assert [share.busy for share in at.shares.values()] == [0, 0]
    assert {standing.leased for purse in at.purses.values() for standing in purse.standings()} <= {NOTHING}


async def test_a_run_that_is_over_is_forgotten_with_what_was_leased_ahead():
    line = Line(looks_ahead=True)
    waits = await line.reserve()
    line.purse.leased("run", 1)
    line.purse.leased_ahead("run", CALL, 2)
    line.purse.settle(await waits, CALL)
    line.purse.forget("run")
    assert (line.leased, line.purse.standings(), line.wishes[-1].over) == (0, [], True)
    line.purse.leased_ahead("run", CALL, 1)  # crossed the message
    assert line.purse.standings() == []


async def test_a_run_with_calls_in_flight_is_not_over():
    line = Line()
    waits = await line.reserve()
    line.purse.leased("run", 1)
    reservation = await waits
    line.purse.forget("run")
    line.purse.settle(reservation, CALL)
    assert line.wishes[-1].settlements
