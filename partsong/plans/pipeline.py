"""Pipeline: stages in a row, each with a prompt of its own that sees the task and what earlier stages wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeInt, model_validator

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Frozen, Message, Name, Reply, Task
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step
from partsong.plans.trust import Asked, TrustField
from partsong.prompts import PromptTemplate, sees

__all__ = ["Pipeline", "Stage"]

StagePrompt = Annotated[PromptTemplate, sees("task", "previous", "outputs", "problem", "metadata")]


class Stage(Frozen):
    """One station of a pipeline."""

    ask: Name
    """The model or plan asked."""
    prompt: StagePrompt | None = None
    """Sees `task` (its text), `previous` (the last stage's text), `outputs` (texts by stage name), `metadata`, and on a retry `problem`.
    The first stage may leave it out: it is then asked the task itself."""
    name: str = ""
    """What `outputs` calls it; `ask` when empty."""
    check: TrustField | None = None
    """A trust rule that the text must pass."""
    retries: NonNegativeInt = 1
    """How often a text that fails its check is asked for anew."""
    optional: bool = False
    """A stage that fails is left out, and the next one sees what the one before it wrote."""
    attach: bool = False
    """Send the task's images, sounds and files along with the prompt."""

    @model_validator(mode="after")
    def _checked_by_a_number(self) -> "Stage":
        if self.check is not None and self.check.learned:
            raise ValueError("thresholds are learned of cascades; write a number")
        return self

    @property
    def title(self) -> str:
        """Its name among the outputs."""
        return self.name or self.ask


class Pipeline(Plan):
    """`{pipeline: [{ask: reasoner, prompt: reason.j2}, {ask: writer, prompt: write.j2}]}`.

    The last stage's answer is the plan's; the task's JSON Schema and tools hold for that stage alone.
    """

    kind: ClassVar[str] = "pipeline"
    bare: ClassVar[str] = "stages"

    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """In the order of work."""

    @model_validator(mode="after")
    def _tellable(self) -> "Pipeline":
        titles = [stage.title for stage in self.stages]
        for place, title in enumerate(titles):
            if title in titles[:place]:
                raise ValueError(f"two stages are called {title}; give one of them a `name`")
        for place, stage in enumerate(self.stages[1:], start=2):
            if stage.prompt is None:
                raise ValueError(f"stage {place} ({stage.title}) has no `prompt`, so it would not see what came before")
        return self

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        done = _Line(task)
        reply: Reply = _NO_STAGE
        for place, stage in enumerate(self.stages):
            work = _Work(stage, done, is_last=place == len(self.stages) - 1)
            reply = await work.answer(step / f"{place}-{stage.title}", port)
            if isinstance(reply, Answer):
                done = done.after(stage, reply)
            elif not stage.optional:
                return reply.model_copy(update={"where": reply.where or stage.title})
        return reply if done.last is None else done.closed(reply)

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        for stage in self.stages:
            yield stage.ask
            if stage.check is not None:
                yield from stage.check.asks()

    def most_asks(self) -> Iterator[Name]:
        """See Plan.most_asks."""
        for stage in self.stages:
            if stage.check is None:
                yield stage.ask
                continue
            for _ in range(stage.retries + 1):
                yield stage.ask
                yield from stage.check.most_asks(stage.ask)


_NO_STAGE = Failure(code=FailureCode.INTERNAL, message="a pipeline without stages")


@dataclass(frozen=True, slots=True)
class _Line:
    """What has been written so far."""

    task: Task
    written: tuple[tuple[str, Answer], ...] = ()
    """By stage name, in the order of work."""

    @property
    def last(self) -> Answer | None:
        return self.written[-1][1] if self.written else None

    def after(self, stage: Stage, answer: Answer) -> "_Line":
        return _Line(self.task, (*self.written, (stage.title, answer)))

    def values(self, problem: str) -> Mapping[str, object]:
        """Return what a stage's prompt sees."""
        return {
            "task": self.task.text,
            "previous": self.last.text if self.last else "",
            "outputs": {title: answer.text for title, answer in self.written},
            "metadata": self.task.metadata,
            "problem": problem,
        }

    def closed(self, final: Reply) -> Reply:
        """Return the last answer with what each stage wrote; an optional last stage that failed leaves the one before it."""
        assert self.last is not None
        if isinstance(final, Failure) and self.task.answer_schema is not None:
            return final  # what an earlier stage wrote was never held against the schema
        stages = tuple(Candidate(source=title, text=answer.text, value=answer.value) for title, answer in self.written)
        stopped = f"all of {len(stages)} stages written" if isinstance(final, Answer) else f"the last stage failed ({final.code}); left out"
        return self.last.model_copy(update={"candidates": stages, "stopped": stopped, "votes": {}, "tiers": ()})


@dataclass(frozen=True, slots=True)
class _Work:
    """One stage at work."""

    stage: Stage
    line: _Line
    is_last: bool

    async def answer(self, step: Step, port: Port) -> Reply:
        """Return the stage's text, asked for anew while it fails its check."""
        problem = ""
        for attempt in range(self.stage.retries + 1):
            asking = self._task(attempt, problem)
            if isinstance(asking, Failure):
                return asking
            reply = await port.ask(self.stage.ask, asking, step / attempt, final=self.is_last and self.stage.check is None)
            if isinstance(reply, Failure) or self.stage.check is None:
                return reply
            verdict = await self.stage.check.judge(Asked(self.stage.ask, asking, reply, step / attempt / "check", port))
            if verdict.trusted:
                return verdict.answer or reply
            problem = verdict.reason
        return self._invalid(problem)

    def _task(self, attempt: int, problem: str) -> Task | Failure:
        asking = self._prompted(problem)
        if isinstance(asking, Failure):
            return asking
        sampling = asking.sampling.model_copy(update={"sample": asking.sampling.sample + attempt})
        asking = asking.model_copy(update={"sampling": sampling})
        return asking if self.stage.check is None else self.stage.check.asking(asking)

    def _prompted(self, problem: str) -> Task | Failure:
        whole = self.line.task
        if self.stage.prompt is None:
            return whole if self.is_last else whole.model_copy(update={"answer_schema": None, "tools": ()})
        prompt = self.stage.prompt.render(**self.line.values(problem))
        if isinstance(prompt, Failure):
            return prompt
        asking = whole.asking(prompt)
        asking = _attached(asking, whole) if self.stage.attach else asking
        return asking.model_copy(update={"answer_schema": whole.answer_schema, "tools": whole.tools}) if self.is_last else asking

    def _invalid(self, problem: str) -> Failure:
        asked = self.stage.retries + 1
        return Failure(
            code=FailureCode.INVALID_ANSWER,
            message=f"stage {self.stage.title} failed its check {asked} times; the last time: {problem}",
            where=self.stage.title,
            sent="yes",
        )


def _attached(asking: Task, whole: Task) -> Task:
    """Return the task with the images, sounds and files of the whole one behind its prompt."""
    extra = tuple(part for message in whole.messages for part in message.parts if part.type not in {"text", "code"})
    *head, prompt = asking.messages
    return asking.model_copy(update={"messages": (*head, Message(role=prompt.role, parts=(*prompt.parts, *extra)))})
