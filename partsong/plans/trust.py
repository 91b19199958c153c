"""Trust: when is a tier's answer good enough to stop climbing? One rule a class, each with the confidence it measured."""

import importlib
import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    WrapValidator,
    model_validator,
)

from partsong.contracts import Answer, Candidate, Failure, Frozen, Name, Task
from partsong.contracts.known import known
from partsong.contracts.onekey import OneKey
from partsong.errors import MeshError
from partsong.learning.knowledge import Knowledge
from partsong.merging import MergeField
from partsong.merging.majority import Majority
from partsong.patterns import Pattern, found_by
from partsong.plans.port import Port, Step
from partsong.plans.structured import InvalidAnswerError, parsed, schema_problem
from partsong.plans.together import together
from partsong.prompts import PromptTemplate, sees

__all__ = [
    "TRUST_RULES",
    "Agreement",
    "AgreesWith",
    "Asked",
    "Confidence",
    "Logprob",
    "MinLogprob",
    "Python",
    "Regex",
    "Samples",
    "Schema",
    "Threshold",
    "TrustField",
    "TrustRule",
    "Verdict",
    "Verifier",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer to be trusted or not, with what was asked and the means to ask more."""

    name: str
    """The model or plan that was asked."""
    task: Task
    """The task as it was asked."""
    answer: Answer
    step: Step
    """Where the rule's own asks stand in the plan's tree."""
    port: Port
    rungs: tuple[str, ...] = ()
    """The tiers of the cascade in which it was asked, in words; none elsewhere."""
    tier: int = 0
    """Which of them it is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule makes of an answer."""

    trusted: bool
    confidence: float | None
    """In [0, 1], as the rule measured it; None when it could not be measured."""
    reason: str
    """In words: `logprob 0.91 >= 0.85`."""
    answer: Answer | None = None
    """A better answer that measuring brought up (the samples' majority); None keeps the one asked about."""


class TrustRule(Frozen, ABC):
    """One way of telling whether an answer can be trusted; its fields are its entry in the mesh file."""

    kind: ClassVar[str]
    """The key that names it in the mesh file: `logprob`."""
    bare: ClassVar[str] = ""
    """The field whose value may be written in place of a mapping."""
    needs_logprobs: ClassVar[bool] = False
    """Whether the task must be asked with token log-probabilities."""

    @property
    def learned(self) -> bool:
        """Whether its threshold is learned, for the cascade in which it stands."""
        return False

    def measured(self, answer: Answer) -> float | None:
        """Return the confidence in [0, 1] that the answer itself carries; None when it carries none."""
        return None

    @abstractmethod
    async def judge(self, asked: Asked) -> Verdict:
        """Return whether the answer is trusted, how far, and why in words."""

    def asks(self) -> Iterator[Name]:
        """Yield every model or plan that judging may ask."""
        return iter(())

    def most_asks(self, name: Name) -> Iterator[Name]:
        """Yield every model or plan as often as judging one answer of `name` may ask it."""
        return self.asks()

    def asking(self, task: Task) -> Task:
        """Return the task as it must be asked for this rule to measure its answer."""
        if not self.needs_logprobs or task.sampling.logprobs:
            return task
        return task.model_copy(update={"sampling": task.sampling.model_copy(update={"logprobs": True})})


def _reachable(value: float) -> float:
    if 0.0 <= value <= 1.0:
        return value
    hint = f"; did you mean {value / 100:g}?" if 1.0 < value <= 100.0 else ""
    hint = f"; as a log-probability it would be {math.exp(value):.3g}" if value < 0.0 else hint
    side = "no answer could ever be trusted" if value > 1.0 else "every answer would be"
    raise ValueError(f"{value:g} is no threshold: a confidence lies between 0 and 1, so {side}{hint}")


Threshold = Annotated[float, AfterValidator(_reachable), Field(json_schema_extra={"minimum": 0.0, "maximum": 1.0})]
"""The confidence from which on an answer is trusted, in [0, 1]."""


_NUMBER: TypeAdapter[float] = TypeAdapter(Threshold)


def _number_or_word(value: Any, _: Any) -> float | str:
    return "learned" if value == "learned" else _NUMBER.validate_python(value)  # by hand, so that a wrong number is one error, not two


def _at_least(what: str, confidence: float, threshold: float) -> Verdict:
    trusted = confidence >= threshold
    return Verdict(trusted, confidence, f"{what} {confidence:.2f} {'>=' if trusted else '<'} {threshold:g}")


def _unmeasured(why: str) -> Verdict:
    return Verdict(trusted=False, confidence=None, reason=f"not trusted: {why}")


def _passed(passed: bool, what: str) -> Verdict:
    return Verdict(passed, 1.0 if passed else 0.0, what)


class _OfAnswer(TrustRule):
    """A rule that reads its measure off the answer itself."""

    bare: ClassVar[str] = "threshold"

    threshold: Annotated[Threshold | Literal["learned"], WrapValidator(_number_or_word)]
    """The confidence from which on the answer is trusted, in [0, 1]. `learned`, in a cascade: the one that `partsong learn` chose (the mesh
    file's `learned`), so that the cascade costs least and is not below the best single model by more than was promised."""
    missing: ClassVar[str]
    """What to say when it cannot be measured."""
    _knows: Knowledge | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _informed(self, info: ValidationInfo) -> Self:
        if goes_by := self._goes_by():
            self._knows = known(info, goes_by)
        return self

    def _goes_by(self) -> str:
        """Return what of it goes by what was learned; empty when nothing does."""
        return f"`{self.kind}: learned`" if self.learned else ""

    @property
    def learned(self) -> bool:
        """See TrustRule.learned."""
        return self.threshold == "learned"

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        confidence = self.measured(asked.answer)
        if confidence is None or math.isnan(confidence):
            return _unmeasured(f"{asked.name} {self.missing}")
        return self._as_promised(asked, confidence) if self.threshold == "learned" else self._held(asked, confidence, self.threshold)

    def _held(self, asked: Asked, confidence: float, threshold: float) -> Verdict:
        """Return the verdict by a threshold of the mesh file."""
        return _at_least(self.kind, confidence, threshold)

    def _as_promised(self, asked: Asked, stated: float) -> Verdict:
        found = None if self._knows is None else self._knows.level(asked.rungs, asked.tier, stated, asked.task)
        if found is None:
            return _unmeasured("no threshold is learned for this tier")
        honest, level = found
        trusted = honest >= level
        said = f"{self.kind} {stated:.2f}, calibrated {honest:.3f} {'>=' if trusted else '<'} learned {level:.3f}"
        return Verdict(trusted, honest, f"{said} (promised)")


class _Stated(_OfAnswer):
    """A rule that reads what the model itself tells of its confidence, which is worth what it proved to be."""

    calibrated: bool = False
    """Whether the threshold is for what the confidence proved to be worth, by model and kind of task (the mesh file's `learned`): with 0.9,
    answers are trusted that are right nine times in ten. A learned threshold always is."""

    def _goes_by(self) -> str:
        return "`calibrated: true`" if self.calibrated else super()._goes_by()

    def _held(self, asked: Asked, confidence: float, threshold: float) -> Verdict:
        if not self.calibrated:
            return super()._held(asked, confidence, threshold)
        honest = None if self._knows is None else self._knows.calibrated(asked.name, confidence, asked.task)
        if honest is None:
            return _unmeasured(f"nothing is learned of what {asked.name}'s {self.kind} is worth")
        return _at_least(f"{self.kind} {confidence:.2f}, calibrated", honest, threshold)


class Logprob(_Stated):
    """Trust by the mean token log-probability, as a probability: exp(mean), the geometric mean of the tokens' probabilities."""

    kind: ClassVar[str] = "logprob"
    needs_logprobs: ClassVar[bool] = True
    missing: ClassVar[str] = "gave no token log-probabilities"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return None if answer.mean_logprob is None else math.exp(min(0.0, answer.mean_logprob))


class MinLogprob(_OfAnswer):
    """Trust by the least likely token, as a probability: exp(min)."""

    kind: ClassVar[str] = "min_logprob"
    needs_logprobs: ClassVar[bool] = True
    missing: ClassVar[str] = "gave no token log-probabilities"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return None if answer.min_logprob is None else math.exp(min(0.0, answer.min_logprob))


class Confidence(_Stated):
    """Trust by the confidence that the model itself states (a classifier's probability)."""

    kind: ClassVar[str] = "confidence"
    missing: ClassVar[str] = "states no confidence"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return answer.confidence


class Agreement(_OfAnswer):
    """Trust by the winner's share of the votes of a nested ensemble.

    An ensemble that stops early counts the members it did not wait for as if they disagreed.
    """

    kind: ClassVar[str] = "agreement"
    missing: ClassVar[str] = "took no vote"

    def measured(self, answer: Answer) -> float | None:
        """See _OfAnswer.measured."""
        return answer.confidence if answer.votes else None


class Samples(TrustRule):
    """Trust by self-consistency (arXiv 2203.11171): the same model is asked k - 1 more times; the majority's answer is taken."""

    kind: ClassVar[str] = "samples"
    bare: ClassVar[str] = "k"

    k: Annotated[int, Field(ge=2, le=64)] = 3
    """Samples altogether, the tier's own answer included."""
    agreement: Threshold = 0.67
    """Share of the samples that must agree."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    """Of the further samples."""
    merge: MergeField = Majority()
    """How the samples are counted."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        further = await together(
            asked.port.ask(asked.name, self._sample(asked.task, number), asked.step / number) for number in range(1, self.k)
        )
        answers = [asked.answer, *(reply for reply in further if isinstance(reply, Answer))]
        if len(answers) == 1:
            return _unmeasured(f"none of {self.k - 1} further samples was answered")
        merged = await asked.port.merge(
            self.merge.on(asked.task), asked.task, [answer.candidate() for answer in answers], asked.step / "merge"
        )
        if isinstance(merged, Failure):
            return _unmeasured(f"the samples could not be merged: {merged.code}")
        share = max(merged.votes.values()) / self.k if merged.votes else 0.0
        verdict = _at_least(f"agreement of {self.k} samples", share, self.agreement)
        return Verdict(verdict.trusted, verdict.confidence, verdict.reason, answer=_sampled(asked.answer, merged, answers))

    def _sample(self, task: Task, number: int) -> Task:
        sampling = task.sampling.model_copy(update={"temperature": self.temperature, "sample": task.sampling.sample + number})
        return task.model_copy(update={"sampling": sampling})

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        return self.merge.asks()

    def most_asks(self, name: Name) -> Iterator[Name]:
        """See TrustRule.most_asks."""
        yield from repeat(name, self.k - 1)
        yield from self.merge.most_asks(self.k)


def _sampled(first: Answer, merged: Answer, answers: list[Answer]) -> Answer:
    """Return the sample that won, with the vote it won by."""
    winner = next((answer for answer in answers if answer.text == merged.text), merged)
    return winner.model_copy(update={"source": first.source, "candidates": merged.candidates, "votes": merged.votes})


class AgreesWith(TrustRule):
    """Trust by agreement of cheap models: others are asked the same; the answer's share of all votes counts."""

    kind: ClassVar[str] = "agrees_with"
    bare: ClassVar[str] = "models"

    models: Annotated[
        tuple[Name, ...],
        Field(min_length=1),
        BeforeValidator(lambda given: (given,) if isinstance(given, str) else given, json_schema_input_type=Name | tuple[Name, ...]),
    ]
    """The models or plans asked beside the tier's own."""
    agreement: Threshold = 1.0
    """Share of all votes, the tier's own included, that must be for its answer."""
    merge: MergeField = Majority()
    """How answers are compared."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        replies = await together(asked.port.ask(name, asked.task, asked.step / f"{i}-{name}") for i, name in enumerate(self.models))
        others = [(name, reply) for name, reply in zip(self.models, replies, strict=True) if isinstance(reply, Answer)]
        if not others:
            return _unmeasured(f"none of {', '.join(self.models)} answered")
        candidates = [asked.answer.candidate(), *(reply.candidate().model_copy(update={"source": name}) for name, reply in others)]
        merged = await asked.port.merge(self.merge.on(asked.task), asked.task, candidates, asked.step / "merge")
        if isinstance(merged, Failure) or not merged.candidates:
            return _unmeasured("the answers could not be compared")
        share = _share_of_first(merged.candidates, 1 + len(self.models))
        return _at_least(f"agreement with {', '.join(self.models)}", share, self.agreement)

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        yield from self.models
        yield from self.merge.asks()

    def most_asks(self, name: Name) -> Iterator[Name]:
        """See TrustRule.most_asks."""
        yield from self.models
        yield from self.merge.most_asks(1 + len(self.models))


def _share_of_first(counted: tuple[Candidate, ...], voters: int) -> float:
    vote = counted[0].vote
    return 0.0 if vote is None else sum(candidate.vote == vote for candidate in counted) / voters


_VERIFY = PromptTemplate.of(
    "Question:\n{{ task }}\n\nProposed answer:\n{{ answer }}\n\nIs the proposed answer correct? Reply with one word, yes or no."
)


class Verifier(TrustRule):
    """Trust by a verifier model that says yes or no."""

    kind: ClassVar[str] = "verifier"
    bare: ClassVar[str] = "model"

    model: Name
    """The model or plan that verifies."""
    prompt: Annotated[PromptTemplate, sees("task", "answer", "metadata")] = _VERIFY
    """Sees `task` and `answer`; asks for yes or no."""
    threshold: Threshold = 0.5
    """Needed probability of yes, where the verifier tells log-probabilities; else yes counts 1 and no 0."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        question = self.prompt.render(task=asked.task.text, answer=asked.answer.text, metadata=asked.task.metadata)
        if isinstance(question, Failure):
            return _unmeasured(question.message)
        task = asked.task.asking(question)
        sampling = task.sampling.model_copy(update={"logprobs": True, "temperature": 0.0})
        reply = await asked.port.ask(self.model, task.model_copy(update={"sampling": sampling}), asked.step / self.model)
        if isinstance(reply, Failure):
            return _unmeasured(f"verifier {self.model} failed: {reply.code}")
        said = _yes_or_no(reply.text)
        if said is None:
            return _unmeasured(f"verifier {self.model} said neither yes nor no")
        sure = 1.0 if reply.mean_logprob is None else math.exp(min(0.0, reply.mean_logprob))
        verdict = _at_least(f"verifier {self.model} says {'yes' if said else 'no'}:", sure if said else 1.0 - sure, self.threshold)
        return verdict if said else Verdict(trusted=False, confidence=verdict.confidence, reason=f"verifier {self.model} says no")

    def asks(self) -> Iterator[Name]:
        """See TrustRule.asks."""
        yield self.model


def _yes_or_no(text: str) -> bool | None:
    """Return what the first yes or no of the text says."""
    found = re.search(r"\b(yes|no)\b", text, re.IGNORECASE)
    return None if found is None else found[1].lower() == "yes"


class Regex(TrustRule):
    """Trust an answer in which a regular expression is found (anchor it with ^ and $ for the whole)."""

    kind: ClassVar[str] = "regex"
    bare: ClassVar[str] = "pattern"

    pattern: Pattern
    """No look-around, no back references (Rust's syntax, linear time)."""

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        found = found_by(self.pattern)(asked.answer.text.strip())
        return _passed(found, f"{'matches' if found else 'does not match'} {self.pattern}")


def _any_schema(shape: dict[str, Any]) -> None:
    """Say for editors what stands right under `schema`."""
    shape.clear()
    shape |= {"type": "object", "description": "The JSON Schema that a trusted answer satisfies."}


class Schema(TrustRule):
    """Trust an answer that is JSON and satisfies a JSON Schema."""

    model_config = ConfigDict(json_schema_extra=_any_schema)

    kind: ClassVar[str] = "schema"

    answer_schema: dict[str, JsonValue]
    """The JSON Schema; in the mesh file it stands right under `schema`."""

    @model_validator(mode="before")
    @classmethod
    def _right_under(cls, value: Any) -> Any:
        return {"answer_schema": value} if isinstance(value, Mapping) and set(value) != {"answer_schema"} else value

    @model_validator(mode="after")
    def _is_schema(self) -> "Schema":
        if problem := schema_problem(self.answer_schema):
            raise ValueError(problem)
        return self

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        try:
            value = parsed(asked.answer.text, self.answer_schema)
        except InvalidAnswerError as error:
            return _passed(False, f"does not satisfy the schema: {error}")
        answer = asked.answer if asked.answer.value is not None else asked.answer.model_copy(update={"value": value})
        return Verdict(trusted=True, confidence=1.0, reason="satisfies the schema", answer=answer)


class Python(TrustRule):
    """Trust by a Python function of yours: `def trusts(task: Task, answer: Answer) -> bool | float`, plain or async.

    A number is the confidence, held against the threshold; a function that raises trusts nothing. It runs on the coordinator's event loop:
    keep it quick. `import_function` in the validation context finds it beside the mesh file; without, it is imported on first use.
    """

    kind: ClassVar[str] = "python"
    bare: ClassVar[str] = "function"

    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
    """Import path: `package.module:function`."""
    threshold: Threshold = 0.5
    """Confidence from which on the answer is trusted, when the function returns a number."""
    _found: Callable[[Task, Answer], Any] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _imported(self, info: ValidationInfo) -> "Python":
        import_function = (info.context or {}).get("import_function")
        if import_function is not None:
            self._found = import_function(self.function)
        return self

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__pydantic_private__": {"_found": None}}

    async def judge(self, asked: Asked) -> Verdict:
        """See TrustRule.judge."""
        trusts = self._found or _function(self.function)
        try:
            said = trusts(asked.task, asked.answer)
            said = await said if inspect.isawaitable(said) else said
        except Exception as error:  # noqa: BLE001  a user's function: whatever it raises, the answer is not trusted
            return _unmeasured(f"{self.function} raised {type(error).__name__}")
        if isinstance(said, bool):
            return _passed(said, f"{self.function} says {'yes' if said else 'no'}")
        if not isinstance(said, int | float) or not 0.0 <= said <= 1.0:
            return _unmeasured(f"{self.function} returned {type(said).__name__}, not a bool or a number in [0, 1]")
        return _at_least(self.function, float(said), self.threshold)


def _function(path: str) -> Callable[[Task, Answer], Any]:
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise MeshError("cannot-import", f"{path}: {error}", remedy="name a function as package.module:function") from error
    return found  # type: ignore[no-any-return]


TRUST_RULES: dict[str, type[TrustRule]] = {
    rule.kind: rule for rule in (Logprob, MinLogprob, Confidence, Agreement, Samples, AgreesWith, Verifier, Regex, Schema, Python)
}

TrustField = Annotated[TrustRule, OneKey("trust rule", TRUST_RULES)]
"""A trust rule as the mesh file writes it: `{logprob: 0.85}`, `{samples: {k: 5, agreement: 0.6}}`."""
