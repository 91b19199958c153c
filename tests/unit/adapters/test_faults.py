"""Every adapter against every fault: providers.fault_table holds, over real sockets, through a real engine.

Each row is asked twice: while the fault lasts, and when it hits the first try alone. What was asked again is counted at the server.
"""

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from math import inf
from pathlib import Path
from typing import Any

import pytest
from providers.fault_table import COLUMNS, TABLE, Cell, Column, answered, fails
from providers.faults import Fault
from providers.kinds import KINDS
from providers.provider import Provider
from providers.unreachable import address

from partsong.contracts import Answer, Constraints, Failure, FailureCode, Row, Task
from partsong.inline import InlineEngine
from partsong.journal.sqlite import SqliteStore
from partsong.mesh import Mesh
from partsong.work.clock import Clock

KEY = "sk-very-secret-0123456789"
PROMPT = "grüße an alle in Köln, einer nach dem anderen 🙂"
CAP_BYTES = 16_000_000
SHORT: dict[str, dict[str, Any]] = {"slow": {"timeout": 0.3}, "stall": {"stall_timeout": 0.1}, "silent": {"connect_timeout": 0.2}}
"""Limits of the faults that take time."""
CASES = [case for cases in TABLE.values() for case in cases]
IDS = [f"{column.adapter}-{'streamed' if column.streamed else 'whole'}" for column in COLUMNS]


@dataclass
class Waits:
    """A clock that lets nobody wait, and keeps how long each wanted to; its dice make the jitter half of its span."""

    wanted_s: list[float] = field(default_factory=list)
    on_wait: Callable[[], Awaitable[object]] | None = None

    async def sleep(self, wait_s: float) -> None:
        self.wanted_s.append(wait_s)
        await (asyncio.sleep(0) if self.on_wait is None else self.on_wait())

    def clock(self) -> Clock:
        return Clock(now_s=lambda: time.monotonic() + sum(self.wanted_s), dice=lambda: 0.5, sleep=self.sleep)


class Bench:
    """A provider that fails on demand, and an engine that asks it."""

    def __init__(self, column: Column, folder: Path) -> None:
        self.column = column
        self.folder = folder
        self.server: Provider = KINDS[column.adapter][0](key=KEY)
        self.elsewhere: Provider = KINDS[column.adapter][0](key=KEY)
        """Where redirects lead."""
        self.waits = Waits()
        self.shown: list[str] = []

    def break_by(self, fault: Fault, times: float) -> None:
        date = formatdate(time.time() + 9, usegmt=True)
        headers = tuple((name, value.replace("{date+9}", date)) for name, value in fault.headers)
        self.server.break_by(replace(fault, times=times, headers=headers, location=f"{self.elsewhere.url}/v1/chat/completions"))

    async def ask(self, url: str, *, before: int = 0, deadline_s: float | None = None, **fields: Any) -> Answer | Failure:
        """Ask one row, after as many others, with one retry."""
        model = {"adapter": self.column.adapter, "model": KINDS[self.column.adapter][2], "base_url": url, "retries": 1}
        limits = {"timeout": 10.0, "stall_timeout": 10.0, "connect_timeout": 5.0, "reply_cap": CAP_BYTES}
        mesh = Mesh.model_validate({"version": 1, "models": {"m": model | limits | fields}})
        with closing(SqliteStore.open(self.folder / "journal.db")) as store:
            async with InlineEngine(mesh, store, folder=self.folder, secrets={"m": KEY}, clock=self.waits.clock()) as engine:
                for number in range(before):
                    assert isinstance((await engine.answer(row(number))).reply, Answer)
                return (await engine.answer(row(before, deadline_s), self.shown.append if self.column.streamed else None)).reply


def row(number: int, deadline_s: float | None = None) -> Row:
    task = Task.of(PROMPT, id=str(number)).model_copy(update={"constraints": Constraints(deadline_s=deadline_s)})
    return Row(run="r", row=number, task=task)


@pytest.fixture(params=COLUMNS, ids=IDS)
async def bench(request, tmp_path):
    bench = Bench(request.param, tmp_path)
    async with bench.server, bench.elsewhere:
        yield bench


def gets(reply: Answer | Failure, attempts: int) -> Cell:
    """Return the cell that this reply is."""
    if isinstance(reply, Failure):
        return fails(reply.code.value, sent=reply.sent, retried=attempts > 1)
    return answered(reply.finish_reason, estimated=reply.bill[-1].usage.estimated)


def of_kind(kind: type) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.fault) for case in CASES if isinstance(case.how, kind)])


@of_kind(Fault)
async def test_while_a_fault_lasts_the_user_gets_what_the_table_says(bench, case):
    bench.break_by(case.how, inf)
    reply = await bench.ask(bench.server.url, before=case.how.skip, **SHORT.get(case.how.kind, {}))
    attempts = bench.server.calls.total() - case.how.skip
    assert gets(reply, attempts) == case.cell(bench.column)
    assert attempts == reply.bill[-1].attempts
    assert KEY not in repr(reply)
    assert bench.elsewhere.connections == 0
    if case.waits_s is not None:
        assert case.waits_s[0] <= bench.waits.wanted_s[0] <= case.waits_s[1]
    if case.closes:
        await bench.server.until(lambda: bench.server.abandoned.total() == attempts)


@of_kind(Fault)
async def test_a_fault_that_passes_costs_what_is_asked_again_nothing_but_time(bench, case):
    bench.break_by(case.how, 1)
    reply = await bench.ask(bench.server.url, before=case.how.skip, **SHORT.get(case.how.kind, {}))
    cell = case.cell(bench.column)
    if not cell.retried:
        assert gets(reply, 1) == cell
        return
    assert isinstance(reply, Answer)
    assert (reply.text, bench.server.calls.total()) == (PROMPT, 2)
    assert "".join(bench.shown) == (PROMPT if bench.column.streamed else "")


@of_kind(str)
async def test_what_cannot_have_been_sent_says_so(bench, case):
    async with address(case.how, bench.folder) as url:
        reply = await bench.ask(url, **SHORT.get(case.how, {}))
    assert gets(reply, reply.bill[-1].attempts) == case.cell(bench.column)
    assert bool(bench.waits.wanted_s) is case.cell(bench.column).retried


async def test_a_provider_that_comes_back_is_asked_again(bench):
    port = bench.server.port
    await bench.server.stop()
    bench.waits.on_wait = lambda: bench.server.start(port)
    assert (await bench.ask(bench.server.url)).text == PROMPT
    assert bench.server.calls.total() == 1


@pytest.mark.parametrize("fault", ["slow", "stall"])
async def test_a_row_past_its_deadline_is_given_up_upstream_too(bench, fault):
    bench.server.fault(fault, after=4)
    reply = await bench.ask(bench.server.url, deadline_s=0.4)
    assert reply.code in (FailureCode.DEADLINE, FailureCode.TIMEOUT)
    await bench.server.until(lambda: bench.server.abandoned.total() == bench.server.calls.total() == 1)


async def test_a_reply_of_500_mb_takes_no_more_memory_than_the_cap(bench):
    bench.server.fault("huge", size=500_000_000)
    tracemalloc.start()
    try:
        reply = await bench.ask(bench.server.url)
        assert tracemalloc.get_traced_memory()[1] < 2 * CAP_BYTES
    finally:
        tracemalloc.stop()
    assert reply.code == FailureCode.TOO_LARGE
    await bench.server.until(lambda: not bench.server.open_connections)
