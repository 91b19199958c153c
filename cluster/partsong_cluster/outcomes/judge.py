"""Judge: a model says which of a row's answers is right, where no label and no user does; it is asked, and paid, by the inline engine."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import log
from pathlib import Path

from partsong.contracts import Answer, Candidate, Completion, Reply, Task
from partsong.errors import MeshError
from partsong.learning.preferences import Pair, length_bias, verdicts
from partsong.learning.tabled import Replies, answer_of
from partsong.merging.best import Best
from partsong.mesh import LoadedMesh, secrets_of
from partsong.mesh.schema import StoreSpec
from partsong.opened import OpenMesh, inline_engine
from partsong.telemetry.spec import TelemetrySpec

__all__ = ["Judge"]

_MOST_ANSWERS = 3
"""Different answers of a row that are compared, those that most models gave: n of them make n (n - 1) questions."""


@dataclass(frozen=True, slots=True)
class _Dispute:
    """Two of a row's answers, and what the judge is asked about them."""

    row: Replies
    answers: tuple[str, str]
    candidates: tuple[Candidate, Candidate]

    def questions(self, rule: Best) -> Iterator[Task]:
        """Yield the pair in both orders."""
        yield from (question.task for question in rule.questions(self.row.task, self.candidates))

    def pair(self, rule: Best, replies: Sequence[Reply]) -> Pair | None:
        """Return the verdict; None when neither order has one that can be read."""
        found = rule.combine(self.candidates, replies)
        if not isinstance(found, Answer):
            return None
        (first, second), name = self.candidates, self.candidates[0].source
        return Pair(*self.answers, found.votes.get(name, 0.0), log((1 + len(first.text)) / (1 + len(second.text))))


@dataclass(frozen=True, slots=True)
class Judge:
    """A model of the mesh that judges; its verdicts are kept in the folder's journal, and never paid twice."""

    name: str
    loaded: LoadedMesh
    folder: Path
    budget_usd: float | None = None

    async def judge(self, rows: Sequence[Replies], told: Callable[[int, int], None]) -> Sequence[str]:
        """Give the rows that have no label and no feedback the judge's verdicts; return what to know of them.

        `told` hears how many questions of how many are answered. BudgetError when the next could pass the budget; MeshError when there is
        no such model, or it has a budget and no price.
        """
        if self.name not in self.loaded.mesh.models:
            raise MeshError("unknown-name", f"no model is called {self.name!r}", remedy="name a model of the mesh file as --judge")
        rule = Best(judge=self.name)
        open_rows = [row for row in rows if (row.expected is None or row.grader is None) and not row.ratings]
        disputes = [dispute for row in open_rows for dispute in _disputes(row)]
        replies = await self._asked([task for dispute in disputes for task in dispute.questions(rule)], told)
        found = [(d, d.pair(rule, replies[2 * n : 2 * n + 2])) for n, d in enumerate(disputes)]
        pairs = [pair for _, pair in found if pair is not None]
        bias = length_bias(pairs)
        by_row: dict[int, list[Pair]] = {id(row): [] for row in open_rows}
        for dispute, pair in found:
            by_row[id(dispute.row)] += [] if pair is None else [pair]
        for row in open_rows:
            row.judged = _agreed(row) or verdicts(by_row[id(row)], bias)
        return [*_unjudged(open_rows), *_remarks(self.name, len(disputes), pairs, bias)]

    async def _asked(self, tasks: Sequence[Task], told: Callable[[int, int], None]) -> Sequence[Reply]:
        mesh = self.loaded.mesh.model_copy(update={"store": StoreSpec(cache=True), "telemetry": TelemetrySpec()})
        loaded = replace(self.loaded, mesh=mesh)
        secrets = secrets_of({self.name: mesh.models[self.name]}, os.environ, loaded.folder, loaded.allowed)
        replies: list[Reply] = []
        async with inline_engine(loaded, self.folder, secrets=secrets) as engine:
            opened = await OpenMesh.over(loaded, engine)
            async for reply in opened.stream(tasks, use=self.name, budget_usd=self.budget_usd):
                replies.append(reply)
                told(len(replies), len(tasks))
        return replies


def _answers(row: Replies) -> dict[str, Candidate]:
    """Return the row's different answers, those of most models first, each as its first model gave it."""
    first: dict[str, Candidate] = {}
    for name, reply in row.replies.items():
        if isinstance(reply, Completion) and (answer := answer_of(row, reply)) is not None:
            first.setdefault(answer, Candidate(source=name, text=reply.text))
    return {answer: first[answer] for answer, _ in _counted(row).most_common()}


def _counted(row: Replies) -> Counter[str]:
    """Return how many models gave each answer."""
    return Counter(answer for reply in row.replies.values() if (answer := answer_of(row, reply)) is not None)


def _agreed(row: Replies) -> dict[str, bool]:
    """Return the answer as right where it is the only one and two models or more gave it: there is nothing to compare it with."""
    count = _counted(row)
    return dict.fromkeys(count, True) if len(count) == 1 and count.total() > 1 else {}


def _unjudged(rows: Sequence[Replies]) -> Iterator[str]:
    """Yield how many rows the judge was not asked about."""
    agreed = sum(bool(_agreed(row)) for row in rows)
    if agreed:
        yield f"{agreed:,} of {len(rows):,} rows count by agreement: models gave one answer, which is taken for right; nobody judged it"
    lone = sum(_counted(row).total() == 1 for row in rows)
    if lone:
        yield f"{lone:,} of {len(rows):,} rows have one model's answer alone: there is nothing to judge it by, it counts as not known"


def _disputes(row: Replies) -> Iterator[_Dispute]:
    answers = list(_answers(row).items())[:_MOST_ANSWERS]
    for (one, first), (other, second) in combinations(answers, 2):
        yield _Dispute(row, (one, other), (first, second))


def _remarks(judge: str, disputes: int, pairs: Sequence[Pair], bias: float) -> Iterator[str]:
    unread = disputes - len(pairs)
    if unread:
        yield f"{judge} gave no verdict that can be read on {unread:,} of {disputes:,} pairs of answers"
    split = sum(0.25 < pair.won < 0.75 for pair in pairs)
    if split:
        yield f"{judge} could not decide, or changed its mind with the order, on {split:,} of {len(pairs):,} pairs; they count as not known"
    if bias > 0.2 and pairs:
        longer = sum(pair.won if pair.longer_by > 0 else 1 - pair.won for pair in pairs) / len(pairs)
        yield f"{judge} preferred the longer answer in {100 * longer:.0f} % of pairs; what length alone explains counts as not known"
