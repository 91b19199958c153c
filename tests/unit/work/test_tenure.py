"""Nobody acts under a name that somebody else has claimed and waited for."""

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from partsong.contracts.epoch import Epoch
from partsong.errors import EngineError, FencedError, StoreError
from partsong.work.clock import Clock
from partsong.work.tenure import Tenure, Term

TENURE_S = 10.0


class Epochs:
    """A store in this process; while it is `away` every question fails, with `fault`; while it is `silent` none is answered."""

    def __init__(self):
        self.numbers: dict[str, int] = {}
        self.away = self.silent = False
        self.fault: Exception = StoreError("store-away", "no store")

    async def claim(self, name: str) -> Epoch:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return Epoch(name=name, number=self.numbers[name])

    async def holds(self, epoch: Epoch) -> bool:
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise self.fault
        return self.numbers[epoch.name] == epoch.number


class Time:
    """Moves when the test says so; who sleeps wakes in order."""

    def __init__(self):
        self.now_s = 0.0
        self.sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.sleepers.append((self.now_s + seconds, woken))
        await woken.wait()

    async def pass_(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while due := [sleeper for sleeper in self.sleepers if sleeper[0] <= until_s]:
            first = min(due, key=lambda sleeper: sleeper[0])
            self.sleepers.remove(first)
            self.now_s = max(self.now_s, first[0])
            first[1].set()
            await settled()
        self.now_s = until_s

    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.now_s, sleep=self.sleep)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Held:
    """A tenure at work, and what was heard of it."""

    def __init__(self, epochs: Epochs):
        self.time = Time()
        self.heard: list[str] = []
        self.tenure = Tenure("coordinator-0", epochs, self.time.clock(), tenure_s=TENURE_S, turned=self.heard.append)

    async def begin(self) -> "asyncio.Task[None]":
        await self.tenure.begin()
        keeping = asyncio.create_task(self.tenure.keep())
        await settled()
        return keeping


@pytest.fixture
def epochs():
    return Epochs()


@pytest.fixture
async def held(epochs):
    one = Held(epochs)
    keeping = await one.begin()
    yield one
    keeping.cancel()


async def test_who_begins_may_act_and_fences_who_held_the_name_before(held, epochs):
    assert (held.tenure.held, held.heard) == (True, ["held"])
    assert held.tenure.under == (Epoch(name="coordinator-0", number=1),)
    await epochs.claim("coordinator-0")
    assert not await epochs.holds(held.tenure.epoch)


async def test_it_is_held_for_as_long_as_the_store_says_so(held):
    await held.time.pass_(1000)
    assert held.tenure.held


async def test_what_is_not_confirmed_any_more_is_held_until_its_time_is_up(held, epochs):
    epochs.away = True
    await held.time.pass_(TENURE_S - 1)
    assert held.tenure.held
    await held.time.pass_(3)
    assert held.tenure.state == "unconfirmed"


@pytest.mark.parametrize(
    "fault", [OSError("no route"), TimeoutError(), RuntimeError("no journal"), AttributeError("a mistake of ours")], ids=repr
)
async def test_whatever_breaks_a_question_it_is_asked_again(held, epochs, fault):
    epochs.away, epochs.fault = True, fault
    await held.time.pass_(20)
    assert held.heard == ["held", "unconfirmed"]
    await epochs.claim("coordinator-0")
    epochs.away = False
    await held.time.pass_(5)
    assert held.heard == ["held", "unconfirmed", "lost"]


async def test_a_store_that_does_not_answer_confirms_nothing(held, epochs):
    epochs.silent = True
    await held.time.pass_(2 * TENURE_S)
    assert held.tenure.state == "unconfirmed"


async def test_who_waits_to_act_goes_on_when_it_is_confirmed_again(held, epochs):
    epochs.away = True
    await held.time.pass_(20)
    waiting = asyncio.create_task(held.tenure.confirmed())
    await settled()
    assert not waiting.done()
    epochs.away = False
    await held.time.pass_(5)
    await asyncio.wait_for(waiting, 1)
    assert held.heard == ["held", "unconfirmed", "held"]


async def test_a_later_holder_ends_it(held, epochs):
    await epochs.claim("coordinator-0")
    await held.time.pass_(3)
    assert (held.tenure.state, held.heard) == ("lost", ["held", "lost"])
    with pytest.raises(FencedError, match="later holder"):
        await held.tenure.confirmed()


async def test_keeping_ends_when_it_is_lost(epochs):
    one = Held(epochs)
    keeping = await one.begin()
    await epochs.claim("coordinator-0")
    await one.time.pass_(3)
    await asyncio.wait_for(keeping, 1)


async def test_who_waits_to_act_hears_that_it_never_may(held, epochs):
    epochs.away = True
    await held.time.pass_(20)
    waiting = asyncio.create_task(held.tenure.confirmed())
    await settled()
    held.tenure.lose()
    with pytest.raises(FencedError):
        await waiting


async def test_nothing_is_held_before_it_begins(epochs):
    one = Held(epochs)
    assert not one.tenure.held
    with pytest.raises(EngineError, match="has not claimed"):
        one.tenure.under  # noqa: B018


class Successions(RuleBasedStateMachine):
    """Holders follow each other; answers of the store arrive late, in any order, or never."""

    @initialize()
    def begin(self):
        self.now_s = 0.0
        self.latest = 0
        self.terms: list[Term] = []
        self.claimed_s: list[float] = []
        self.questions: list[tuple[int, float, bool]] = []
        self.claim()

    @rule()
    def claim(self):
        self.latest += 1
        self.terms.append(Term(TENURE_S))
        self.claimed_s.append(self.now_s)
        self.terms[-1].confirmed(self.now_s)

    @rule(holder=st.integers(0, 20), asked_before_s=st.floats(0, 5))
    def ask(self, holder, asked_before_s):
        holder %= len(self.terms)
        asked_s = max(self.claimed_s[holder], self.now_s - asked_before_s)
        self.questions.append((holder, asked_s, holder == self.latest - 1))

    @rule(which=st.integers(0, 20))
    def answer(self, which):
        if self.questions:
            holder, asked_s, holds = self.questions.pop(which % len(self.questions))
            if holds:
                self.terms[holder].confirmed(asked_s)
            else:
                self.terms[holder].refused()

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds):
        self.now_s += seconds

    @invariant()
    def who_has_claimed_and_waited_acts_alone(self):
        if not getattr(self, "terms", None):
            return
        waited = self.now_s >= self.claimed_s[-1] + TENURE_S
        if waited:
            assert all(term.state(self.now_s) != "held" for term in self.terms[:-1])


TestSuccessions = Successions.TestCase
