"""Simulation: a cluster of a thousand workers over a virtual clock, worked by our own coordinators, callers, shares, pools and limiter.

What is simulated is only what costs time: the network (a hop each way), the provider, and the processor time of each process (a queue with
one server: the job's, each coordinator's, the pools', each journal shard's, each worker's). How long each takes is measured by
`benchmarks/scale.py` on real Ray. What is not simulated: Ray's own scheduling, lost nodes, the database's disk. It shows which
process saturates first, to be set beside the model on paper in docs/scaling.md, and that limits hold to the request at that size.
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from partsong_actors.coalesce import Coalescer
from virtual_time import Station, run

from partsong.contracts import Call, CallRecord, Completion, Row, RowRecord, Task, Timing, Usage
from partsong.journal.store import Record
from partsong.mesh import Mesh, load_text
from partsong.pool.limiter import Ahead, Leased, Limiter, LimitInstruction, Refused
from partsong.pool.permits import Grant, KeepIdle, Recall
from partsong.pool.pool import DrainWorker, Hand, Pool, PoolInstruction
from partsong.pool.purse import Purse, PurseWish
from partsong.pool.share import Share
from partsong.telemetry import Telemetry
from partsong.work.caller import Caller
from partsong.work.clock import Clock
from partsong.work.coordinator import Coordinator
from partsong.work.metering import Metering
from partsong.work.notices import Notices, logged
from partsong.work.synthesizer import Synthesizer

MESH = """\
version: 1
models:
  upstream:
    adapter: openai
    model: test-model
    base_url: http://127.0.0.1:1/v1
    price: {{input: 0.15, output: 0.60}}
    workers: {{min: {workers}, max: {workers}}}
    concurrency: {concurrency}
    {limits}
"""
MODEL = "upstream"


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor seconds, as measured; and the network."""

    job_row_s: float = 300e-6
    """The job's process reads a row, hands it out, publishes its answer."""
    coordinator_row_s: float = 630e-6
    worker_call_s: float = 490e-6
    journal_record_s: float = 115e-6
    pools_message_s: float = 150e-6
    """A message of wishes or news, whatever is in it."""
    commit_s: float = 0.004
    """The database makes a transaction durable."""
    hop_s: float = 0.0005
    """A message from one process to another."""
    provider_s: float = 0.2


@dataclass(slots=True)
class Seen:
    """What is counted on the provider's side."""

    requests: int = 0
    per_second: Counter[int] = field(default_factory=Counter)


class SimulatedWorker:
    """A worker's process with the provider behind it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, costs: Costs, concurrency: int, seen: Seen, dice: random.Random) -> None:
        self._loop = loop
        self.station = Station(loop)
        self._slots = asyncio.Semaphore(concurrency)
        self._costs = costs
        self._seen = seen
        self._dice = dice

    async def ask(self, call: Call, on_text: Callable[[str], None] | None = None) -> Completion:
        """Answer after the provider's time: exponential about its mean above a quarter of it."""
        costs = self._costs
        took_s = costs.provider_s * (0.25 + 0.75 * self._dice.expovariate(1.0))
        await asyncio.sleep(costs.hop_s)
        async with self._slots:
            await self.station.work(costs.worker_call_s)
            self._seen.requests += 1
            self._seen.per_second[int(self._loop.time())] += 1
            await asyncio.sleep(took_s)
        await asyncio.sleep(costs.hop_s)
        usage, timing = Usage(prompt_tokens=20, completion_tokens=2), Timing(total_s=took_s)
        return Completion(text="42", finish_reason="stop", usage=usage, timing=timing, model=MODEL, cost_usd=4e-6)


class SimulatedJournal:
    """The journal's shards: a row's records go to one of them; a message's records are one transaction."""

    def __init__(self, loop: asyncio.AbstractEventLoop, costs: Costs, shards: int) -> None:
        self._costs = costs
        self.stations = [Station(loop) for _ in range(shards)]
        self.rows = 0

    def client(self) -> "SimulatedClient":
        """Return the journal as one coordinator has it."""
        return SimulatedClient(self)

    async def written(self, shard: int, records: Sequence[Record]) -> Sequence[None]:
        """Return when the shard has made them durable."""
        await asyncio.sleep(self._costs.hop_s)
        await self.stations[shard].work(self._costs.journal_record_s * len(records))
        await asyncio.sleep(self._costs.commit_s + self._costs.hop_s)
        self.rows += sum(isinstance(record, RowRecord) for record in records)
        return [None] * len(records)


class SimulatedClient:
    """The face of the journal that a coordinator uses."""

    def __init__(self, journal: SimulatedJournal) -> None:
        self._shards: list[Coalescer[Record, None]] = [
            Coalescer(lambda records, shard=shard: journal.written(shard, records)) for shard in range(len(journal.stations))
        ]

    async def append(self, records: Sequence[CallRecord | RowRecord], under: Sequence[Any] = (), traceparent: str = "") -> None:
        """See JournalPort.append."""
        for durable in [self._shards[record.row % len(self._shards)].put(record) for record in records]:
            await durable


class SimulatedPools:
    """The process of the pools: our machines, its messages coalesced as the real one's are."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mesh: Mesh, costs: Costs, clock: Clock) -> None:
        spec = mesh.models[MODEL]
        self._costs = costs
        self._clock = clock
        self.station = Station(loop)
        self.pool = Pool(spec.workers, spec.concurrency, looks_ahead=True, scale=spec.scale)
        self.metering = Metering(Limiter(mesh.models, mesh.accounts), clock, self._lease)
        self.members: dict[str, Member] = {}
        self._orders = 0

    def take(self, caller: str, wants: int, gives_back: int) -> None:
        """Carry out a caller's wish for permits."""
        now_s = self._clock.now_s()
        if gives_back:
            self._carry_out(self.pool.give_back(caller, gives_back))
        if wants:
            self._carry_out(self.pool.want(caller, wants, now_s))

    def joined(self, caller: str) -> None:
        """A coordinator is here."""
        self._carry_out(self.pool.join(caller, 0, 0, self._clock.now_s()))
        self.metering.join(caller, caller, [])

    def _carry_out(self, instructions: Sequence[PoolInstruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Grant(caller=caller) | Recall(caller=caller) | KeepIdle(caller=caller):
                    self.members[caller].news.put(instruction)
                case DrainWorker():
                    raise AssertionError("nothing is to be drained here")
                case _:
                    self._orders += 1
                    if self._orders == 1:
                        asyncio.get_running_loop().call_later(1.0, self._staffed)

    def _staffed(self) -> None:
        orders, self._orders = self._orders, 0
        for n in range(orders):
            self._carry_out(self.pool.worker_ready(Hand(f"w{n}", self.pool._concurrency), self._clock.now_s()))

    def _lease(self, instruction: LimitInstruction) -> None:
        self.members[instruction.purpose.caller].news.put(instruction)


News = Grant | Recall | KeepIdle | LimitInstruction


class Member:
    """One coordinator's line to the pools."""

    def __init__(
        self, name: str, mesh: Mesh, pools: SimulatedPools, costs: Costs, clock: Clock, workers: Sequence[SimulatedWorker]
    ) -> None:
        self.name = name
        self._pools = pools
        self._costs = costs
        self.news: Coalescer[News, None] = Coalescer(self._heard)
        wishes: Coalescer[tuple[int, int] | PurseWish, None] = Coalescer(self._told)
        spec = mesh.models[MODEL]
        share = Share(lambda want, back: _queued(wishes.put((want, back))), clock.now_s)
        purse = Purse(MODEL, lambda wish: _queued(wishes.put(wish)), metered=mesh.limits(MODEL), looks_ahead=True, now_s=clock.now_s)
        self.caller = Caller(MODEL, spec, share, purse, clock, Notices(logged, clock.now_s))
        self.caller.use(workers)

    async def _told(self, wishes: Sequence[tuple[int, int] | PurseWish]) -> Sequence[None]:
        await asyncio.sleep(self._costs.hop_s)
        await self._pools.station.work(self._costs.pools_message_s)
        for wish in wishes:
            if isinstance(wish, PurseWish):
                self._pools.metering.take(self.name, wish)
            else:
                self._pools.take(self.name, *wish)
        await asyncio.sleep(self._costs.hop_s)
        return [None] * len(wishes)

    async def _heard(self, news: Sequence[News]) -> Sequence[None]:
        await self._pools.station.work(self._costs.pools_message_s)
        await asyncio.sleep(self._costs.hop_s)
        share, purse = self.caller.share, self.caller.purse
        for one in news:
            match one:
                case Grant(count=count):
                    share.granted(count)
                case Recall(count=count):
                    share.recalled(count)
                case KeepIdle(keep=keep):
                    share.keep_idle(keep)
                case Leased(purpose=purpose, count=count):
                    purse.leased(purpose.run, count)
                case Ahead(purpose=purpose, amounts=amounts, count=count):
                    purse.leased_ahead(purpose.run, amounts, count)
                case Refused(purpose=purpose, failure=failure):
                    purse.refused(purpose.run, failure)
        return [None] * len(news)


def _queued(future: Awaitable[None]) -> None:
    """Leave a wish to its coalescer."""


class SimulatedCluster:
    """Everything at work: jobs that feed rows, coordinators, pools, journal, workers."""

    def __init__(self, options: argparse.Namespace, costs: Costs) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._options, self._costs = options, costs
        dice = random.Random(options.seed)
        clock = Clock(loop.time, loop.time, dice.random)
        limits = f"limits: {{requests_per_minute: {options.requests_per_minute}}}" if options.requests_per_minute else ""
        mesh = load_text(MESH.format(workers=options.workers, concurrency=options.concurrency, limits=limits), Path(), env={}).mesh
        self.seen = Seen()
        self._workers = [SimulatedWorker(loop, costs, options.concurrency, self.seen, dice) for _ in range(options.workers)]
        self.journal = SimulatedJournal(loop, costs, options.journal_shards)
        self.pools = SimulatedPools(loop, mesh, costs, clock)
        self._jobs = [Station(loop) for _ in range(options.jobs)]
        members = [Member(f"coordinator-{n}", mesh, self.pools, costs, clock, self._workers) for n in range(options.coordinators)]
        self.pools.members = {member.name: member for member in members}
        for member in members:
            self.pools.joined(member.name)
        self._stations = [Station(loop) for _ in members]
        self._cores = [
            Coordinator.of(mesh, {MODEL: member.caller}, Synthesizer(), self.journal.client(), Telemetry.off(), clock)  # type: ignore[arg-type]
            for member in members
        ]

    def busy_s(self) -> dict[str, float]:
        """Return the processor seconds of the busiest process of each kind."""
        stations = {
            "job": self._jobs,
            "coordinator": self._stations,
            "pools": [self.pools.station],
            "journal": self.journal.stations,
            "worker": [worker.station for worker in self._workers],
        }
        return {kind: max(station.busy_s for station in all_of) for kind, all_of in stations.items()}

    async def feed(self, job: int) -> None:
        """Keep as many rows under way as a real job does: twice what the workers take."""
        options = self._options
        room = asyncio.Semaphore(2 * options.workers * options.concurrency // options.jobs)
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while self._loop.time() < options.seconds:
            await room.acquire()
            task = asyncio.create_task(self._answer(job, number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(lambda _: room.release())
            number += 1
        left = list(under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, job: int, number: int) -> None:
        at = number % len(self._cores)
        await self._jobs[job].work(self._costs.job_row_s)
        await asyncio.sleep(self._costs.hop_s)
        await self._stations[at].work(self._costs.coordinator_row_s)
        row = Row(run=f"run-{job}", row=number, task=Task.of(f"What is {number} plus 1?", id=str(number)))
        await self._cores[at].answer(row)
        await asyncio.sleep(self._costs.hop_s)


async def simulated(options: argparse.Namespace, costs: Costs) -> Mapping[str, Any]:
    """Work for so many virtual seconds; return rates, and how busy each process was over the second half."""
    cluster = SimulatedCluster(options, costs)
    feeding = [asyncio.create_task(cluster.feed(job)) for job in range(options.jobs)]
    half_s = options.seconds / 2
    await asyncio.sleep(half_s)
    before, rows = cluster.busy_s(), cluster.journal.rows
    await asyncio.sleep(half_s)
    busy = {kind: (busy_s - before[kind]) / half_s for kind, busy_s in cluster.busy_s().items()}
    rate = (cluster.journal.rows - rows) / half_s
    await asyncio.gather(*feeding)
    cluster.pools.metering.close()
    return {
        "workers": options.workers,
        "in_flight": options.workers * options.concurrency,
        "coordinators": options.coordinators,
        "jobs": options.jobs,
        "journal_shards": options.journal_shards,
        "rows_per_s": round(rate),
        "on_paper_rows_per_s": {name: round(limit) for name, limit in on_paper(options, costs).items()},
        "busy": {kind: round(share, 3) for kind, share in busy.items()},
        "most_requests_in_60_s": _most_in_a_minute(cluster.seen.per_second),
    }


def on_paper(options: argparse.Namespace, costs: Costs) -> dict[str, float]:
    """Return the rows a second at which each part is full (one call a row)."""
    in_flight = options.workers * options.concurrency
    call_s = costs.provider_s + 2 * costs.hop_s + costs.worker_call_s
    limits = {
        "provider": in_flight / call_s,
        "job": options.jobs / costs.job_row_s,
        "coordinator": options.coordinators / costs.coordinator_row_s,
        "journal": options.journal_shards / (2 * costs.journal_record_s),
        "worker": options.workers / costs.worker_call_s,
    }
    return limits | ({"limit": options.requests_per_minute / 60} if options.requests_per_minute else {})


def _most_in_a_minute(per_second: Mapping[int, int]) -> int:
    seconds = range(max(per_second, default=0) + 1)
    return max((sum(per_second.get(second + n, 0) for n in range(60)) for second in seconds), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--coordinators", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=8, help="jobs at work at once, each with a process of its own")
    parser.add_argument("--journal-shards", type=int, default=4)
    parser.add_argument("--requests-per-minute", type=int, default=0, help="a limit of the model; 0: none")
    parser.add_argument("--seconds", type=float, default=6.0, help="virtual seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = run(simulated(options, Costs()))
    if options.json:
        print(json.dumps(found))
        return
    paper = found["on_paper_rows_per_s"]
    first = min(paper, key=paper.__getitem__)
    print(
        f"{found['workers']:,} workers, {found['in_flight']:,} calls in flight, {found['coordinators']} coordinators, {found['jobs']} jobs"
    )
    print(f"rows/s: {found['rows_per_s']:,}; on paper {paper[first]:,} ({first} is full first); on paper by part: {paper}")
    print(f"busiest process of each kind: {found['busy']}")
    if options.requests_per_minute:
        print(f"most requests in any 60 s: {found['most_requests_in_60_s']:,} of {options.requests_per_minute:,}")


if __name__ == "__main__":
    main()
