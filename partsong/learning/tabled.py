"""Tabled: recorded replies become a table of outcomes: right by labels, by users' feedback, by a judge, or else by agreement alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import JsonValue

from partsong.contracts import Completion, Failure, Price, Task
from partsong.contracts.task import OTHER_KIND
from partsong.evaluation.grading import Grader
from partsong.evaluation.reading import Kind, Text
from partsong.evaluation.repeated import torn_and_copies
from partsong.learning.crowd import agree
from partsong.learning.outcomes import Floats, Outcomes
from partsong.learning.posterior import ballots

__all__ = ["AGREEMENT", "RatedAnswer", "Replies", "Tabled", "answer_of", "tabled"]

AGREEMENT = "agreement"
"""The source of what is right when there is no other: every share right is an estimate."""

_TEXT = Text()
_RIGHT_FROM = 0.5
_MUCH = 0.05
"""The share of a model's calls whose failure is worth a warning: it tells of limits and filters more than of what the model knows."""


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """What users made of one answer: its text, and the mean of their scores in [0, 1]."""

    text: str
    score: float


@dataclass(slots=True)
class Replies:
    """One row, and what each model replied to it and nothing else."""

    id: str
    task: Task
    kind: str | None
    expected: JsonValue
    """The right answer; None when nobody said."""
    grader: Grader | None
    replies: dict[str, Completion | Failure] = field(default_factory=dict)
    ratings: list[RatedAnswer] = field(default_factory=list)
    judged: Mapping[str, bool] = field(default_factory=dict)
    """A judge's verdicts by answer."""

    @property
    def prompt(self) -> str:
        """What was asked."""
        return self.task.text


@dataclass(frozen=True, slots=True)
class Tabled:
    """A table, where its verdicts come from, and what is odd about them."""

    outcomes: Outcomes
    source: str
    """`labels`, `feedback`, `judge`, joined by commas where several; `agreement` when nobody said what is right."""
    warnings: tuple[str, ...]
    rows: tuple[Replies, ...]
    """What it was made of, in its order."""

    @property
    def answer_kind(self) -> Kind | None:
        """How answers were read; None where that differs from row to row."""
        kinds = {_read_as(row) for row in self.rows}
        return kinds.pop() if len(kinds) == 1 else None


def tabled(rows: Sequence[Replies], models: Sequence[str], prices: Mapping[str, Price]) -> Tabled:
    """Return the outcomes of these models. A failure is a wrong answer; a reply that is not there is not known.

    A label outranks feedback, feedback a judge. Models without a price have no cost; nought is one, where a price was given.
    """
    answers = tuple(tuple(answer_of(row, row.replies.get(m)) for m in models) for row in rows)
    right = np.full((len(rows), len(models)), np.nan)
    sources: Counter[str] = Counter()
    disputed = 0
    for i, row in enumerate(rows):
        source, verdicts = _verdicts(row, dict(zip(models, answers[i], strict=True)))
        sources.update([source] if source else [])
        right[i] = [verdicts.get(m, np.nan) for m in models]
        disputed += _disputed(row, verdicts, dict(zip(models, answers[i], strict=True)))
    kinds = tuple(row.kind or OTHER_KIND for row in rows) if any(row.kind for row in rows) else ()
    table = Outcomes(tuple(models), tuple(row.prompt for row in rows), right, answers, _cost(rows, models, prices), kinds)
    table = replace(table, latency_s=_latency(rows, models), stated=_stated(rows, models))
    if not sources:
        return _by_agreement(table, rows)
    return Tabled(
        table, ", ".join(name for name, _ in sources.most_common()), (*_failing(rows, models), *_odd(rows, sources, disputed)), tuple(rows)
    )


def answer_of(row: Replies, reply: Completion | Failure | None) -> str | None:
    """Return the reply's answer in its normal form; None when there is none that can be read."""
    if not isinstance(reply, Completion):
        return None
    return _read_as(row).read(reply.text)


def _read_as(row: Replies) -> Kind:
    return row.grader if isinstance(row.grader, Kind) else _TEXT


def _verdicts(row: Replies, answers: Mapping[str, str | None]) -> tuple[str, dict[str, float]]:
    """Return who says what is right, and what that makes of each model's reply."""
    failed = {m: 0.0 for m, reply in row.replies.items() if isinstance(reply, Failure)}
    given = {m: reply for m, reply in row.replies.items() if isinstance(reply, Completion)}
    if row.expected is not None and row.grader is not None:
        return "labels", failed | {m: float(row.grader.right(r.text, None, row.expected)) for m, r in given.items()}
    if row.ratings:
        return "feedback", failed | _by_ratings(row, answers)
    if row.judged:
        return "judge", failed | {m: float(row.judged[a]) for m, a in answers.items() if a is not None and a in row.judged}
    return "", {}


def _by_ratings(row: Replies, answers: Mapping[str, str | None]) -> dict[str, float]:
    """Return what users' scores say of each reply: of those that say the same as a rated one, and of rivals of a right one."""
    kind = _read_as(row)
    rated = {answer: one.score >= _RIGHT_FROM for one in row.ratings if (answer := kind.read(one.text)) is not None}
    found = {m: float(rated[a]) for m, a in answers.items() if a is not None and a in rated}
    if isinstance(row.grader, Kind) and row.grader.groups_exactly and any(rated.values()):
        found |= {m: 0.0 for m, a in answers.items() if m in row.replies and m not in found}
    return found


def _disputed(row: Replies, verdicts: Mapping[str, float], answers: Mapping[str, str | None]) -> bool:
    """Return whether users say otherwise than the label."""
    if row.expected is None or not row.ratings:
        return False
    said = _by_ratings(row, answers)
    return any(m in verdicts and verdicts[m] != value for m, value in said.items())


def _cost(rows: Sequence[Replies], models: Sequence[str], prices: Mapping[str, Price]) -> Floats:
    """Return what each call cost; the model's mean where its call is not there, NaN where its price is not known.

    Of a model that was never called: what its price makes of the tokens that the others needed.
    """
    cost = _each(rows, models, lambda reply: reply.cost_usd)
    for m, model in enumerate(models):
        known = ~np.isnan(cost[:, m])
        if model in prices:
            cost[~known, m] = cost[known, m].mean() if known.any() else _by_others(rows, prices[model])
        else:
            cost[:, m] = np.nan
    return cost


def _by_others(rows: Sequence[Replies], price: Price) -> float:
    """Return the mean price of the tokens that replies took; NaN where none were counted."""
    usages = [reply.usage for row in rows for reply in row.replies.values() if isinstance(reply, Completion)]
    return float(np.mean([price.cost_usd(usage) for usage in usages if usage.total_tokens] or [np.nan]))


def _latency(rows: Sequence[Replies], models: Sequence[str]) -> Floats:
    return _each(rows, models, lambda reply: reply.timing.total_s if isinstance(reply, Completion) else np.nan)


def _stated(rows: Sequence[Replies], models: Sequence[str]) -> Floats | None:
    stated = _each(rows, models, _confidence)
    return None if np.isnan(stated).all() else stated


def _confidence(reply: Completion | Failure) -> float:
    if isinstance(reply, Failure):
        return float("nan")
    if reply.confidence is not None:
        return reply.confidence
    return float(np.exp(min(0.0, reply.logprobs.mean))) if reply.logprobs is not None else float("nan")


def _each(rows: Sequence[Replies], models: Sequence[str], of: Callable[[Completion | Failure], float]) -> Floats:
    return np.array([[np.nan if (r := row.replies.get(m)) is None else of(r) for m in models] for row in rows]).reshape(
        len(rows), len(models)
    )


def _by_agreement(table: Outcomes, rows: Sequence[Replies]) -> Tabled:
    """Return the table with the likeliest answer of each row taken for right (Dawid and Skene); where nobody answered, nothing is known."""
    cast = ballots(table)
    crowd = agree(cast.choice, cast.right.shape[1])
    best = crowd.candidate.argmax(axis=1)[:, None]
    right = np.where(cast.choice >= 0, (cast.choice == best).astype(np.float64), np.nan)
    said = (
        "nothing says what is right: the models' agreement stands in for it, so EVERY ACCURACY HERE IS AN ESTIMATE;"
        " errors that models share count as right. Label rows (metadata `expected`), collect feedback, or name a --judge"
    )
    return Tabled(replace(table, right=right), AGREEMENT, (said,), tuple(rows))


def _odd(rows: Sequence[Replies], sources: Counter[str], disputed: int) -> list[str]:
    found = []
    silent = len(rows) - sources.total()
    if silent:
        found.append(f"{silent:,} of {len(rows):,} rows have no label, feedback or verdict; they teach nothing of who is right")
    torn, _ = torn_and_copies((row.prompt, row.expected) for row in rows)
    if torn:
        stand = "question stands" if torn == 1 else "questions stand"
        found.append(f"{torn:,} {stand} there with labels that contradict each other: no model can be right on all its rows")
    if disputed:
        found.append(f"users' feedback contradicts the label of {disputed:,} row{'' if disputed == 1 else 's'}; the label counts")
    if sources["judge"]:
        found.append("a judge's verdicts say which answer is better than others, not that it is right: accuracies are relative")
    return found


def _failing(rows: Sequence[Replies], models: Sequence[str]) -> Iterator[str]:
    for model in models:
        replies = [row.replies[model] for row in rows if model in row.replies]
        failed = sum(isinstance(reply, Failure) for reply in replies)
        if failed and failed >= _MUCH * len(replies):
            yield f"{model}: {failed:,} of its {len(replies):,} calls failed for good, and count as wrong answers"
