"""Look: what an answer's own form tells of it, for right answers are alike: short, or whole numbers, where wrong ones are not."""

from dataclasses import dataclass
from math import fsum, isfinite, log1p

__all__ = ["FORMS", "PLAIN", "Look", "form_of"]

FORMS = ("log_length", "number", "broken_number", "negative", "brackets")
"""What each figure of a form says. (How large a number is, and whether the prompt has the same words, told nothing more.)"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a form is worth; plain numbers, since a plan at work has no NumPy."""

    usual: tuple[float, ...]
    """The figures' means over the answers that were given."""
    worth: tuple[float, ...]
    """What a unit more of each is worth."""

    def of(self, answer: str) -> float:
        """Return what the answer's form adds to its log-odds; about 0 for the usual one."""
        return fsum(worth * (figure - usual) for figure, usual, worth in zip(form_of(answer), self.usual, self.worth, strict=True))


def form_of(answer: str) -> tuple[float, ...]:
    """Return the figures of an answer in its normal form, in the order of FORMS."""
    number = _number(answer)
    told = (0.0, 0.0, 0.0) if number is None else (1.0, float(not number.is_integer()), float(number < 0))
    return (log1p(len(answer)), *told, float(answer[:1] in {"[", "(", "{"}))


def _number(answer: str) -> float | None:
    try:
        number = float(answer.replace(",", ""))
    except ValueError:
        return None
    return number if isfinite(number) else None


PLAIN = Look((0.0,) * len(FORMS), (0.0,) * len(FORMS))
"""Every form is worth the same: where nothing was learned of it."""
