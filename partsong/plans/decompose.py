"""Decompose: a planner takes the request apart, fitting workers do the parts in parallel, one writes the answer from their results."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, model_validator

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Frozen, Name, Reply, Task
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step
from partsong.plans.structured import InvalidAnswerError, parsed, repair
from partsong.plans.subtasks import BadPlanError, Subtask, graph_schema, ordered, subtasks
from partsong.prompts import PromptTemplate, sees

__all__ = ["Decompose", "PartSpec"]

_PLAN = PromptTemplate.of("""\
Split the request into subtasks for different workers. Write for each:
"id": a short name. "kind": {{ kinds | join(" or ") if kinds else "the kind of work, one word" }}.
"prompt": a full instruction; the worker also sees the request.
"needs": ids of subtasks whose results it must see first, [] if none.
At most {{ limit }} subtasks, as few as will do. Answer with JSON only: {"subtasks": [...]}

Request:
{{ task }}""")

_CHOOSE = PromptTemplate.of("""\
Which of these parts does the request ask for?
{% for part in parts %}- {{ part.id }}: {{ part.about }}
{% endfor %}Answer with JSON only: {"parts": [...]}

Request:
{{ task }}""")

_WORK = PromptTemplate.of("""\
Request, for context:
{{ task }}
{% for id, text in results.items() %}
Result of {{ id }}:
{{ text }}
{% endfor %}
Do only this part of it: {{ subtask }}""")

_COMPOSE = PromptTemplate.of("""\
Request:
{{ task }}

Results of its parts:
{% for id, text in results.items() %}
## {{ id }}
{{ text }}
{% endfor %}
Write the complete answer to the request from these results. Keep what they say; add nothing.""")


class PartSpec(Frozen):
    """A part that may be wanted, fixed in the mesh file, so that a small planner has only to choose."""

    id: Name
    """How `needs`, `results` and the planner call it."""
    kind: str = "text"
    """What sort of work it is: which worker does it."""
    about: str
    """What the planner is told of it, in a few words."""
    prompt: Annotated[PromptTemplate, sees("task", "results", "metadata")]
    """All that its worker is asked; sees `task`, `results` (of the parts it needs), `metadata`."""
    needs: tuple[Name, ...] = ()
    """Parts whose results it must see; they are done too when it is chosen."""


class Decompose(Plan):
    """`{decompose: {planner: large, workers: {text: mini, code: coder}, compose: writer}}`.

    A graph that cannot be used is told back to the planner once. Then, as when the planner or too many subtasks fail, `otherwise` answers.
    """

    kind: ClassVar[str] = "decompose"

    planner: Name | None = None
    """Writes the subtasks, or chooses among `parts`; without one, all `parts` are done."""
    workers: dict[str, Name] = {}
    """Who does which kind of work. A kind that is not here goes to the first model with that skill, else to `default`."""
    default: Name | None = None
    """Does what nobody is named for; the planner when left out."""
    compose: Name | None = None
    """Writes the answer from the results; without one, they are put under each other."""
    otherwise: Name | None = None
    """Answers when the request cannot be taken apart or too many subtasks fail; without one, the row fails (`bad-plan`, or as they did)."""
    parts: tuple[PartSpec, ...] = ()
    """What may be wanted. With these, the planner chooses; without, it writes subtasks of its own."""
    max_subtasks: Annotated[PositiveInt, Field(le=64)] = 8
    """Most subtasks the planner may write."""
    plan_tokens: PositiveInt = 1024
    """Longest reply of the planner, whatever the task's own limit on the answer."""
    max_depth: Annotated[PositiveInt, Field(le=16)] = 4
    """Longest chain of subtasks that wait for each other."""
    tolerate: NonNegativeInt = 0
    """Most subtasks that may fail; what needs a failed one is left out and counts too."""
    plan_prompt: Annotated[PromptTemplate, sees("task", "kinds", "limit", "parts", "metadata")] | None = None
    """Asked of the planner; sees `task`, `kinds`, `limit`, `parts`, `metadata`."""
    work_prompt: Annotated[PromptTemplate, sees("task", "subtask", "kind", "results", "metadata")] = _WORK
    """Asked of a worker (unless `parts` say what); sees `task`, `subtask`, `kind`, `results` by id, `metadata`."""
    compose_prompt: Annotated[PromptTemplate, sees("task", "results", "metadata")] = _COMPOSE
    """Asked of `compose`; sees `task`, `results` by id, `metadata`."""

    @model_validator(mode="after")
    def _possible(self) -> "Decompose":
        if self.planner is None and not self.parts:
            raise ValueError("name a `planner`, or the `parts` to be done")
        if self.planner is None and self.default is None and (unfit := {part.kind for part in self.parts} - set(self.workers)):
            raise ValueError(f"no worker for {', '.join(sorted(unfit))}; name one under `workers`, or a `default`")
        try:
            if self.parts:
                self._ordered([self._subtask(part) for part in self.parts], limit=len(self.parts))
        except BadPlanError as error:
            raise ValueError(f"parts: {error}") from error
        return self

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        reply = await self._taken_apart(task, step, port)
        if isinstance(reply, Answer) or self.otherwise is None:
            return reply
        instead = await port.ask(self.otherwise, task, step / f"otherwise-{self.otherwise}", final=True)
        why = f"{self.otherwise} answered instead ({reply.code}: {reply.message})"
        return instead.model_copy(update={"stopped": why}) if isinstance(instead, Answer) else instead

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        named = (self.planner, *self.workers.values(), self.default, self.compose, self.otherwise)
        yield from (name for name in named if name is not None)

    def most_asks(self) -> Iterator[Name]:
        """See Plan.most_asks. Whoever may do a subtask may get all of them; models found by skill alone cannot be told beforehand."""
        if self.planner is not None:
            yield from repeat(self.planner, 4)  # its graph is told back once, and either answer's JSON may be repaired
        yield from self._most_work()
        yield from (name for name in (self.compose, self.otherwise) if name is not None)

    def _most_work(self) -> Iterator[Name]:
        anybody = self.default or self.planner
        if self.parts:
            yield from (name for part in self.parts if (name := self.workers.get(part.kind, anybody)) is not None)
            return
        for name in {*self.workers.values(), *(() if anybody is None else (anybody,))}:
            yield from repeat(name, self.max_subtasks)

    async def _taken_apart(self, task: Task, step: Step, port: Port) -> Reply:
        graph = await self._planned(task, step, port)
        if isinstance(graph, Failure):
            return graph
        work = _Work(self, task, step, port)
        if failure := await work.done(graph):
            return failure
        return await self._composed(work, graph)

    # -- planning

    async def _planned(self, task: Task, step: Step, port: Port) -> Sequence[Subtask] | Failure:
        """Return the subtasks in an order of work; a graph that cannot be used is told back to the planner once."""
        if self.planner is None:
            return self._chosen([part.id for part in self.parts])
        question = self._question(task)
        if isinstance(question, Failure):
            return question
        problem = ""
        for place in ("plan", "plan-repair"):
            reply = await port.ask(self.planner, question, step / place)
            if isinstance(reply, Failure):
                return _bad_plan(reply.message) if reply.code is FailureCode.INVALID_ANSWER else reply
            try:
                return self._graph(reply)
            except (BadPlanError, InvalidAnswerError) as error:
                problem = str(error)
                question = repair(question, reply.text, problem)
        return _bad_plan(problem)

    def _question(self, task: Task) -> Task | Failure:
        prompt = self.plan_prompt or (_CHOOSE if self.parts else _PLAN)
        kinds = list(self.workers)
        told = prompt.render(
            task=task.text,
            kinds=kinds,
            limit=self.max_subtasks,
            parts=[{"id": part.id, "about": part.about} for part in self.parts],
            metadata=task.metadata,
        )
        if isinstance(told, Failure):
            return told
        sampling = task.sampling.model_copy(update={"max_tokens": self.plan_tokens})
        return task.asking(told).model_copy(update={"answer_schema": self._schema(), "sampling": sampling})

    def _schema(self) -> dict[str, JsonValue]:
        if not self.parts:
            return graph_schema(list(self.workers), self.max_subtasks)
        ids: list[JsonValue] = [part.id for part in self.parts]
        chosen: JsonValue = {"type": "array", "items": {"type": "string", "enum": ids}, "minItems": 1, "maxItems": len(ids)}
        return {"type": "object", "properties": {"parts": chosen}, "required": ["parts"], "additionalProperties": False}

    def _graph(self, reply: Answer) -> Sequence[Subtask]:
        text = reply.text if reply.value is None else json.dumps(reply.value)
        value: Any = parsed(text, self._schema())
        return self._chosen(value["parts"]) if self.parts else self._ordered(subtasks(value), limit=self.max_subtasks)

    def _chosen(self, ids: Sequence[str]) -> Sequence[Subtask]:
        """Return the chosen parts and all they need."""
        by_id = {part.id: part for part in self.parts}
        wanted: set[str] = set()
        ahead = list(ids)
        while ahead:
            part_id = ahead.pop()
            ahead += () if part_id in wanted else by_id[part_id].needs
            wanted.add(part_id)
        return self._ordered([self._subtask(part) for part in self.parts if part.id in wanted], limit=len(self.parts))

    def _subtask(self, part: PartSpec) -> Subtask:
        return Subtask(id=part.id, kind=part.kind, prompt=part.prompt.text or " ", needs=part.needs)

    def _ordered(self, nodes: Sequence[Subtask], *, limit: int) -> Sequence[Subtask]:
        kinds = () if self.parts else tuple(self.workers)
        return ordered(nodes, limit=limit, max_depth=self.max_depth, kinds=kinds)

    # -- composing

    async def _composed(self, work: "_Work", graph: Sequence[Subtask]) -> Reply:
        results = {node.id: work.results[node.id].text for node in graph if node.id in work.results}
        reply = await self._written(work, results)
        if isinstance(reply, Failure):
            return reply
        words = f"{len(results)} of {len(graph)} subtasks done: {', '.join(f'{done} by {work.workers[done]}' for done in results)}"
        candidates = tuple(Candidate(source=f"{done} by {work.workers[done]}", text=text) for done, text in results.items())
        return reply.model_copy(update={"candidates": candidates, "stopped": words, "votes": {}, "tiers": ()})

    async def _written(self, work: "_Work", results: Mapping[str, str]) -> Reply:
        task = work.task
        if self.compose is None:
            return _joined(results, task.answer_schema)
        told = self.compose_prompt.render(task=task.text, results=results, metadata=task.metadata)
        if isinstance(told, Failure):
            return told
        asking = task.asking(told).model_copy(update={"answer_schema": task.answer_schema, "tools": task.tools})
        return await work.port.ask(self.compose, asking, work.step / f"compose-{self.compose}", final=True)


@dataclass(slots=True)
class _Work:
    """The subtasks of one request at work."""

    plan: Decompose
    task: Task
    step: Step
    port: Port
    results: dict[str, Answer] = field(default_factory=dict)
    workers: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    async def done(self, graph: Sequence[Subtask]) -> Failure | None:
        """Do all subtasks, each as soon as what it needs is there; return a failure once too many have failed."""
        running: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            for place, node in enumerate(graph):
                needed = [running[need] for need in node.needs]
                running[node.id] = group.create_task(self._do(place, node, needed))
            waiting = set(running.values())
            while waiting and len(self.failures) <= self.plan.tolerate:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in waiting:
                one.cancel()
        too_many = len(self.failures) > self.plan.tolerate or not self.results
        return self.failures[0] if too_many else None

    async def _do(self, place: int, node: Subtask, needed: Sequence[asyncio.Task[None]]) -> None:
        if needed:
            await asyncio.wait(needed)
        reply = await self._answered(place, node)
        if isinstance(reply, Answer):
            self.results[node.id] = reply
        else:
            self.failures.append(reply)

    async def _answered(self, place: int, node: Subtask) -> Reply:
        if lost := [need for need in node.needs if need not in self.results]:
            return Failure(code=FailureCode.NO_QUORUM, message=f"subtask {node.id} needs {lost[0]}, which failed", where=node.id)
        told = self._prompt(node)
        if isinstance(told, Failure):
            return told
        worker = self.workers[node.id] = self._worker(node.kind)
        return await self.port.ask(worker, self.task.asking(told), self.step / f"{place}-{worker}")

    def _prompt(self, node: Subtask) -> str | Failure:
        results = {need: self.results[need].text for need in node.needs}
        part = next((part for part in self.plan.parts if part.id == node.id), None)
        if part is not None:
            return part.prompt.render(task=self.task.text, results=results, metadata=self.task.metadata)
        about = {"task": self.task.text, "metadata": self.task.metadata}
        return self.plan.work_prompt.render(subtask=node.prompt, kind=node.kind, results=results, **about)

    def _worker(self, kind: str) -> str:
        """Return who does this kind of work: by name, by skill, else the default."""
        if kind in self.plan.workers:
            return self.plan.workers[kind]
        skilled = self.port.skilled(kind)
        worker = skilled[0] if skilled else self.plan.default or self.plan.planner
        assert worker is not None  # the plan's own check: without planner and default, every kind has its worker
        return worker


def _joined(results: Mapping[str, str], schema: Mapping[str, JsonValue] | None) -> Reply:
    """Return the results under each other; as a JSON object by id where the task wants JSON."""
    if schema is None:
        return Answer(text="\n\n".join(f"## {done}\n{text}" for done, text in results.items()))
    text = json.dumps(dict(results), ensure_ascii=False)
    try:
        return Answer(text=text, value=parsed(text, schema))
    except InvalidAnswerError as error:
        message = f"the results do not satisfy the task's JSON Schema: {error}; name a `compose` model"
        return Failure(code=FailureCode.INVALID_ANSWER, message=message)


def _bad_plan(problem: str) -> Failure:
    message = f"the planner's subtasks cannot be used, also after one repair: {problem}; name an `otherwise`, or a stronger planner"
    return Failure(code=FailureCode.BAD_PLAN, message=message, sent="yes")
