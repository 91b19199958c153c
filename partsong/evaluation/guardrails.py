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

    def __str__(self) -> str:
        what = _WHAT[self.name]
        if self.value is None:
            return f"{what}: cannot be measured, {_LACKS[self.name]}"
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
    "failure_rise": "one arm has no row",
    "cost_ratio": "one arm has no row",
    "p95_latency_ratio": "too few rows are answered",
}
_STATES = {"within": "within", "beyond": "beyond, which may be chance", "broken": "surely beyond"}

_SLOW = 0.05
_LEAST_LATENCIES = 20
"""The champion's answers before its 95th percentile means anything."""


@dataclass(slots=True)
class _Side:
    """What one arm has come to."""

    rows: int = 0
    failed: int = 0
    cost_usd: float = 0.0
    answers: int = 0
    latency: Quantiles = field(default_factory=Quantiles)

    @property
    def p95_s(self) -> float:
        return self.latency.at(1.0 - _SLOW)


class Watch:
    """Looks at both arms row by row. All guardrails together raise one false alarm in twenty experiments at most."""

    def __init__(self, limits: Guardrails) -> None:
        self._limits: dict[GuardName, float] = {name: limit for name, limit in limits if limit is not None}  # type: ignore[misc]
        self._wealth = {name: Wealth() for name in self._limits}
        self._sure = SURE * max(1, len(self._limits))
        self.accuracy, self._failures = Effect(), Effect()
        self._sides: dict[Arm, _Side] = {"champion": _Side(), "challenger": _Side()}
        self._dearest_usd = 0.0
        self._keys: set[int] = set()

    def saw(self, trial: Trial) -> bool:
        """Take a row of one arm; return whether it counts: of rows with the same key the first does, since their arm was drawn once."""
        if not trial.by_chance or self._is_repeated(trial.key):
            return False
        if trial.right is not None:
            self._right(self.accuracy.saw(trial.arm, trial.share, trial.right, trial.stratum))
        self._failed(self._failures.saw(trial.arm, trial.share, trial.failed, trial.stratum))
        self._cost(trial, 1.0 / (trial.share if trial.arm == "challenger" else 1.0 - trial.share), 1.0 / (1.0 - trial.share))
        self._took(trial)
        return True

    def saw_both(self, champion: Trial, challenger: Trial) -> None:
        """Take a row that both arms answered."""
        if champion.right is not None and challenger.right is not None:
            self._right(self.accuracy.saw_both(champion.right, challenger.right))
        self._failed(self._failures.saw_both(champion.failed, challenger.failed))
        for trial in (champion, challenger):
            self._cost(trial, 1.0, 1.0)
            self._took(trial)

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
            return Guard(name=name, limit=limit, value=value, e_value=best, state="broken")
        if value is None:
            return Guard(name=name, limit=limit, value=None, e_value=best, state="unmeasured")
        return Guard(name=name, limit=limit, value=value, e_value=best, state="beyond" if value > limit else "within")

    def _measured(self, name: GuardName) -> float | None:
        usual, new = self._sides["champion"], self._sides["challenger"]
        match name:
            case "accuracy_drop":
                return -self.accuracy.difference if self.accuracy.rows else None
            case "failure_rise":
                return new.failed / new.rows - usual.failed / usual.rows if new.rows and usual.rows else None
            case "cost_ratio":
                return _ratio(new.cost_usd * usual.rows, usual.cost_usd * new.rows) if new.rows and usual.rows else None
            case "p95_latency_ratio":
                return _ratio(new.p95_s, usual.p95_s) if new.answers and usual.answers >= _LEAST_LATENCIES else None

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

    def _cost(self, trial: Trial, weight: float, most_weight: float) -> None:
        """Bet that the challenger's dollars are above the limit's times the champion's; one of those counts up to the dearest before."""
        limit, side = self._limits.get("cost_ratio"), self._sides[trial.arm]
        if limit is not None and self._dearest_usd:
            excess_usd = trial.cost_usd if trial.arm == "challenger" else -limit * min(trial.cost_usd, self._dearest_usd)
            self._wealth["cost_ratio"].add(weight * excess_usd, most_weight * limit * self._dearest_usd)
        if trial.arm == "champion":
            self._dearest_usd = max(self._dearest_usd, trial.cost_usd)
        side.cost_usd += trial.cost_usd
        side.rows += 1
        side.failed += trial.failed

    def _took(self, trial: Trial) -> None:
        """Bet that the challenger takes longer than the limit's times the champion's 95th percentile more often than 1 row in 20."""
        limit, usual, side = self._limits.get("p95_latency_ratio"), self._sides["champion"], self._sides[trial.arm]
        if trial.failed:
            return
        if limit is not None and trial.arm == "challenger" and usual.answers >= _LEAST_LATENCIES:
            self._wealth["p95_latency_ratio"].add((trial.latency_s > limit * usual.p95_s) - _SLOW, 1.0)
        side.latency.add(trial.latency_s)
        side.answers += 1


def _ratio(new: float, usual: float) -> float:
    """Return how many times the usual the new is; of nothing, nothing is as much and anything infinitely more."""
    return new / usual if usual else inf if new else 1.0
