"""Layers: a mixture of agents; proposers answer, see each other's proposals, answer again; one writes the end (arXiv 2406.04692)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt, model_validator

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Name, Reply, Task
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step
from partsong.plans.together import together
from partsong.prompts import PromptTemplate, sees

__all__ = ["Layers"]

LayerPrompt = Annotated[PromptTemplate, sees("task", "proposals", "metadata")]

_PROPOSALS = """Request:
{{ task }}

Answers of several models to it. Any of them may be wrong:
{% for proposal in proposals %}
[{{ loop.index }}] {{ proposal }}
{% endfor %}
"""
_REFINE = PromptTemplate.of(_PROPOSALS + "Weigh them against each other, then answer the request yourself, as well as you can.")
_AGGREGATE = PromptTemplate.of(
    _PROPOSALS + "Write the one best answer to the request from them. Correct what is wrong. Give the answer only, do not mention them."
)


class Layers(Plan):
    """`{layers: {proposers: [a, b, c], rounds: 2, aggregator: large}}`.

    A proposer that fails is left out of its round; a round in which fewer than `quorum` answer is a failure.
    """

    kind: ClassVar[str] = "layers"

    proposers: Annotated[tuple[Name, ...], Field(min_length=1, max_length=32)]
    """Asked in parallel in every round; a name that stands several times gives independent samples."""
    aggregator: Name
    """Writes the answer from the last round's proposals."""
    rounds: Annotated[PositiveInt, Field(le=8)] = 1
    """Rounds of proposals; from the second on, proposers see those of the round before."""
    quorum: PositiveInt = 1
    """Fewest proposers that must answer in each round."""
    refine: LayerPrompt = _REFINE
    """Asked of proposers from the second round on; sees `task`, `proposals`, `metadata`."""
    aggregate: LayerPrompt = _AGGREGATE
    """Asked of the aggregator; sees the same."""
    keep_proposal: bool = False
    """When the aggregator fails, answer with the first proposal rather than fail."""

    @model_validator(mode="after")
    def _possible(self) -> "Layers":
        if self.quorum > len(self.proposers):
            raise ValueError(f"a quorum of {self.quorum} can never be met by {len(self.proposers)} proposers")
        return self

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        proposals: Sequence[Candidate] = ()
        for number in range(self.rounds):
            asking = task.model_copy(update={"answer_schema": None, "tools": ()}) if number == 0 else _filled(self.refine, task, proposals)
            if isinstance(asking, Failure):
                return asking
            replies = await self._round(asking, step / f"round-{number + 1}", port)
            proposals = [answer.candidate().model_copy(update={"source": name}) for name, answer in replies if isinstance(answer, Answer)]
            if len(proposals) < self.quorum:
                return self._no_quorum(number + 1, replies)
        return await self._aggregated(task, proposals, step, port)

    async def _round(self, asking: Task, step: Step, port: Port) -> Sequence[tuple[str, Reply]]:
        def sampled(place: int, name: str) -> Task:
            sample = asking.sampling.sample + self.proposers[:place].count(name)
            return asking.model_copy(update={"sampling": asking.sampling.model_copy(update={"sample": sample})})

        asks = (port.ask(name, sampled(place, name), step / f"{place}-{name}") for place, name in enumerate(self.proposers))
        return list(zip(self.proposers, await together(asks), strict=True))

    async def _aggregated(self, task: Task, proposals: Sequence[Candidate], step: Step, port: Port) -> Reply:
        asking = _filled(self.aggregate, task, proposals)
        if isinstance(asking, Failure):
            return asking
        asking = asking.model_copy(update={"answer_schema": task.answer_schema, "tools": task.tools})
        reply = await port.ask(self.aggregator, asking, step / f"aggregate-{self.aggregator}", final=True)
        words = f"{len(proposals)} proposals after {self.rounds} round{'s' if self.rounds > 1 else ''}"
        if isinstance(reply, Answer):
            return reply.model_copy(update={"candidates": tuple(proposals), "stopped": words, "votes": {}, "tiers": ()})
        if not self.keep_proposal or task.answer_schema is not None:
            return reply
        first = proposals[0]
        words = f"{words}; the aggregator failed ({reply.code}), the first proposal kept"
        return Answer(text=first.text, source=first.source, candidates=tuple(proposals), stopped=words)

    def _no_quorum(self, number: int, replies: Sequence[tuple[str, Reply]]) -> Failure:
        failures = [(name, reply) for name, reply in replies if isinstance(reply, Failure)]
        causes = ", ".join(f"{name}: {failure.code}" for name, failure in failures)
        return Failure(
            code=FailureCode.NO_QUORUM,
            message=f"round {number}: {len(failures)} of {len(replies)} proposers failed, {self.quorum} must answer ({causes})",
            retryable=any(failure.retryable for _, failure in failures),
        )

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        yield from self.proposers
        yield self.aggregator

    def most_asks(self) -> Iterator[Name]:
        """See Plan.most_asks."""
        for _ in range(self.rounds):
            yield from self.proposers
        yield self.aggregator


def _filled(prompt: PromptTemplate, task: Task, proposals: Sequence[Candidate]) -> Task | Failure:
    text = prompt.render(task=task.text, proposals=[proposal.text for proposal in proposals], metadata=task.metadata)
    return text if isinstance(text, Failure) else task.asking(text)
