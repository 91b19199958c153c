"""Inquiry: whom to ask next for one answer, and when to stop; plain numbers in and out, the same for a plan at work and for a benchmark.

The answers so far make a posterior over the candidates and "none of these". A further vote's promise is the information that it is
expected to bring (Lindley 1956), per dollar; its worth is what it is expected to add to the chance of being right, times what a right
answer is worth, less its price.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, fsum, log

from partsong.learning.look import PLAIN, Look

__all__ = ["Heard", "Inquiry", "Standing", "Voice"]

_AHEAD = 3
"""Answers to come that are weighed together: one alone may change nothing where two would."""
_FREE_USD = 1e-9
"""What a free answer counts as, so that of two free ones the more telling is asked first."""

_Scores = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that may be asked."""

    model: str
    vote: float
    """What its word adds to the log-odds of the answer that it names; never negative."""
    right: float = 0.5
    """Its chance to be right."""
    cost_usd: float = 0.0
    """What an answer of it costs."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of asking a model."""

    model: str
    answer: str | None
    """In its normal form; None when the model failed or cannot be read."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an inquiry stands."""

    chances: Mapping[str, float]
    """How likely each answer that was named is right; what is missing to 1 is "none of these"."""
    ask: Voice | None
    """Who is asked next; None: nobody."""
    why: str
    """In words: why this one is asked, or why nobody is."""

    @property
    def best(self) -> str | None:
        """The likeliest answer, of several the first named; None when none was."""
        return max(self.chances, key=self.chances.__getitem__, default=None)

    @property
    def sure(self) -> float:
        """How likely the best answer is right; 0 when there is none."""
        return max(self.chances.values(), default=0.0)


@dataclass(frozen=True)
class Inquiry:
    """One question, who may be asked, and when it is enough."""

    voices: tuple[Voice, ...]
    nothing: float
    """Log-odds of "the right answer is none that was named"."""
    enough: float
    """How sure the answer must be, in [0, 1]."""
    value_usd: float | None = None
    """What a right answer is worth; None: the price stops nothing."""
    in_order: bool = False
    """Whether the voices are asked as they stand, which was learned; else who promises most per dollar."""
    look: Look = PLAIN
    """What an answer's own form is worth; one that nobody has given yet is taken for usual."""

    def standing(self, heard: Sequence[Heard]) -> Standing:
        """Return who is asked next, or why nobody is, after these answers."""
        named: dict[str, list[float]] = {}
        for one in heard:
            if one.answer is not None:
                named.setdefault(one.answer, [self.look.of(one.answer)]).append(self._by_model[one.model].vote)
        scores = tuple(map(fsum, named.values()))
        chances = dict(zip(named, self._chances(scores), strict=True))
        sure = max(chances.values(), default=0.0)
        asked = {one.model for one in heard}
        left = [voice for voice in self.voices if voice.model not in asked]
        if chances and sure >= self.enough:
            return Standing(chances, None, f"sure enough: {sure:.3f} >= {self.enough:g}")
        if not left:
            return Standing(chances, None, "all asked")
        if chances and _lead(scores) > fsum(voice.vote for voice in left):
            return Standing(chances, None, "no answer to come could change it")
        return self._further(chances, scores, left)

    def _further(self, chances: Mapping[str, float], scores: _Scores, left: Sequence[Voice]) -> Standing:
        """Return whom to ask of those left, unless none is worth its price."""
        ranked = left if self.in_order else sorted(left, key=lambda voice: -self._promise(scores, voice) / max(voice.cost_usd, _FREE_USD))
        if self.value_usd is None:
            return Standing(chances, ranked[0], f"asks {ranked[0].model}: {self._said(ranked[0])}")
        gain, group = max(((self._gain(scores, group), group) for group in self._groups(ranked)), key=lambda one: self._worth(*one))
        names, cost_usd = " and ".join(voice.model for voice in group), fsum(voice.cost_usd for voice in group)
        promise = f"{names} would add {100 * gain:.1f} % of ${self.value_usd:g} for ${cost_usd:.3g}"
        if chances and self._worth(gain, group) <= 0:
            return Standing(chances, None, f"no answer to come is worth its price: {promise}")
        return Standing(chances, group[0], f"asks {group[0].model}: {promise}")

    def _groups(self, ranked: Sequence[Voice]) -> Iterator[Sequence[Voice]]:
        """Yield who may be asked one after the other: the first few, and, where the order is free, each alone."""
        yield from (ranked[:many] for many in range(1, min(_AHEAD, len(ranked)) + 1))
        if not self.in_order:
            yield from ([voice] for voice in ranked[1:])

    def _said(self, voice: Voice) -> str:
        return "next in the learned order" if self.in_order else f"promises most per dollar, at ${voice.cost_usd:.3g}"

    def _worth(self, gain: float, group: Sequence[Voice]) -> float:
        return gain * (self.value_usd or 0.0) - fsum(voice.cost_usd for voice in group)

    def _gain(self, scores: _Scores, group: Sequence[Voice]) -> float:
        """Return what these votes are expected to add to the chance of being right."""
        return self._expected(scores, group) - max(self._chances(scores), default=0.0)

    def _expected(self, scores: _Scores, group: Sequence[Voice]) -> float:
        if not group:
            return max(self._chances(scores), default=0.0)
        return fsum(chance * self._expected(after, group[1:]) for chance, after in self._outcomes(scores, group[0]))

    def _promise(self, scores: _Scores, voice: Voice) -> float:
        """Return the information, in nats, that the vote is expected to bring."""
        return fsum(chance * self._certainty(after) for chance, after in self._outcomes(scores, voice)) - self._certainty(scores)

    def _outcomes(self, scores: _Scores, voice: Voice) -> Iterator[tuple[float, _Scores]]:
        """Yield what the model may say, as chance and scores after: each answer that was named, and one that was not."""
        wrong = voice.right * exp(-voice.vote)
        named = [chance * voice.right + (1.0 - chance) * wrong for chance in self._chances(scores)]
        other = max(0.0, 1.0 - fsum(named))
        total = fsum(named) + other
        for at, chance in enumerate(named):
            yield chance / total, (*scores[:at], scores[at] + voice.vote, *scores[at + 1 :])
        yield other / total, (*scores, voice.vote)

    def _certainty(self, scores: _Scores) -> float:
        """Return the negative entropy; what was not named is spread over as many answers as its odds say."""
        chances = self._chances(scores)
        none = max(1e-300, 1.0 - fsum(chances))
        return fsum(chance * log(chance) for chance in chances if chance > 0.0) + none * (log(none) - max(0.0, self.nothing))

    def _chances(self, scores: _Scores) -> list[float]:
        top = max((*scores, self.nothing))
        odds = [exp(score - top) for score in scores]
        total = fsum(odds) + exp(self.nothing - top)
        return [one / total for one in odds]

    @cached_property
    def _by_model(self) -> Mapping[str, Voice]:
        return {voice.model: voice for voice in self.voices}


def _lead(scores: _Scores) -> float:
    """Return how far the best answer is before the second, or before one that nobody named."""
    best, *others = sorted(scores, reverse=True)
    return best - max([0.0, *others])
