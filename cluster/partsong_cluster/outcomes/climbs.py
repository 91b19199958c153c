"""Climbs: what the tiers of a mesh's cascades would have given on recorded rows, by the same plan code; no call is made."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np

from partsong.contracts import Answer, Candidate, Completion, Failure, FailureCode, Reply, Task
from partsong.learning.outcomes import Outcomes
from partsong.learning.tabled import Replies, Tabled
from partsong.learning.thresholds import Climb
from partsong.merging.rule import MergeRule
from partsong.mesh.thresholds import made_of
from partsong.plans.cascade import Cascade, Tier
from partsong.plans.plan import Plan
from partsong.plans.port import Step
from partsong.plans.structured import validated

__all__ = ["climbs_of"]

_NOT_RECORDED = Failure(code=FailureCode.NOT_COVERED, message="no such call is recorded")


@dataclass(slots=True)
class _RecordedPort:
    """The port of one row: models reply as they were recorded to reply to its plain task."""

    row: Replies
    plans: Mapping[str, Plan]
    asked: list[str] = field(default_factory=list)
    lacks: bool = False
    """Whether something was asked that is not recorded, so that what came of it is a guess."""

    async def ask(self, name: str, task: Task, step: Step, *, final: bool = False) -> Reply:
        """See Port.ask."""
        if name in self.plans:
            return await self.plans[name].answer(task, step, self)
        reply = self.row.replies.get(name)
        if reply is None or not _alike(task, self.row.task):
            return await self._unrecorded(task)
        self.asked.append(name)
        return reply if isinstance(reply, Failure) else await validated(Answer.of(name, reply), task, self._unrecorded)

    async def merge(self, rule: MergeRule, task: Task, candidates: Sequence[Candidate], step: Step) -> Reply:
        """See Port.merge."""
        return await self._unrecorded(task) if rule.questions(task, candidates) else rule.combine(candidates, [])

    def skilled(self, skill: str) -> Sequence[str]:
        """See Port.skilled."""
        return ()

    async def _unrecorded(self, _: Task) -> Failure:
        self.lacks = True
        return _NOT_RECORDED


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one tier came to on one row; NaN where that is not known."""

    right: float
    cost_usd: float
    sure: float
    asked: float


def climbs_of(found: Tabled, plans: Mapping[str, Plan]) -> Iterator[Climb]:
    """Yield every cascade whose thresholds are to be learned, with what its tiers would have given on each row."""
    for name, plan in plans.items():
        if isinstance(plan, Cascade) and plan.learned:
            tried = asyncio.run(_tried(plan, plans, found))
            yield _climb(name, plan, made_of(plan, plans), tried, found.outcomes)


def _climb(name: str, plan: Cascade, made_of: str, tried: Sequence[Sequence[_Tried]], outcomes: Outcomes) -> Climb:
    right, cost, sure, asked = np.array([[(one.right, one.cost_usd, one.sure, one.asked) for one in row] for row in tried]).transpose(
        2, 0, 1
    )
    unread = ((None,) * len(plan.rungs),) * len(tried)
    return Climb(name, plan.rungs, made_of, Outcomes(plan.rungs, outcomes.prompts, right, unread, cost, outcomes.kinds, stated=sure), asked)


async def _tried(plan: Cascade, plans: Mapping[str, Plan], found: Tabled) -> list[list[_Tried]]:
    """Return what each tier came to on each row."""
    return [
        [await _one(tier, _RecordedPort(row, plans), found.outcomes, number) for tier in plan.tiers]
        for number, row in enumerate(found.rows)
    ]


async def _one(tier: Tier, port: _RecordedPort, outcomes: Outcomes, number: int) -> _Tried:
    task = port.row.task if tier.trust is None else tier.trust.asking(port.row.task)
    reply = await port.ask(tier.ask, task, Step(tier.ask))
    if port.lacks or not port.asked:
        return _Tried(nan, nan, nan, nan)
    cost = sum(float(outcomes.cost_usd[number, outcomes.models.index(model)]) for model in port.asked)
    if isinstance(reply, Failure):
        return _Tried(0.0, cost, nan, len(port.asked))
    sure = None if tier.trust is None else tier.trust.measured(reply)
    return _Tried(_right(reply, port.row, outcomes, number), cost, nan if sure is None else sure, len(port.asked))


def _right(answer: Answer, row: Replies, outcomes: Outcomes, number: int) -> float:
    """Return whether the answer is right, as was said of the model that gave it; NaN where none did, or nobody said."""
    gave = (m for m, model in enumerate(outcomes.models) if _text(row.replies.get(model)) == answer.text)
    return next((float(outcomes.right[number, m]) for m in gave), nan)


def _text(reply: Completion | Failure | None) -> str | None:
    return reply.text if isinstance(reply, Completion) else None


def _alike(task: Task, plain: Task) -> bool:
    """Return whether a model is asked the row's own task; token log-probabilities make it no other."""
    sampling = task.sampling.model_copy(update={"logprobs": plain.sampling.logprobs})
    return (task.messages, sampling, task.answer_schema) == (plain.messages, plain.sampling, plain.answer_schema)
