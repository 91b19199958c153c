"""How a user's program uses the public faces: type-checked, never run; a line's mark says what mypy must find there."""
# ruff: noqa: B018, F821, F841

from collections.abc import AsyncIterator
from pathlib import Path

import partsong_cluster

import partsong
from partsong.contracts import Completion, Failure, FailureCode, Sampling, Task, TextPart, Timing
from partsong.plans import Plan, Port, Step
from partsong.units import duration_s


async def asking() -> None:
    async with partsong.open("mesh.yaml") as mesh:
        reveal_type(mesh)  # reveals: partsong.opened.OpenMesh
        reply = await mesh.ask("How do I change my PIN?", use="faq")
        reveal_type(reply)  # reveals: partsong.contracts.answer.Answer | partsong.contracts.failure.Failure
        reply.text  # refused: union-attr
        match reply:
            case partsong.Answer():
                reveal_type(reply.text)  # reveals: str
                reveal_type(reply.cost_usd)  # reveals: float
                reveal_type(reply.confidence)  # reveals: float | None
                reveal_type(reply.bill[0].usage.total_tokens)  # reveals: int
            case partsong.Failure():
                reveal_type(reply.code)  # reveals: partsong.contracts.failure.FailureCode
                reveal_type(reply.retry_after_s)  # reveals: float | None
            case _:
                typed_out: str = 1  # never reached, so never refused
        await mesh.ask(42)  # refused: arg-type
        await mesh.ask("Hello", model="mini")  # refused: call-arg
        mesh.ask("Hello")  # refused: unused-coroutine


async def streaming(questions: AsyncIterator[Task]) -> None:
    async with partsong.open(Path("mesh.yaml"), env={}) as mesh:
        async for reply in mesh.stream(["one", Task.of("two")], concurrency=8):
            reveal_type(reply)  # reveals: partsong.contracts.answer.Answer | partsong.contracts.failure.Failure
        async for reply in mesh.stream(questions):
            print(reply.bill)
        async for reply in mesh.stream([1, 2]):  # refused: list-item
            print(reply)
        for reply in mesh.stream(["one"]):  # refused: attr-defined
            print(reply)
    with partsong.open("mesh.yaml") as mesh:  # refused: attr-defined
        print(mesh)


async def over_ray() -> None:
    async with partsong_cluster.open("mesh.yaml", address="auto") as mesh:
        reveal_type(mesh)  # reveals: partsong.opened.OpenMesh
    async with partsong.open("mesh.yaml", address="auto") as mesh:  # refused: call-arg
        print(mesh)


def errors() -> None:
    try:
        loaded = partsong.load_mesh("mesh.yaml", env={})
        reveal_type(loaded.mesh.models)  # reveals: dict[str, partsong.contracts.model.ModelSpec]
    except partsong.MeshError as error:
        reveal_type(error.problems[0].at)  # reveals: partsong.errors.Place | None
        reveal_type(error.code)  # reveals: str


def contracts() -> None:
    task = Task(id="1", messages=(partsong.Message(role="user", parts=(TextPart(text="Hello"),)),), sampling=Sampling(temperature=0.0))
    reveal_type(task.sampling.temperature)  # reveals: float | None
    Task(id="1")  # refused: call-arg
    Task.of("Hello", used="mini")  # refused: call-arg
    partsong.Message(role="robot", parts=())  # refused: arg-type
    Failure(code="nonsense", message="")  # refused: arg-type
    Failure(code=FailureCode.TIMEOUT, message="", sent="perhaps")  # refused: arg-type
    Completion(text="Hello", model="mini", timing=Timing(total_s=1.0), cost=1.0)  # refused: call-arg
    reveal_type(duration_s)  # reveals: def (value: Any) -> Any


class Loud(Plan):
    """A plan of a user's own."""

    async def answer(self, task: Task, step: Step, port: Port) -> partsong.Reply:
        reply = await port.ask("mini", task, step / 0)
        reveal_type(reply)  # reveals: partsong.contracts.answer.Answer | partsong.contracts.failure.Failure
        await port.ask("mini", task)  # refused: call-arg
        return reply.text  # refused: union-attr, return-value


Loud()  # refused: abstract
