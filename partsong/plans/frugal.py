"""Frugal: cascade and vote in one; ask whoever promises most per dollar, stop when the answer is sure, or no other is worth its price."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, PositiveFloat, PrivateAttr, ValidationInfo, model_validator

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Frozen, Name, Reply, Task, TierOutcome, Usd
from partsong.contracts.known import known
from partsong.evaluation.reading import Kind, KindField, Label, Letter
from partsong.learning.inquiry import Heard, Inquiry, Standing, Voice
from partsong.learning.knowledge import Aim, Knowledge
from partsong.merging.normalise import voted
from partsong.merging.tally import elected
from partsong.plans.plan import Plan
from partsong.plans.port import Port, Step
from partsong.plans.trust import Threshold

__all__ = ["Frugal", "Rated"]

_ENOUGH = 0.95
_OPTIONS = 10
_SHOWN = 3
_SHOWN_CHARS = 30


class Rated(Frozen):
    """What is known of a model without learning."""

    accuracy: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of right answers."""
    cost_usd: Usd
    """US dollars of an answer."""


class Frugal(Plan):
    """`{frugal: best}` as it was learned, or by hand `{frugal: {models: {mini: {accuracy: 0.8, cost_usd: 0.0002}, large: {...}}}}`.

    It holds a posterior over the answers that were given: a vote adds the log-odds of its model, and what nobody has said keeps a share. A
    model that fails, or cannot be read, is passed over. Who is asked does not depend on time, so that a replay asks the same.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    kind: ClassVar[str] = "frugal"
    bare: ClassVar[str] = "goal"

    goal: Aim | None = None
    """As it was learned (the mesh file's `learned`): `best`, the cheapest to reach the best single model's accuracy; `cost`, the most
    accurate at no more than its cost; `vote`, the cheapest to reach the vote of all; `promised`, what the tested promise holds for."""
    models: dict[Name, Rated] = {}
    """In place of a goal: the models or plans that may be asked, by accuracy and cost. They are taken to err independently."""
    answer_kind: KindField | None = Field(default=None, alias="kind")
    """What sort of answer is counted: exact, label, letter, number, json or text. None: as it was learned, else label."""
    options: Annotated[int, Field(ge=2)] | None = None
    """By hand: how many answers a question may have; None: as many as the kind lists, else 10."""
    sure: Threshold | None = None
    """How likely right the answer must be to stop; None: the level that was learned, by hand 0.95."""
    value_of_correct_usd: PositiveFloat | None = None
    """US dollars that a right answer is worth: nobody is asked who costs more than that brings. None: the price stops nothing."""
    _knowledge: Knowledge | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_way(self, info: ValidationInfo) -> "Frugal":
        if (self.goal is None) != bool(self.models):
            raise ValueError("give either a `goal`, as it was learned, or `models` with the accuracy and cost of each")
        if self.goal is not None and self.options is not None:
            raise ValueError("`options` is for weights by hand; a goal's weights are learned")
        self._knowledge = known(info, f"`goal: {self.goal}`" if self.goal else "")
        return self

    async def answer(self, task: Task, step: Step, port: Port) -> Reply:
        """See Plan.answer."""
        inquiry = await self._inquiry(task)
        if inquiry is None:
            return Failure(code=FailureCode.UNSUPPORTED, message=f"nothing is learned that a frugal plan could aim at {self.goal!r} by")
        poll = _Poll(self)
        standing = inquiry.standing(())
        while (voice := standing.ask) is not None:
            reply = await port.ask(voice.model, task, step / voice.model)
            standing = poll.heard(voice, reply, inquiry)
        return poll.closed(standing, len(inquiry.voices), self._honest(standing.sure))

    def asks(self) -> Iterator[Name]:
        """See Plan.asks."""
        yield from self.models
        if self.goal is not None and self._knowledge is not None:
            yield from self._knowledge.asks(self.goal)

    @property
    def counted(self) -> Kind:
        """What sort of answer is counted."""
        learned = None if self.goal is None or self._knowledge is None else self._knowledge.answer_kind
        return self.answer_kind or learned or Label()

    async def _inquiry(self, task: Task) -> Inquiry | None:
        if self.goal is None:
            return self._by_hand()
        if self._knowledge is None:
            return None
        await self._knowledge.embed(task.text)
        return self._knowledge.inquiry(self.goal, task.text, enough=self.sure, value_usd=self.value_of_correct_usd)

    def _by_hand(self) -> Inquiry:
        """Return the inquiry of models whose wrong answers are spread evenly over the other options (log-odds, as in a weighted vote)."""
        others = (self.options or _listed(self.counted)) - 1
        rated = self.models.items()
        voices = (Voice(m, max(0.0, log(others * r.accuracy / (1 - r.accuracy))), r.accuracy, r.cost_usd) for m, r in rated)
        return Inquiry(tuple(voices), log(others), _ENOUGH if self.sure is None else self.sure, self.value_of_correct_usd)

    def _honest(self, sure: float) -> float:
        return sure if self.goal is None or self._knowledge is None else self._knowledge.honest(self.goal, sure)


def _listed(kind: Kind) -> int:
    among = kind.among if isinstance(kind, Label | Letter) else ()
    return max(2, len(among) or _OPTIONS)


@dataclass(slots=True)
class _Poll:
    """Who was asked, what each said, and what followed from it."""

    plan: Frugal
    replies: list[tuple[Voice, Reply]] = field(default_factory=list)
    candidates: tuple[Candidate, ...] = ()
    tiers: list[TierOutcome] = field(default_factory=list)

    def heard(self, voice: Voice, reply: Reply, inquiry: Inquiry) -> Standing:
        """Count a reply; return how things stand with it."""
        self.replies.append((voice, reply))
        answers = [_candidate(voice, reply) for voice, reply in self.replies if isinstance(reply, Answer)]
        self.candidates = voted(answers, self.plan.counted)
        vote_of = {candidate.source: candidate.vote for candidate in self.candidates}
        standing = inquiry.standing([Heard(voice.model, vote_of.get(voice.model)) for voice, _ in self.replies])
        vote = vote_of.get(voice.model)
        outcome = TierOutcome(
            source=voice.model,
            confidence=standing.sure if standing.chances else None,
            trusted=standing.ask is None and vote is not None and vote == standing.best,
            reason=f"{self._said(reply, vote, standing)}; {standing.why}",
        )
        self.tiers.append(outcome)
        return standing

    def closed(self, standing: Standing, voices: int, confidence: float) -> Reply:
        """Return the likeliest answer as its first voter gave it, with how it came about; a failure when there is none."""
        if standing.best is None:
            return elected(self.candidates, self.plan.counted) if self.candidates else self.replies[-1][1]
        first = next(candidate for candidate in self.candidates if candidate.vote == standing.best)
        answer = next(reply for voice, reply in self.replies if voice.model == first.source)
        return answer.model_copy(
            update={
                "source": first.source,
                "confidence": confidence,
                "candidates": self.candidates,
                "votes": dict(standing.chances),
                "tiers": tuple(self.tiers),
                "stopped": f"{len(self.replies)} of {voices} models asked; {standing.why}",
            }
        )

    def _said(self, reply: Reply, vote: str | None, standing: Standing) -> str:
        if isinstance(reply, Failure):
            return f"failed: {reply.code}"
        if vote is None:
            return f"cannot be read as {self.plan.counted.kind}"
        ranked = sorted(standing.chances.items(), key=lambda one: -one[1])[:_SHOWN]
        return f"says {_short(vote)} ({', '.join(f'{_short(answer)} {chance:.2f}' for answer, chance in ranked)})"


def _candidate(voice: Voice, answer: Answer) -> Candidate:
    return answer.candidate().model_copy(update={"source": voice.model, "weight": voice.vote})


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
