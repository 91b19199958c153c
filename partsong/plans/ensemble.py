"""Ensemble: several members answer in parallel; a merge rule makes one answer, as soon as it is decided."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Frozen, Name, Reply, Task
from partsong.merging import MergeField, MergeRule
from partsong.merging.majority import Majority
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step

__all__ = ["Ensemble", "Member"]


class Member(Frozen):
    """One voice of an ensemble; written as its name alone, or with a weight."""

    ask: Name
    """The model or plan asked."""
    weight: PositiveFloat = 1.0
    """What its answer counts, for rules that weigh."""


def _named(value: Any) -> Any:
    return {"ask": value} if isinstance(value, str) else value


MemberField = Annotated[Member, BeforeValidator(_named, json_schema_input_type=str | Member)]


class Ensemble(Plan):
    """`{ensemble: {members: [a, b, c], merge: majority, quorum: 2}}`.

    A name that stands several times is asked for that many independent samples. Candidates keep the members' order, which breaks ties.
    """

    kind: ClassVar[str] = "ensemble"
    bare: ClassVar[str] = "members"

    members: Annotated[tuple[MemberField, ...], Field(min_length=1)]
    """Asked in parallel."""
    merge: MergeField = Majority()
    """How one answer is made of theirs."""
    quorum: PositiveInt = 1
    """Fewest members that must answer; with fewer the ensemble fails with `no-quorum`."""
    tolerate: NonNegativeInt | None = None
    """Most members that may fail; None leaves it to the quorum."""
    early: bool = True
    """Stop, and cancel the rest, once no missing member can change the outcome; the missing then count as if they disagreed.

    Say false where a larger share of the votes is wanted than decides the outcome (`trust: {agreement: 1.0}`)."""

    @model_validator(mode="after")
    def _possible(self) -> "Ensemble":
        if self.quorum > len(self.members):
            raise ValueError(f"a quorum of {self.quorum} can never be met by {len(self.members)} members")
        if self.tolerate is not None and self.tolerate >= len(self.members):
            raise ValueError(f"tolerating {self.tolerate} failures of {len(self.members)} members would leave none to answer")
        if isinstance(self.merge, Majority) and any(member.weight != 1.0 for member in self.members):
            raise ValueError("majority counts every member once, so their `weight` would never matter; say `merge: weighted`")
        return self

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        poll = _Poll(self, self.merge.on(task))
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask) for ask in self._asks(task, step, port)]
            waiting = set(asked)
            while waiting and not poll.over:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                poll.replies = {place: one.result() for place, one in enumerate(asked) if one.done()}
            for one in waiting:
                one.cancel()
        if refusal := poll.refusal:
            return refusal
        merged = await port.merge(poll.rule, task, poll.candidates, step / "merge")
        return merged if isinstance(merged, Failure) else poll.closed(merged)

    def _asks(self, task: Task, step: Step, port: Port) -> Iterator[Any]:
        seen: Counter[str] = Counter()
        for place, member in enumerate(self.members):
            sampling = task.sampling.model_copy(update={"sample": task.sampling.sample + seen[member.ask]})
            seen[member.ask] += 1
            yield port.ask(member.ask, task.model_copy(update={"sampling": sampling}), step / f"{place}-{member.ask}")

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        for member in self.members:
            yield member.ask
        yield from self.merge.asks()

    def most_asks(self) -> Iterator[Name]:
        """See Plan.most_asks."""
        for member in self.members:
            yield member.ask
        yield from self.merge.most_asks(len(self.members))


@dataclass(slots=True)
class _Poll:
    """What the members have answered so far, and what follows from it."""

    plan: Ensemble
    rule: MergeRule
    """The plan's merge, as it counts on this task."""
    replies: Mapping[int, Reply] = field(default_factory=dict)
    """By the member's place."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        return [_candidate(self.plan.members[place], reply) for place, reply in self.replies.items() if isinstance(reply, Answer)]

    @property
    def failures(self) -> Mapping[int, Failure]:
        return {place: reply for place, reply in self.replies.items() if isinstance(reply, Failure)}

    @property
    def missing(self) -> Sequence[float]:
        """The weights of the members that have not answered yet."""
        return [m.weight * self.rule.weight(m.ask) for place, m in enumerate(self.plan.members) if place not in self.replies]

    @property
    def over(self) -> bool:
        """Whether waiting on can change nothing that matters."""
        return self.refusal is not None or self._decided

    @property
    def _decided(self) -> bool:
        candidates = self.candidates
        enough = len(candidates) >= self.plan.quorum
        return enough and self.plan.early and self.rule.decided(candidates, self.missing)

    @property
    def refusal(self) -> Failure | None:
        """Why no answer can come any more; None while one can."""
        failed, members = len(self.failures), len(self.plan.members)
        if self.plan.tolerate is not None and failed > self.plan.tolerate:
            return self._no_quorum(f"{failed} of {members} members failed, {self.plan.tolerate} may")
        if members - failed < self.plan.quorum:
            return self._no_quorum(f"{failed} of {members} members failed, {self.plan.quorum} must answer")
        return None

    def _no_quorum(self, what: str) -> Failure:
        failures = self.failures
        causes = ", ".join(f"{self.plan.members[place].ask}: {failure.code}" for place, failure in failures.items())
        retryable = any(failure.retryable for failure in failures.values())
        return Failure(code=FailureCode.NO_QUORUM, message=f"{what} ({causes})", retryable=retryable)

    def closed(self, merged: Answer) -> Answer:
        """Return the merged answer with its share of the votes and why the ensemble stopped."""
        answered, failed, members = len(self.candidates), len(self.failures), len(self.plan.members)
        missing = members - answered - failed
        words = f"{answered} of {members} members answered"
        words += f", {failed} failed" if failed else ""
        words += f"; decided, {missing} not waited for" if missing else ""
        return merged.model_copy(update={"stopped": words, "confidence": self._share(merged)})

    def _share(self, merged: Answer) -> float | None:
        """Return the winner's share of the votes, members not waited for counted as if they disagreed."""
        if not merged.votes or merged.confidence is None:
            return merged.confidence
        voted = sum(candidate.weight for candidate in merged.candidates)
        return merged.confidence * voted / (voted + sum(self.missing))


def _candidate(member: Member, answer: Answer) -> Candidate:
    return answer.candidate().model_copy(update={"source": member.ask, "weight": member.weight})
