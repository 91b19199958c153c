"""A worker makes one attempt: within its time, with its number of calls in flight, and whatever its adapter does."""

import asyncio

import pytest
from work_bench import completion

from partsong.adapters.adapter import Adapter
from partsong.contracts import Call, FailureCode, Task
from partsong.telemetry import Telemetry, TelemetrySpec
from partsong.work.worker import Worker


class Listed(Telemetry):
    """Notes what spans of attempts are asked for."""

    def __init__(self, named: list[tuple[str, str]]) -> None:
        super().__init__(TelemetrySpec())
        self.named = named

    def model_span(self, name, call, adapter, model=""):
        self.named.append((name, model))
        return super().model_span(name, call, adapter, model)


class Scripted(Adapter):
    kind = "scripted"

    def __init__(self, complete):
        self._complete = complete

    async def complete(self, task, on_text=None):
        return await self._complete(task)


def call(timeout_s=60.0):
    return Call(model="mini", task=Task.of("Hello"), step="mini", timeout_s=timeout_s)


async def asked(complete, *, timeout_s=60.0):
    return await Worker("mini", Scripted(complete), 4, Telemetry.off()).ask(call(timeout_s))


async def test_what_the_adapter_completes_is_the_reply():
    async def fine(task):
        return completion(f"to {task.text}")

    assert (await asked(fine)).text == "to Hello"


async def test_past_its_time_an_attempt_is_cancelled_and_may_have_been_sent():
    cancelled = asyncio.Event()

    async def stuck(task):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    failure = await asked(stuck, timeout_s=0.01)
    assert (failure.code, failure.retryable, failure.sent) == (FailureCode.TIMEOUT, True, "maybe")
    assert cancelled.is_set()


async def test_a_broken_adapter_costs_its_call_and_tells_its_class_alone():
    async def broken(task):
        raise RuntimeError("sk-not-for-eyes")

    failure = await asked(broken)
    assert (failure.code, failure.where) == (FailureCode.WORKER_ERROR, "mini")
    assert "RuntimeError" in failure.message
    assert "sk-not" not in failure.message


async def test_calls_beyond_its_concurrency_wait():
    in_flight, most, gate = 0, 0, asyncio.Event()

    async def counted(task):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await gate.wait()
        in_flight -= 1
        return completion("fine")

    worker = Worker("mini", Scripted(counted), 2, Telemetry.off())
    calls = [asyncio.create_task(worker.ask(call())) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*calls)
    assert most == 2


@pytest.mark.parametrize("model", ["", "gpt-4.1-mini"])
async def test_an_attempts_span_has_the_providers_name_of_the_model(model):
    async def fine(task):
        return completion("fine")

    named: list[tuple[str, str]] = []
    await Worker("mini", Scripted(fine), 1, Listed(named), model).ask(call())
    assert named == [("mini", model)]
