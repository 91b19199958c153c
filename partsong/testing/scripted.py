"""Scripted port: the port of a plan's test; models say what the test lets them say, and what was asked is there to look at."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from partsong.contracts import Answer, BillLine, Candidate, Constraints, Failure, FailureCode, Reply, Task
from partsong.merging.rule import MergeRule
from partsong.plans.allowance import Allowance
from partsong.plans.plan import Plan
from partsong.plans.port import Step
from partsong.plans.structured import validated

__all__ = ["Ask", "Line", "Script", "ScriptedPort", "failed", "said"]

Line = str | Answer | Failure
"""What a scripted model says: an answer's text, the whole answer, or a failure."""

Script = Line | Sequence[Line] | Callable[[Task], Line | Awaitable[Line]]
"""What a scripted model says to every task, turn by turn (the last line stays), or as a function of the task."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One model call that a plan made."""

    name: str
    task: Task
    step: str
    final: bool


def said(text: str, *, logprobs: Sequence[float] = (), confidence: float | None = None) -> Answer:
    """Return an answer; with token log-probabilities, which the port tells only to those who asked for them."""
    mean = sum(logprobs) / len(logprobs) if logprobs else None
    return Answer(text=text, mean_logprob=mean, min_logprob=min(logprobs, default=None), confidence=confidence)


def failed(code: FailureCode = FailureCode.TIMEOUT) -> Failure:
    """Return a failure of this code."""
    return Failure(code=code, message="scripted", retryable=code is FailureCode.TIMEOUT)


@dataclass
class ScriptedPort:
    """A real port over scripted models: nested plans, merging, JSON Schemas and the row's limit of calls work as in the engine.

    It raises AssertionError where an engine would lose its way: two calls of one row with the same step, a name nobody knows.
    """

    models: Mapping[str, Script]
    plans: Mapping[str, Plan] = field(default_factory=dict)
    skills: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Models by skill."""
    limits: Constraints = field(default_factory=Constraints)
    asked: list[Ask] = field(default_factory=list)
    """Every model call, in the order they began."""
    said: dict[str, Reply] = field(default_factory=dict)
    """What each call came to, by its step."""
    cancelled: list[str] = field(default_factory=list)
    """The names of models whose call was cancelled."""
    is_final: bool = True
    """Whether a plan that asks through this port answers the row itself."""
    _allowance: Allowance | None = None
    _turns: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._allowance = self._allowance or Allowance(self.limits)

    @property
    def names(self) -> list[str]:
        """The names of the models called, in the order the calls began."""
        return [ask.name for ask in self.asked]

    async def answer(self, plan: Plan, task: Task | str) -> Reply:
        """Run the plan on the task, as an engine does."""
        return await plan.answer(Task.of(task) if isinstance(task, str) else task, Step("plan"), self)

    async def ask(self, name: str, task: Task, step: Step, *, final: bool = False) -> Reply:
        """See Port.ask."""
        is_final = final and self.is_final
        if name in self.plans:
            return await self.plans[name].answer(task, step, replace(self, is_final=is_final))
        reply = await self._call(Ask(name, task, step.path, is_final))

        async def ask_again(repair: Task) -> Reply:
            return await self._call(Ask(name, repair, (step / "repair").path, False))

        return await validated(reply, task, ask_again)

    async def merge(self, rule: MergeRule, task: Task, candidates: Sequence[Candidate], step: Step) -> Reply:
        """See Port.merge."""
        questions = rule.questions(task, candidates)
        port = replace(self, is_final=False)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(port.ask(question.name, question.task, step / question.part)) for question in questions]
        return rule.combine(candidates, [one.result() for one in asked])

    def skilled(self, skill: str) -> Sequence[str]:
        """See Port.skilled."""
        return self.skills.get(skill, ())

    async def _call(self, ask: Ask) -> Reply:
        assert ask.name in self.models, f"nobody is called {ask.name}"
        assert ask.step not in {earlier.step for earlier in self.asked}, f"two calls of one row have the same step: {ask.step}"
        assert self._allowance is not None
        if refusal := self._allowance.refusal(0.0, 0, 0.0):
            return refusal
        self.asked.append(ask)
        with self._allowance.reserved(0.0, 0):
            try:
                line = await self._line(ask)
            except asyncio.CancelledError:
                self.cancelled.append(ask.name)
                raise
        self._allowance.spend(BillLine(step=ask.step, model=ask.name))
        reply = self.said[ask.step] = line if isinstance(line, Failure) else _as_told(line, ask)
        return reply

    async def _line(self, ask: Ask) -> Line:
        await asyncio.sleep(0)  # a model never answers within the same turn of the loop
        script = self.models[ask.name]
        if isinstance(script, str | Answer | Failure):
            return script
        if callable(script):
            line = script(ask.task)
            return await line if inspect.isawaitable(line) else line
        turn = self._turns[ask.name] = self._turns.get(ask.name, -1) + 1
        return script[min(turn, len(script) - 1)]


def _as_told(line: str | Answer, ask: Ask) -> Answer:
    answer = Answer(text=line) if isinstance(line, str) else line
    hidden = {} if ask.task.sampling.logprobs else {"mean_logprob": None, "min_logprob": None}
    return answer.model_copy(update={"source": answer.source or ask.name, **hidden})
