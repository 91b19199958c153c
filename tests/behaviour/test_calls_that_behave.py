"""Limits, budgets, hedges, deadlines and fair shares, counted at the upstream server and never by our own books."""

import asyncio
import itertools
import random
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

import pytest
import pytest_asyncio
from partsong_actors.setup import SystemSpec
from partsong_cluster.engines import open_engine, ray_engine
from providers.openai import OpenAIServer
from providers.provider import Arrival

from partsong.contracts import Answer, Constraints, Failure, FailureCode, Row, Sampling, Task, Terms
from partsong.errors import BudgetError
from partsong.mesh import load_text

pytestmark = pytest.mark.asyncio(loop_scope="session")

MESH = """\
version: 1
accounts:
  acct: {{requests_per_minute: 600}}
models:
  plain: &upstream {{adapter: openai, model: plain, base_url: {url}, api_key: {{env: KEY}}, concurrency: 16}}
  priced: {{<<: *upstream, model: priced, price: {{input: 1000, output: 1000}}, breaker: {{least_calls: 1000}}}}
  shared: {{<<: *upstream, model: shared, concurrency: 4, adaptive: false}}
  hedged: {{<<: *upstream, model: hedged, hedge: {{after: 150ms, share: 1.0}}, fallbacks: [plain]}}
  failing: {{<<: *upstream, model: failing, retries: 0, fallbacks: [broken, plain]}}
  broken: {{<<: *upstream, model: broken, retries: 0}}
  few: {{<<: *upstream, model: few, limits: {{calls_in_flight: 3}}}}
  paced: {{<<: *upstream, model: paced, limits: {{requests_per_minute: 1200}}}}
  measured: {{<<: *upstream, model: measured, limits: {{tokens_per_minute: 60000}}}}
  mini: {{<<: *upstream, model: mini, account: acct}}
  maxi: {{<<: *upstream, model: maxi, account: acct}}
  slowing: {{<<: *upstream, model: slowing, base_url: {slowing}, concurrency: 48}}
routes: [{{use: plain}}]
"""
WORDS = Sampling(max_tokens=64)


class NamingServer(OpenAIServer):
    """Knows its calls as `model: prompt`; says as many words as the prompt's number asks for."""

    def read(self, request):
        asked = super().read(request)
        return replace(asked, prompt=f"{asked.model}: {asked.prompt}")


def words(asked):
    return "word " * (1 + random.Random(asked.prompt).randrange(60))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers():
    async with NamingServer(words, latency_s=0.02) as server, NamingServer(lambda _: "fine", latency_s=0.3) as slowing:
        yield server, slowing


@pytest.fixture
def server(servers):
    for one in servers:
        one.reset()
    return servers[0]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def calls(request, servers, engine, tmp_path_factory):
    """An engine of the kind under test, with two coordinators where it is found by its address."""
    folder, kind = tmp_path_factory.mktemp("calls"), request.config.getoption("--engine")
    loaded = load_text(MESH.format(url=servers[0].url, slowing=servers[1].url), folder, env={"KEY": "test-key"})
    secrets = dict.fromkeys(loaded.mesh.models, "test-key")
    if kind == "inline":
        async with open_engine("inline", loaded, folder, secrets=secrets) as opened:
            yield opened
    else:
        async with ray_engine(
            loaded, folder, secrets=secrets, system=SystemSpec.passing(coordinators=2 if kind == "address" else 1)
        ) as opened:
            yield opened


class Run:
    """Rows of one run, a bounded number at a time, until a budget stops it."""

    runs = itertools.count()

    def __init__(self, engine, use: str, rows: Sequence[str], *, window: int = 64, terms: Terms | None = None, **fields):
        self.name = f"calls-{next(self.runs)}"
        self._engine, self._use, self._window, self._fields = engine, use, window, fields
        self.terms = terms or Terms()
        self._left = dict(enumerate(rows))
        self.stopped: BudgetError | None = None
        self._sessions = 0

    async def work(self) -> dict[int, Answer | Failure]:
        """Answer what is left; rows that a budget refused are still left then."""
        self.stopped = None
        self._sessions += 1
        waiting, replies = iter(sorted(self._left)), {}

        async def worker():
            for number in waiting:
                try:
                    replies[number] = await self._answer(number)
                except BudgetError as error:
                    self.stopped = error
                if self.stopped:
                    return

        await asyncio.gather(*[worker() for _ in range(self._window)])
        for number in replies:
            del self._left[number]
        return replies

    async def _answer(self, number: int) -> Answer | Failure:
        task = Task.of(self._left[number], use=self._use).model_copy(update=self._fields)
        held = tuple(await self._engine.journal.calls(self.name, number, number)) if self._sessions > 1 else ()
        return (await self._engine.answer(Row(run=self.name, row=number, task=task, terms=self.terms, held=held))).reply


async def ask(engine, use, prompt, **fields):
    [reply] = (await Run(engine, use, [prompt], window=1, **fields).work()).values()
    return reply


def rows(name: str, count: int) -> list[str]:
    return [f"{name} {n}" for n in range(count)]


def arrived(server, *models: str) -> list[Arrival]:
    return [arrival for arrival in server.arrivals if arrival.model in models]


def most_within(arrivals: Sequence[Arrival], window_s: float, amount=lambda arrival: 1) -> float:
    """Return the most that came within any window of so many seconds."""
    times = [arrival.at_s for arrival in arrivals]
    sums = [0, *itertools.accumulate(amount(arrival) for arrival in arrivals)]
    return max(sums[n + 1] - sums[bisect_right(times, at_s - window_s)] for n, at_s in enumerate(times))


def usd(server, *models: str) -> float:
    return sum(arrival.tokens for arrival in arrived(server, *models)) / 1000


@asynccontextmanager
async def cancelled_after(*works):
    """Let these go on in the background."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def quiet(server):
    """Return when nothing has come for a while: what was cancelled is over."""
    seen = -1
    while server.in_flight or seen != len(server.arrivals):
        seen = len(server.arrivals)
        await asyncio.sleep(0.5)


async def warm(engine, *models):
    """Let workers start before something is timed."""
    await asyncio.gather(*[ask(engine, model, "warm") for model in models])


async def test_a_budget_is_used_but_never_passed_and_a_larger_one_goes_on(calls, server):
    run = Run(calls, "priced", rows("budget", 250), window=24, terms=Terms(budget_usd=5.0), sampling=WORDS)
    replies = await run.work()
    assert run.stopped.code == "run-budget"
    assert 4.5 <= usd(server, "priced") <= 5.0
    run.terms = Terms(budget_usd=100.0)
    replies |= await run.work()
    assert run.stopped is None
    assert sorted(replies) == list(range(250))
    assert all(isinstance(reply, Answer) for reply in replies.values())
    assert set(server.calls.values()) == {1}  # nothing was paid for again


async def test_a_failed_request_that_may_have_been_billed_counts_against_the_budget(calls, server):
    server.fault("cut", match="priced: cut", times=inf)
    run = Run(calls, "priced", rows("cut", 60), window=4, terms=Terms(budget_usd=2.0), sampling=WORDS)
    await run.work()
    assert run.stopped is not None
    assert server.calls.total() * 64 / 1000 <= 2.0


async def test_runs_share_a_model_by_their_weights(calls, server):
    await warm(calls, "shared")
    server.reset()
    runs = [Run(calls, "shared", rows(name, 150), terms=Terms(weight=weight)) for name, weight in (("heavy", 3.0), ("light", 1.0))]
    await asyncio.gather(*[run.work() for run in runs])
    while_both = arrived(server, "shared")[20:160]
    heavy = sum("heavy" in arrival.prompt for arrival in while_both)
    assert 0.65 <= heavy / len(while_both) <= 0.85


async def test_a_run_of_ten_rows_does_not_wait_for_one_of_two_thousand(calls, server):
    await warm(calls, "shared")
    server.reset()
    async with cancelled_after(Run(calls, "shared", rows("many", 2000), window=2000).work()):
        while len(server.arrivals) < 100:  # noqa: ASYNC110  the server counts in its own time
            await asyncio.sleep(0.02)
        began = len(server.arrivals)
        await Run(calls, "shared", rows("ten", 10), window=10).work()
        assert len(server.arrivals) - began < 150
    await quiet(server)


async def test_a_hedge_answers_and_the_slow_request_is_closed(calls, server):
    await warm(calls, "hedged")
    server.fault("slow", match="hedged: stuck", times=1)
    reply = await ask(calls, "hedged", "stuck", constraints=Constraints(fallbacks=False))
    assert isinstance(reply, Answer)
    assert reply.bill[0].attempts == 2
    await server.until(lambda: server.abandoned["hedged: stuck"] == 1)
    assert server.calls["hedged: stuck"] == 2
    assert server.in_flight == 0


async def test_past_a_rows_deadline_its_request_is_closed(calls, server):
    await warm(calls, "plain")
    server.fault("slow", match="plain: late")
    reply = await ask(calls, "plain", "late", constraints=Constraints(deadline_s=0.3))
    assert reply.code is FailureCode.DEADLINE
    await server.until(lambda: server.abandoned["plain: late"] == 1)
    assert server.calls["plain: late"] == 1


async def test_fallbacks_are_asked_in_order_and_the_answer_names_what_it_stands_for(calls, server):
    for model in ("failing", "broken"):
        server.fault("status", status=500, match=f"{model}: help")
    reply = await ask(calls, "failing", "help")
    assert [arrival.model for arrival in arrived(server, "failing", "broken", "plain")] == ["failing", "broken", "plain"]
    assert (reply.source, reply.fallback_for) == ("plain", "failing")
    assert [(line.model, line.outcome) for line in reply.bill] == [("failing", "failed"), ("broken", "failed"), ("plain", "answered")]


async def test_where_fallbacks_are_off_nobody_else_is_asked(calls, server):
    server.fault("status", status=500, match="failing: help")
    reply = await ask(calls, "failing", "help", constraints=Constraints(fallbacks=False))
    assert reply.code is FailureCode.SERVER_ERROR
    assert [arrival.model for arrival in server.arrivals] == ["failing"]


async def test_a_provider_that_is_out_for_a_while_costs_time_and_no_row(calls, server):
    server.fault("status", status=503, match="plain: outage", times=inf)
    running = asyncio.create_task(Run(calls, "plain", rows("outage", 100), window=32).work())
    await asyncio.sleep(2)
    assert server.calls.total() < 100  # it was asked less while it was out
    server.mend()
    replies = await running
    assert all(isinstance(reply, Answer) for reply in replies.values())
    assert len(replies) == 100


async def test_no_more_calls_are_in_flight_than_a_model_allows(calls, server):
    await Run(calls, "few", rows("few", 90), window=64).work()
    assert server.most_in_flight == 3


async def test_requests_are_paced_and_the_pace_is_kept(calls, server):
    await warm(calls, "paced")
    await asyncio.sleep(2.0)
    server.reset()
    await limited_for(calls, 6.0, "paced")
    arrivals = arrived(server, "paced")
    for window_s in (0.5, 1.0, 2.0, 4.0):
        assert most_within(arrivals, window_s) <= 37 + 20 * (window_s + 1.5)  # a busy machine delivers late what left in time
    assert len(arrivals) >= 0.95 * 6 * 20


async def limited_for(engine, seconds: float, *models: str, window: int = 64):
    """Keep work waiting at the models for so long."""
    async with cancelled_after(*[Run(engine, model, rows(model, 20_000), window=window, sampling=WORDS).work() for model in models]):
        await asyncio.sleep(seconds)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_limits_a_minute_are_kept_over_any_sixty_seconds_and_used(calls, server):
    await warm(calls, "paced", "measured", "mini", "maxi")
    await asyncio.sleep(62)
    server.reset()
    await limited_for(calls, 130, "paced", "measured", "mini", "maxi")
    ended_s = asyncio.get_running_loop().time() - 1.0
    seen = {}
    for limit, amount, models in (
        (1200, lambda arrival: 1, ["paced"]),
        (60_000, lambda arrival: arrival.tokens, ["measured"]),
        (600, lambda arrival: 1, ["mini", "maxi"]),
    ):
        arrivals = [arrival for arrival in arrived(server, *models) if arrival.at_s <= ended_s]
        last = sum(amount(arrival) for arrival in arrivals if arrival.at_s > ended_s - 60)
        seen[", ".join(models)] = most_within(arrivals, 60.0, amount) / limit, last / limit
        assert most_within(arrivals, 60.0, amount) <= limit, seen
    print(seen)
    assert min(last for _, last in seen.values()) >= 0.95, seen
    by_model = [len(arrived(server, model)) for model in ("mini", "maxi")]
    assert min(by_model) > 0.4 * sum(by_model)


@pytest.mark.chaos
@pytest.mark.timeout(200)
async def test_a_provider_that_grows_slow_is_asked_less_at_a_time_and_more_again_when_it_recovers(calls, servers):
    slowing = servers[1]
    await warm(calls, "slowing")
    slowing.capacity = inf
    async with cancelled_after(Run(calls, "slowing", rows("slowing", 100_000), window=96).work()):
        await asyncio.sleep(8)
        free = await in_flight(slowing)
        slowing.capacity = 6
        await asyncio.sleep(30)
        buried = await in_flight(slowing)
        slowing.capacity = inf
        await asyncio.sleep(30)
        recovered = await in_flight(slowing)
    print(f"in flight: {free:.0f}, beyond capacity {buried:.0f}, recovered {recovered:.0f}")
    assert free > 24
    assert buried < 0.5 * free
    assert recovered > 3 * buried  # and grows on


async def in_flight(server) -> float:
    """Return the median of calls in flight over a second."""
    seen = []
    for _ in range(50):
        await asyncio.sleep(0.02)
        seen.append(server.in_flight)
    return sorted(seen)[len(seen) // 2]
