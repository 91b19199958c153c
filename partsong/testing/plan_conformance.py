"""Plan conformance: what any plan must do; a plan's own tests inherit it and say what the plan is and what its models say."""

# ruff: noqa: D102 - a test's name is its sentence
import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated

from pydantic import TypeAdapter

from partsong.contracts import Answer, Constraints, Failure, Task
from partsong.contracts.onekey import OneKey
from partsong.plans.plan import Plan
from partsong.testing.scripted import Script, ScriptedPort, failed

__all__ = ["PlanConformance"]


class PlanConformance(ABC):
    """Inherit as `class TestMyPlan(PlanConformance)` and give `plan`; pytest does the rest."""

    @abstractmethod
    def plan(self) -> Plan:
        """Return the plan under test; it asks models by name, no other plans."""

    def models(self) -> Mapping[str, Script]:
        """Return what each model says; the same for all unless overridden."""
        return dict.fromkeys(self.plan().asks(), "yes")

    def task(self) -> Task:
        """Return a task for it."""
        return Task.of("Is the sky blue?")

    def port(self, *, max_calls: int | None = None) -> ScriptedPort:
        """Return a port over the models."""
        return ScriptedPort(self.models(), limits=Constraints(max_calls=max_calls))

    async def test_it_answers_when_all_its_models_do(self) -> None:
        assert isinstance(await self.port().answer(self.plan(), self.task()), Answer)

    async def test_it_asks_nobody_it_does_not_name(self) -> None:
        port = self.port()
        await port.answer(self.plan(), self.task())
        assert set(port.names) <= set(self.plan().asks())

    async def test_it_keeps_its_calls_below_its_own_step(self) -> None:
        port = self.port()
        await port.answer(self.plan(), self.task())
        assert all(ask.step.startswith("plan/") for ask in port.asked)

    async def test_it_asks_the_same_at_the_same_steps_every_time(self) -> None:
        first, second = self.port(), self.port()
        replies = [await port.answer(self.plan(), self.task()) for port in (first, second)]
        assert first.asked == second.asked
        assert replies[0] == replies[1]

    async def test_it_returns_a_failure_when_every_model_fails(self) -> None:
        port = ScriptedPort(dict.fromkeys(self.models(), failed()))
        assert isinstance(await port.answer(self.plan(), self.task()), Failure)

    async def test_it_copes_with_every_limit_of_calls(self) -> None:
        whole = self.port()
        await whole.answer(self.plan(), self.task())
        for max_calls in range(1, len(whole.asked) + 1):
            port = self.port(max_calls=max_calls)
            assert isinstance(await port.answer(self.plan(), self.task()), Answer | Failure)
            assert len(port.asked) <= max_calls

    async def test_what_it_calls_final_is_what_it_answers(self) -> None:
        port = self.port()
        reply = await port.answer(self.plan(), self.task())
        finals = [ask for ask in port.asked if ask.final]
        assert len(finals) <= 1
        if finals:
            assert isinstance(reply, Answer)
            assert reply.source == finals[0].name

    async def test_cancelled_it_leaves_no_call_behind(self) -> None:
        begun = asyncio.Event()

        async def never(_: Task) -> str:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        port = ScriptedPort(dict.fromkeys(self.models(), never))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(port.answer(self.plan(), self.task()))
            await begun.wait()
            running.cancel()
        assert sorted(port.cancelled) == sorted(port.names)

    def test_it_is_written_and_read_back_as_the_mesh_file_has_it(self) -> None:
        plan = self.plan()
        entry: TypeAdapter[Plan] = TypeAdapter(Annotated[Plan, OneKey("plan", {plan.kind: type(plan)})])
        assert entry.validate_json(entry.dump_json(plan)) == plan

    def test_it_has_a_kind_and_says_what_it_is(self) -> None:
        assert self.plan().kind.isidentifier()
        assert type(self.plan()).__doc__
