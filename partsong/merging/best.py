"""Best: a judge compares the candidates in pairs, each pair in both orders, and the one that wins most is the answer."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations, repeat
from typing import Literal

from pydantic import PositiveInt

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Name, Reply, Sampling, Task
from partsong.evaluation.reading import Letter
from partsong.merging.rule import MergeRule, Question
from partsong.merging.tally import NO_CANDIDATE

__all__ = ["Best"]

_PROMPT = """Two assistants answered the same request. Decide which answer is better.

[Request]
{request}

[Answer A]
{first}

[Answer B]
{second}

[Task]
Judge by this: {criterion} The order and the length of the answers must not matter.
Reply with one letter and nothing else: A if answer A is better, B if answer B is better, C if they are equally good."""


class Best(MergeRule):
    """The candidate that wins most of its comparisons; of several, the earliest.

    Judges favour a place, mostly the first (Zheng et al. 2023, arXiv 2306.05685), so each pair is asked in both orders: a verdict that
    changes with the order is half a win each. Of n different answers that makes n (n - 1) calls; equal texts are never compared.
    """

    kind = "best"

    judge: Name
    """The model or plan that compares."""
    criterion: str = "it is correct, it does what is asked, and it is clear."
    """What better means, as the judge is told."""
    max_tokens: PositiveInt = 256
    """Longest verdict; judges that reason first need more."""
    otherwise: Literal["fail", "first"] = "fail"
    """What becomes of the row when no verdict can be had: a failure, or the first candidate."""

    def asks(self) -> Iterator[Name]:
        """See MergeRule.asks."""
        yield self.judge

    def most_asks(self, candidates: int) -> Iterator[Name]:
        """See MergeRule.most_asks."""
        yield from repeat(self.judge, candidates * (candidates - 1))

    def questions(self, task: Task, candidates: Sequence[Candidate]) -> Sequence[Question]:
        """See MergeRule.questions."""
        return [Question(self.judge, self._asked(task, candidates[a], candidates[b]), f"{a}-{b}") for a, b in _pairs(candidates)]

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        if not candidates:
            return NO_CANDIDATE
        pairs = _pairs(candidates)
        verdicts = [_verdict(reply) for reply in replies]
        if pairs and not any(verdicts):
            return self._undecided(candidates, replies)
        wins: Counter[int] = Counter()
        for (a, b), verdict in zip(pairs, verdicts, strict=True):
            wins[a] += _QUARTERS[verdict]
            wins[b] += 2 - _QUARTERS[verdict]
        rivals = len({c.text for c in candidates}) - 1
        winner = max(range(len(candidates)), key=lambda at: wins[at])  # max keeps the first of equals
        chosen = candidates[winner]
        return Answer(
            text=chosen.text,
            value=chosen.value,
            source=chosen.source,
            confidence=wins[winner] / 4 / rivals if rivals else None,
            candidates=tuple(candidates),
            votes={name: wins[at] / 4 for at, name in _called(candidates).items() if at in wins},
        )

    def _asked(self, task: Task, first: Candidate, second: Candidate) -> Task:
        prompt = _PROMPT.format(request=task.text, first=first.text, second=second.text, criterion=self.criterion)
        sampling = Sampling(temperature=0.0, max_tokens=self.max_tokens)
        return task.asking(prompt).model_copy(update={"sampling": sampling})

    def _undecided(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        failed = next((r for r in replies if isinstance(r, Failure)), None)
        failure = failed or Failure(code=FailureCode.INVALID_ANSWER, message=f"no verdict of {self.judge} can be read", where=self.judge)
        if self.otherwise == "fail":
            return failure
        first = candidates[0]
        stopped = f"no verdict ({failure.code}): the first candidate stands"
        return Answer(text=first.text, value=first.value, source=first.source, candidates=tuple(candidates), stopped=stopped)


_QUARTERS = {"A": 2, "B": 0, "C": 1, None: 1}
"""Quarters of a win that one order of a pair gives the answer shown first, of two; both orders together make one win."""


def _pairs(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    """Return the places of different texts in every order of two."""
    first_of: dict[str, int] = {}
    for at, candidate in enumerate(candidates):
        first_of.setdefault(candidate.text, at)
    return list(permutations(first_of.values(), 2))


def _verdict(reply: Reply) -> str | None:
    return Letter(among="ABC").read(reply.text) if isinstance(reply, Answer) else None


def _called(candidates: Sequence[Candidate]) -> dict[int, str]:
    """Return a name for each place: the source, numbered where it occurs again."""
    seen: Counter[str] = Counter()
    names = {}
    for at, candidate in enumerate(candidates):
        seen[candidate.source] += 1
        again = seen[candidate.source]
        names[at] = candidate.source if again == 1 else f"{candidate.source}#{again}"
    return names
