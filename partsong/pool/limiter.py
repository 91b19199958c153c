"""Limiter: who may use how much of what is limited, for all models of an engine; exact over all callers.

A machine like `Permits`: events and the time in, instructions out. A caller wants amounts for calls, gets them leased when every meter of
the call's model, its account and its run has room, and settles them by what the calls took. First come, first served, except that a call
never waits for a limit that is not its own. A caller whose place another takes has used all that it held: under, never over.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from partsong.contracts import Failure, FailureCode, Limits, ModelSpec, Terms
from partsong.pool.meter import NOTHING, Amounts, Horizon, Meter

__all__ = ["Ahead", "Leased", "LimitInstruction", "Limiter", "Purpose", "Refused", "Settlement", "Standing"]


@dataclass(frozen=True, slots=True)
class Purpose:
    """Whose amounts: a caller's, for a run's calls of a model."""

    caller: str
    model: str
    run: str


@dataclass(frozen=True, slots=True)
class Leased:
    """The first `count` amounts that the purpose wants are leased."""

    purpose: Purpose
    count: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """So many calls of these amounts are leased beyond what was wanted: there is plenty."""

    purpose: Purpose
    amounts: Amounts
    count: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The first amounts that the purpose wants will not be leased."""

    purpose: Purpose
    failure: Failure


LimitInstruction = Leased | Ahead | Refused


@dataclass(frozen=True, slots=True)
class Settlement:
    """One call's amounts, leased and used."""

    leased: Amounts
    used: Amounts
    age_s: float = 0.0
    """How long ago its request left, at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller that joins tells of one purpose."""

    model: str
    run: str
    terms: Terms
    leased: Amounts
    used: Amounts
    """In all, since the caller began."""
    recent: Sequence[tuple[float, Amounts]]
    """What was used within the last minute, each with its age in seconds."""


class Limiter:
    """All meters of one engine."""

    def __init__(self, models: Mapping[str, ModelSpec], accounts: Mapping[str, Limits]) -> None:
        self._models = models
        self._accounts = accounts
        self._lasting: dict[tuple[str, str], Meter] = {}
        self._meters = self._arranged()
        self._runs: dict[str, _RunMeters] = {}
        self._held: dict[Purpose, Amounts] = {}
        self._used: dict[Purpose, Amounts] = {}
        self._born: dict[str, str] = {}
        self._today_is_told = False
        self._lanes: OrderedDict[Purpose, deque[Amounts]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Calls that wait for amounts."""
        return sum(len(wants) for wants in self._lanes.values())

    @property
    def left_usd(self) -> float | None:
        """US dollars that the tightest limit of a run or a day leaves besides what is in flight; None where none is set."""
        meters = (meter for run in list(self._runs.values()) for meters in run.of.values() for meter in meters)
        return min((meter.left for meter in meters if meter.horizon in (Horizon.RUN, Horizon.DAY) and meter.limit < math.inf), default=None)

    @property
    def lasting(self) -> Sequence[Meter]:
        """The meters of all limits but those of a run."""
        return list({id(meter): meter for meters in self._meters.values() for meter in meters}.values())

    def want(self, purpose: Purpose, terms: Terms, needs: Sequence[Amounts], ahead: int, now_s: float) -> Sequence[LimitInstruction]:
        """A caller wants these amounts besides what it waits for; `ahead` further calls like the last too, if there is plenty."""
        self._enter(purpose.run, terms, now_s)
        self._lanes.setdefault(purpose, deque()).extend(needs)
        found = self.due(now_s)
        if ahead and purpose not in self._lanes:
            found += self._leased_ahead(purpose, needs[-1], ahead, now_s)
        return found

    def settle(self, purpose: Purpose, settlements: Sequence[Settlement], now_s: float) -> Sequence[LimitInstruction]:
        """Calls have ended, or amounts come back unused."""
        held, used = self._held.get(purpose, NOTHING), self._used.get(purpose, NOTHING)
        for one in settlements:
            held, used = held - one.leased, used + one.used
            for meter in self._of(purpose):
                meter.settle(one.leased, one.used, one.age_s, now_s)
        self._held[purpose], self._used[purpose] = held, used
        return self.due(now_s)

    def forget(self, purpose: Purpose, now_s: float) -> Sequence[LimitInstruction]:
        """The caller makes no more calls for it; when none makes any for its run, what the run has spent is forgotten."""
        self._drop(purpose, used=False, now_s=now_s)
        return self.due(now_s)

    def change(self, models: Mapping[str, ModelSpec], accounts: Mapping[str, Limits], now_s: float) -> Sequence[LimitInstruction]:
        """Other limits hold from now on; what was used under a limit of the same kind still counts."""
        self._models, self._accounts = models, accounts
        self._meters = self._arranged()
        for run in self._runs.values():
            run.change(models, accounts, self._meters)
        for purpose in [purpose for purpose in (*self._lanes, *self._held) if purpose.model not in models]:
            self._lanes.pop(purpose, None)
            self._held.pop(purpose, None)
            self._used.pop(purpose, None)
        return self.due(now_s)

    def presume(self, now_s: float) -> Sequence[tuple[Meter, float]]:
        """Callers that held amounts were not heard of: they may have used all. Return what is in flight, to be released when it is over."""
        return [(meter, held) for meter in self.lasting if (held := meter.presume(now_s))]

    def join(
        self, caller: str, born: str, standings: Sequence[Standing], now_s: float, *, dollars_in_terms: bool = False
    ) -> Sequence[LimitInstruction]:
        """A caller is here and tells all it holds and has used; what it waits for it wants anew.

        `born` tells a process from its predecessor of the same name, whose amounts are used up. Of a caller that was known, what it used
        and could not tell is counted now; one that was not tells these pools, which are new, what it used before them. With
        `dollars_in_terms` the terms tell all dollars that were spent until now, by callers that are gone too.
        """
        if self._born.get(caller, born) != born:
            self._use_all(caller, now_s)
        known = caller in self._born
        self._born[caller] = born
        self._drop_wants(caller)
        told_of = {(told.model, told.run) for told in standings}
        for purpose in [purpose for purpose in self._held if purpose.caller == caller and (purpose.model, purpose.run) not in told_of]:
            self._drop(purpose, used=True, now_s=now_s)  # it has forgotten its run, and what it settled last was lost
        for told in standings:
            purpose = Purpose(caller, told.model, told.run)
            self._enter(told.run, told.terms, now_s)
            before, told_before = self._held.get(purpose, NOTHING), self._used.get(purpose, NOTHING)
            for meter in self._of(purpose):
                if known:
                    meter.settle(before, told.used - told_before, 0.0, now_s)
                else:
                    _recall(meter, told, now_s, dollars=not dollars_in_terms)
                meter.hold(told.leased)
            self._held[purpose], self._used[purpose] = told.leased, told.used
        return self.due(now_s)

    def leave(self, caller: str, now_s: float) -> Sequence[LimitInstruction]:
        """A caller has ended: what it held counts as used, what it waited for is forgotten."""
        self._use_all(caller, now_s)
        self._drop_wants(caller)
        self._born.pop(caller, None)
        return self.due(now_s)

    def new_day(self, now_s: float) -> Sequence[LimitInstruction]:
        """It is past midnight UTC."""
        for meters in self._meters.values():
            for meter in meters:
                if meter.horizon is Horizon.DAY:
                    meter.reset()
        return self.due(now_s)

    def due(self, now_s: float) -> list[LimitInstruction]:
        """Return what can be leased now. A lane that has to wait for a meter keeps its turn: later ones do not take what it waits for."""
        if not self._lanes:
            return []
        found: list[LimitInstruction] = []
        taken: set[int] = set()
        before = -1
        while before != len(found):
            before = len(found)
            for purpose in list(self._lanes):
                found += self._served(purpose, taken, now_s)
        return _joined(found)

    def next_s(self, now_s: float) -> float:
        """Return when the passing of time alone lets the next call go; infinity when none waits for that."""
        firsts = ((purpose, wants[0]) for purpose, wants in self._lanes.items())
        return min((max(meter.fits_at_s(need, now_s) for meter in self._of(purpose)) for purpose, need in firsts), default=math.inf)

    def _arranged(self) -> dict[str, list[Meter]]:
        """Return each model's meters, its account's among them; those that were there before go on."""
        there, self._lasting = self._lasting, {}
        for owner, limits in (*((name, spec.limits) for name, spec in self._models.items()), *_named(self._accounts)):
            for kind, limit, horizon, counts in _kinds(limits):
                what = f"{kind} {limit:g} of {owner}"
                meter = self._lasting[owner, kind] = there.get((owner, kind)) or Meter(what, limit, horizon, counts)
                if meter.what != what:
                    meter.change(what, limit)
        return {
            name: [meter for (owner, _), meter in self._lasting.items() if owner in (name, f"account {spec.account}")]
            for name, spec in self._models.items()
        }

    def _served(self, purpose: Purpose, taken: set[int], now_s: float) -> list[LimitInstruction]:
        """Lease or refuse the lane's first want, which moves the lane to the end; nothing when it has to wait."""
        wants, meters = self._lanes[purpose], self._of(purpose)
        if any(id(meter) in taken for meter in meters):
            return []
        need = wants[0]
        full = [meter for meter in meters if not meter.fits(need, now_s)]
        hopeless = next((meter for meter in full if meter.exhausted(need, now_s)), None)
        if full and hopeless is None:
            taken.update(id(meter) for meter in full)
            return []
        wants.popleft()
        self._lanes.move_to_end(purpose)
        if not wants:
            del self._lanes[purpose]
        if hopeless is not None:
            return [Refused(purpose, _refusal(hopeless, need, purpose, now_s))]
        self._lease(purpose, need, now_s)
        return [Leased(purpose, 1)]

    def _leased_ahead(self, purpose: Purpose, amounts: Amounts, count: int, now_s: float) -> list[LimitInstruction]:
        together = Amounts(count * amounts.requests, count * amounts.prompt_tokens, count * amounts.completion_tokens, count * amounts.usd)
        if not all(meter.ample(together, now_s) for meter in self._of(purpose)):
            return []
        self._lease(purpose, together, now_s)
        return [Ahead(purpose, amounts, count)]

    def _lease(self, purpose: Purpose, amounts: Amounts, now_s: float) -> None:
        self._held[purpose] = self._held.get(purpose, NOTHING) + amounts
        for meter in self._of(purpose):
            meter.lease(amounts, now_s)

    def _use_all(self, caller: str, now_s: float) -> None:
        for purpose in [purpose for purpose in self._held if purpose.caller == caller]:
            held = self._held.pop(purpose)
            self._used.pop(purpose, None)
            for meter in self._of(purpose):
                meter.settle(held, held, 0.0, now_s)

    def _drop(self, purpose: Purpose, *, used: bool, now_s: float) -> None:
        held = self._held.pop(purpose, NOTHING)
        self._used.pop(purpose, None)
        self._lanes.pop(purpose, None)
        if purpose.run not in self._runs:
            return
        for meter in self._of(purpose):
            meter.settle(held, held if used else NOTHING, 0.0, now_s)
        if not any(other.run == purpose.run for other in (*self._held, *self._lanes)):
            del self._runs[purpose.run]

    def _drop_wants(self, caller: str) -> None:
        for purpose in [purpose for purpose in self._lanes if purpose.caller == caller]:
            del self._lanes[purpose]

    def _of(self, purpose: Purpose) -> list[Meter]:
        return self._runs[purpose.run].of.get(purpose.model, [])  # of a model that was taken out, nothing is counted any more

    def _enter(self, run: str, terms: Terms, now_s: float) -> None:
        """Make the run's meters when it is first seen; a changed budget takes the place of the old one."""
        if run in self._runs:
            self._runs[run].rebudget(terms)
            return
        if not self._today_is_told:
            self._today_is_told = True
            for name, meters in self._meters.items():
                for meter in meters:
                    if meter.horizon is Horizon.DAY:
                        meter.add(terms.today_usd.get(name, 0.0), now_s, now_s)
        self._runs[run] = _RunMeters(self._models, self._accounts, self._meters, terms, now_s)


def _recall(meter: Meter, told: Standing, now_s: float, *, dollars: bool) -> None:
    """Count what a caller used before these pools began."""
    if meter.horizon is not Horizon.MINUTE:
        if dollars:
            meter.add(meter.counts(told.used), now_s, now_s)
        return
    for age_s, used in told.recent:
        meter.add(meter.counts(used), now_s - age_s, now_s)


class _RunMeters:
    """The meters that a run's calls are held to, by model: its own, and those of all runs."""

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        accounts: Mapping[str, Limits],
        lasting: Mapping[str, Sequence[Meter]],
        terms: Terms,
        now_s: float,
    ) -> None:
        self._budget = Meter("the run's budget", math.inf, Horizon.RUN, _usd)
        self.rebudget(terms)
        self._limited: dict[str, Meter] = {}
        self.of: dict[str, list[Meter]] = {}
        self.change(models, accounts, lasting)
        for name, spent_usd in terms.spent_usd.items():
            for meter in (one for one in self.of.get(name, (self._budget,)) if one.horizon is Horizon.RUN):
                meter.add(spent_usd, now_s, now_s)

    def change(self, models: Mapping[str, ModelSpec], accounts: Mapping[str, Limits], lasting: Mapping[str, Sequence[Meter]]) -> None:
        """Hold to these limits from now on; what the run has spent under a limit still counts."""
        there, self._limited = self._limited, {}
        for owner, limits in (*((name, spec.limits) for name, spec in models.items()), *_named(accounts)):
            if (limit := limits.usd_per_run) is not None:
                what = f"usd_per_run {limit:g} of {owner}"
                meter = self._limited[owner] = there.get(owner) or Meter(what, limit, Horizon.RUN, _usd)
                meter.change(what, limit)
        self.of = {name: [*lasting[name], self._budget, *self._limiting(name, f"account {spec.account}")] for name, spec in models.items()}

    def _limiting(self, *owners: str) -> Sequence[Meter]:
        return [self._limited[owner] for owner in owners if owner in self._limited]

    def rebudget(self, terms: Terms) -> None:
        self._budget.limit = math.inf if terms.budget_usd is None else terms.budget_usd
        self._budget.what = f"the run's budget of ${self._budget.limit:g}"


def _usd(amounts: Amounts) -> float:
    return amounts.usd


def _named(accounts: Mapping[str, Limits]) -> Sequence[tuple[str, Limits]]:
    return [(f"account {name}", limits) for name, limits in accounts.items()]


def _kinds(limits: Limits) -> Sequence[tuple[str, float, Horizon, Callable[[Amounts], float]]]:
    """Return all limits but those of a run."""
    kinds: list[tuple[str, float | None, Horizon, Callable[[Amounts], float]]] = [
        ("requests_per_minute", limits.requests_per_minute, Horizon.MINUTE, lambda amounts: amounts.requests),
        ("input_tokens_per_minute", limits.input_tokens_per_minute, Horizon.MINUTE, lambda amounts: amounts.prompt_tokens),
        ("output_tokens_per_minute", limits.output_tokens_per_minute, Horizon.MINUTE, lambda amounts: amounts.completion_tokens),
        ("tokens_per_minute", limits.tokens_per_minute, Horizon.MINUTE, lambda amounts: amounts.prompt_tokens + amounts.completion_tokens),
        ("calls_in_flight", limits.calls_in_flight, Horizon.AT_ONCE, lambda amounts: amounts.requests),
        ("usd_per_day", limits.usd_per_day, Horizon.DAY, _usd),
    ]
    return [(name, limit, horizon, counts) for name, limit, horizon, counts in kinds if limit is not None]


def _refusal(meter: Meter, need: Amounts, purpose: Purpose, now_s: float) -> Failure:
    message = f"{meter.what}: {meter.used(now_s):.6g} spent, the next call of {purpose.model} could cost {meter.counts(need):.6g}"
    return Failure(code=FailureCode.RUN_BUDGET, message=message, where=purpose.model)


def _joined(found: Sequence[LimitInstruction]) -> list[LimitInstruction]:
    """Count leases of one purpose that follow each other as one."""
    joined: list[LimitInstruction] = []
    places: dict[Purpose, int] = {}
    for one in found:
        place = places.get(one.purpose)
        last = None if place is None else joined[place]
        if isinstance(one, Leased) and isinstance(last, Leased) and place is not None:
            joined[place] = Leased(one.purpose, last.count + one.count)
            continue
        places[one.purpose] = len(joined)
        joined.append(one)
    return joined
