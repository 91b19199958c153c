"""Cascade: ask the cheapest model first; climb a tier while the answer is not trusted (FrugalGPT, arXiv 2305.05176)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from partsong.contracts import Answer, Failure, FailureCode, Frozen, Name, Reply, Task, TierOutcome
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step
from partsong.plans.trust import Asked, TrustField, Verdict

__all__ = ["Cascade", "Tier"]


class Tier(Frozen):
    """One rung of a cascade."""

    ask: Name
    """The model or plan asked."""
    trust: TrustField | None = None
    """When its answer is good enough to stop; every tier but the last has one, the last always answers."""

    async def verdict(self, asked: Asked) -> Verdict:
        """Return whether the answer ends the cascade."""
        if self.trust is None:
            return Verdict(trusted=True, confidence=asked.answer.confidence, reason="last tier")
        return await self.trust.judge(asked)


class Cascade(Plan):
    """`{cascade: [{ask: mini, trust: {logprob: 0.85}}, {ask: large}]}`, or `{logprob: learned}` as `partsong learn` chose it.

    A tier that fails is climbed past. The last tier's answer is taken as it is; when it fails, the last answer that a lower tier gave.
    """

    kind: ClassVar[str] = "cascade"
    bare: ClassVar[str] = "tiers"

    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]
    """Cheapest first."""

    @model_validator(mode="after")
    def _only_the_last_goes_untested(self) -> "Cascade":
        for place, tier in enumerate(self.tiers[:-1], start=1):
            if tier.trust is None:
                raise ValueError(f"tier {place} ({tier.ask}) has no `trust`, so no later tier would ever be asked; give it one")
        if (extra := self.tiers[-1].trust) is not None:
            raise ValueError(f"the last tier ({self.tiers[-1].ask}) always answers, its `trust: {extra.kind}` never matters; remove it")
        return self

    @model_validator(mode="after")
    def _one_promise(self) -> "Cascade":
        if self.learned and (fixed := [tier.ask for tier in self.tiers[:-1] if tier.trust is not None and not tier.trust.learned]):
            raise ValueError(f"thresholds are learned of all tiers together: let {', '.join(fixed)} have `learned` too, or all a number")
        return self

    @property
    def learned(self) -> bool:
        """Whether its thresholds are learned."""
        return any(tier.trust is not None and tier.trust.learned for tier in self.tiers)

    @property
    def rungs(self) -> tuple[str, ...]:
        """Its tiers in words, which is what learned thresholds are found by."""
        return tuple(tier.ask if tier.trust is None else f"{tier.ask} by {tier.trust.kind}" for tier in self.tiers)

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        best: Reply = _NOBODY_ASKED
        outcomes: list[TierOutcome] = []
        for place, tier in enumerate(self.tiers):
            reply, outcome = await self._climb(place, task, step / f"{place}-{tier.ask}", port)
            outcomes.append(outcome)
            best = _better(best, reply, outcome.confidence)
            if outcome.trusted:
                break
        return _with_tiers(best, outcomes)

    async def _climb(self, place: int, task: Task, step: Step, port: Port) -> tuple[Reply, TierOutcome]:
        tier = self.tiers[place]
        asking = task if tier.trust is None else tier.trust.asking(task)
        reply = await port.ask(tier.ask, asking, step, final=tier.trust is None)
        if isinstance(reply, Failure):
            return reply, TierOutcome(source=tier.ask, trusted=False, reason=f"failed: {reply.code}")
        verdict = await tier.verdict(Asked(tier.ask, asking, reply, step / "trust", port, self.rungs, place))
        outcome = TierOutcome(source=tier.ask, confidence=verdict.confidence, trusted=verdict.trusted, reason=verdict.reason)
        return verdict.answer or reply, outcome

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        for tier in self.tiers:
            yield tier.ask
            if tier.trust is not None:
                yield from tier.trust.asks()

    def most_asks(self) -> Iterator[Name]:
        """See Plan.most_asks."""
        for tier in self.tiers:
            yield tier.ask
            if tier.trust is not None:
                yield from tier.trust.most_asks(tier.ask)


_NOBODY_ASKED = Failure(code=FailureCode.INTERNAL, message="a cascade without tiers")


def _better(best: Reply, reply: Reply, confidence: float | None) -> Reply:
    """Return the later of two answers or failures; an answer outranks a failure."""
    if isinstance(reply, Failure):
        return best if isinstance(best, Answer) else reply
    return reply if confidence is None else reply.model_copy(update={"confidence": confidence})


def _with_tiers(best: Reply, outcomes: list[TierOutcome]) -> Reply:
    if isinstance(best, Failure):
        return best
    last = outcomes[-1]
    stopped = f"{last.source}: {last.reason}" if last.trusted else f"{last.source} {last.reason}; a lower tier's answer kept"
    return best.model_copy(update={"tiers": tuple(outcomes), "stopped": stopped})
