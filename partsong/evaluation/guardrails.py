"""Guardrails: what a challenger must not do, and whether it surely does; looked at after every row."""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from pydantic import PositiveFloat

from partsong.contracts import Arm, Frozen, Probability
from partsong.evaluation.quantiles import Quantiles
from partsong.evaluation.sequential import SURE, Effect, Seen, Wealth
from partsong.evaluation.trial import Trial

__all__ = ["Guard", "GuardName", "Guardrails", "Watch"]

GuardName = Literal["accuracy_drop", "failure_rise", "cost_ratio", "p95_latency_ratio"]


class Guardrails(Frozen):
    """How much worse than the champion a challenger may be; what is empty is not looked at."""

    accuracy_drop: Probability | None = 0.05
    """By how much less often it may be right, of the rows that are graded."""
    failure_rise: Probability | None = 0.05
    """By how much more often it may fail to answer."""
    cost_ratio: PositiveFloat | None = None
    """How many times the champion's cost a row may cost on average."""
    p95_latency_ratio: PositiveFloat | None = None
    """How many times the champion's 95th percentile its own may be."""


class Guard(Frozen):
    """How one guardrail stands."""

    name: GuardName
    limit: float
    value: float | None
    """As measured so far; None when there is nothing to measure it by."""
    e_value: float
    """What speaks for its being broken."""
    state: Literal["within", "beyond", "broken", "unmeasured"]
    """`beyond`: the figure is past the limit, which may be chance; `broken`: it surely is."""
    lacks: str = ""
    """Why there is nothing to measure it by."""

    def __str__(self) -> str:
        what = _WHAT[self.name]
        if self.value is None:
            return f"{what}: cannot be measured, {self.lacks}"
        return f"{what} {self._shown(self.value)}, the limit is {self._shown(self.limit)} ({_STATES[self.state]})"

    def _shown(self, value: float) -> str:
        match self.name:
            case "accuracy_drop":
                return f"{-value * 100:+.1f} points"
            case "failure_rise":
                return f"{value * 100:+.1f} points"
        return f"{value:.3g} times the champion's"


_WHAT: dict[GuardName, str] = {
    "accuracy_drop": "accuracy",
    "failure_rise": "failed rows",
    "cost_ratio": "cost",
    "p95_latency_ratio": "95th percentile of latency",
}
_LACKS: dict[GuardName, str] = {
    "accuracy_drop": "no row is graded (`expected` in its metadata)",
    "p95_latency_ratio": "too few rows are answered",
}
_STATES = {"within": "within", "beyond": "beyond, which may be chance", "broken": "surely beyond"}

_SLOW = 0.05
_LEAST_LATENCIES = 20
"""The champion's answers before its 95th percentile means anything."""
_FIRST = 50
"""The champion's rows whose dearest is what a row counts up to."""


@dataclass(slots=True)
class _Side:
    """What one arm has come to."""

    rows: int = 0
    failed: int = 0
    cost_usd: float = 0.0
    dearest_usd: float = 0.0
    """Of the first rows, and until one costs anything; fixed from then on."""
    answers: int = 0
    latency: Quantiles = field(default_factory=Quantiles)

    @property
    def p95_s(self) -> float:
        return self.latency.at(1.0 - _SLOW)

    def took(self, trial: Trial) -> None:
        if self.rows < _FIRST or not self.dearest_usd:
            self.dearest_usd = max(self.dearest_usd, trial.cost_usd)
        self.rows += 1
        self.failed += trial.failed
        self.cost_usd += trial.cost_usd
        if not trial.failed:
            self.answers += 1
            self.latency.add(trial.latency_s)


class Watch:
    """Looks at both arms row by row. All guardrails together raise one false alarm in twenty experiments at most.

    Of costs and latencies, which have no upper bound, that is so where the challenger's are the champion's times at most the limit, or
    distributed below that. The bet is on costs cut off, at a cost of the champion's first rows and the limit's times that; and on how often
    an answer is later than the champion's 95th percentile so far, and the limit's times that. Arms whose costs or latencies are spread
    differently may have these in another ratio than the figure told.
    """

    def __init__(self, limits: Guardrails) -> None:
        self._limits: dict[GuardName, float] = {name: limit for name, limit in limits if limit is not None}  # type: ignore[misc]
        self._wealth = {name: Wealth() for name in self._limits}
        self._sure = SURE * max(1, len(self._limits))
        self.accuracy, self._failures = Effect(), Effect()
        self._sides: dict[Arm, _Side] = {"champion": _Side(), "challenger": _Side()}
        self._keys: set[int] = set()

    def saw(self, trial: Trial) -> bool:
        """Take a row of one arm; return whether it counts: of rows with the same key the first does, since their arm was drawn once."""
        if not trial.by_chance or self._is_repeated(trial.key):
            return False
        if trial.right is not None:
            self._right(self.accuracy.saw(trial.arm, trial.share, trial.right, trial.stratum))
        self._failed(self._failures.saw(trial.arm, trial.share, trial.failed, trial.stratum))
        for name, bad in self._badness(trial).items():
            weighed = bad / trial.share if trial.arm == "challenger" else -bad / (1.0 - trial.share)
            self._wealth[name].add(weighed, 1.0 / (1.0 - trial.share))
        self._sides[trial.arm].took(trial)
        return True

    def saw_both(self, champion: Trial, challenger: Trial) -> None:
        """Take a row that both arms answered; of those with the same key the first counts."""
        if self._is_repeated(champion.key):
            return
        if champion.right is not None and challenger.right is not None:
            self._right(self.accuracy.saw_both(champion.right, challenger.right))
        self._failed(self._failures.saw_both(champion.failed, challenger.failed))
        usual = self._badness(champion)
        for name, bad in self._badness(challenger).items():
            self._wealth[name].add(bad - usual[name], 1.0)
        for trial in (champion, challenger):
            self._sides[trial.arm].took(trial)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """How every guardrail stands."""
        return tuple(self._guard(name, limit) for name, limit in self._limits.items())

    @property
    def broken(self) -> Guard | None:
        """The first that is surely broken."""
        return next((self._guard(name, self._limits[name]) for name, won in self._wealth.items() if won.best >= self._sure), None)

    def _guard(self, name: GuardName, limit: float) -> Guard:
        value, best = self._measured(name), self._wealth[name].best
        if best >= self._sure:
            return Guard(
                name=name, limit=limit, value=value, e_value=best, state="broken", lacks=self._lacks(name) if value is None else ""
            )
        if value is None:
            return Guard(name=name, limit=limit, value=None, e_value=best, state="unmeasured", lacks=self._lacks(name))
        return Guard(name=name, limit=limit, value=value, e_value=best, state="beyond" if value > limit else "within")

    def _measured(self, name: GuardName) -> float | None:
        usual, new = self._sides["champion"], self._sides["challenger"]
        if not usual.rows or not new.rows:
            return None
        match name:
            case "accuracy_drop":
                return -self.accuracy.difference if self.accuracy.rows else None
            case "failure_rise":
                return new.failed / new.rows - usual.failed / usual.rows
            case "cost_ratio":
                return _ratio(new.cost_usd * usual.rows, usual.cost_usd * new.rows)
            case "p95_latency_ratio":
                return _ratio(new.p95_s, usual.p95_s) if new.answers and usual.answers >= _LEAST_LATENCIES else None

    def _lacks(self, name: GuardName) -> str:
        match [arm for arm, side in self._sides.items() if not side.rows]:
            case []:
                return _LACKS[name]
            case [arm]:
                return f"the {arm} has no row that counts"
        return "chance chose between the arms on no row"

    def _is_repeated(self, key: str) -> bool:
        known = len(self._keys)
        if key:
            self._keys.add(hash(key))
        return bool(key) and len(self._keys) == known

    def _right(self, seen: Seen) -> None:
        if "accuracy_drop" in self._wealth:
            self._wealth["accuracy_drop"].add(-seen.value - self._limits["accuracy_drop"], seen.most + 1.0)

    def _failed(self, seen: Seen) -> None:
        if "failure_rise" in self._wealth:
            self._wealth["failure_rise"].add(seen.value - self._limits["failure_rise"], seen.most + 1.0)

    def _badness(self, trial: Trial) -> dict[GuardName, float]:
        """Return how dear and how slow a row is, in [0, 1], by what the champion's rows before it set; the limit widens the challenger's.

        A champion's failure counts as slow, a challenger's does not: whose rows fail has a guardrail of its own.
        """
        usual, found, new = self._sides["champion"], dict[GuardName, float](), trial.arm == "challenger"
        if (limit := self._limits.get("cost_ratio")) is not None and usual.rows >= _FIRST and usual.dearest_usd:
            found["cost_ratio"] = min(1.0, trial.cost_usd / (usual.dearest_usd * (limit if new else 1.0)))
        if (limit := self._limits.get("p95_latency_ratio")) is not None and usual.answers >= _LEAST_LATENCIES:
            late = trial.latency_s > usual.p95_s * (limit if new else 1.0)
            found["p95_latency_ratio"] = float(not new if trial.failed else late)
        return found


def _ratio(new: float, usual: float) -> float:
    """Return how many times the usual the new is; of nothing, nothing is as much and anything infinitely more."""
    return new / usual if usual else inf if new else 1.0
