"""Numeric rules: the mean, median or trimmed mean of what the candidates say as numbers."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from math import inf
from statistics import fmean, median
from typing import Annotated

from pydantic import Field, NonNegativeInt

from partsong.contracts import Answer, Candidate, Failure, FailureCode, Reply
from partsong.evaluation.reading import Number
from partsong.merging.normalise import voted
from partsong.merging.rule import MergeRule
from partsong.merging.tally import NO_CANDIDATE

__all__ = ["Mean", "Median", "TrimmedMean"]


class _Numeric(MergeRule):
    """One number from several; a candidate without a number abstains, and the order of candidates does not matter."""

    places: NonNegativeInt | None = None
    """Decimal places of the result; None keeps twelve significant digits."""

    @abstractmethod
    def middle(self, numbers: Sequence[float]) -> float:
        """Return the one number; `numbers` are sorted and at least one."""

    def decided(self, candidates: Sequence[Candidate], missing: Sequence[float]) -> bool:
        """See MergeRule.decided."""
        return not missing

    def combine(self, candidates: Sequence[Candidate], replies: Sequence[Reply]) -> Reply:
        """See MergeRule.combine."""
        if not candidates:
            return NO_CANDIDATE
        counted = voted(candidates, Number())
        votes = [c.vote for c in counted if c.vote is not None]
        if not votes:
            return Failure(code=FailureCode.INVALID_ANSWER, message=f"none of {len(counted)} answers can be read as a number")
        result = self.middle(sorted(map(float, votes)))
        text = Number(places=self.places).read("", result) or str(result)
        number = float(text)
        value = int(number) if number.is_integer() and abs(number) < 2**53 else number
        tally = {vote: float(times) for vote, times in Counter(votes).items()}
        return Answer(text=text, value=value, candidates=counted, votes=tally)


class Mean(_Numeric):
    """The arithmetic mean."""

    kind = "mean"

    def middle(self, numbers: Sequence[float]) -> float:
        """See _Numeric.middle."""
        return fmean(numbers)


class Median(_Numeric):
    """The middle number; the mean of the two middle ones when their count is even."""

    kind = "median"

    def middle(self, numbers: Sequence[float]) -> float:
        """See _Numeric.middle."""
        return median(numbers)

    def decided(self, candidates: Sequence[Candidate], missing: Sequence[float]) -> bool:
        """See MergeRule.decided: the median must be the same whether the missing are silent, all low, all high, or in between."""
        if not missing:
            return True
        numbers = sorted(float(c.vote) for c in voted(candidates, Number()) if c.vote is not None)
        if not numbers:
            return False
        further = [(low, high) for low in range(len(missing) + 1) for high in range(len(missing) + 1 - low)]
        return len({median([*[-inf] * low, *numbers, *[inf] * high]) for low, high in further}) == 1


class TrimmedMean(_Numeric):
    """The mean without the lowest and the highest few."""

    kind = "trimmed_mean"

    trim: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.2
    """Share of numbers left out at each end, rounded down: 0.2 of five numbers leaves out one low and one high."""

    def middle(self, numbers: Sequence[float]) -> float:
        """See _Numeric.middle."""
        out = int(len(numbers) * self.trim + 1e-9)
        return fmean(numbers[out : len(numbers) - out])
