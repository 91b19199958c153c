"""Standing in words: who leads, whether that is sure, whether one may stop; no more than the rows bear out."""

from collections.abc import Iterator, Sequence

from partsong.evaluation.figure import share_of
from partsong.evaluation.sample_ratio import MISMATCH
from partsong.evaluation.sequential import SURE
from partsong.evaluation.standing import RolloutStage, Standing
from partsong.evaluation.summary import PlanSummary
from partsong_cluster.report.words import counted, money, money_range, seconds, seconds_range, share, share_range

__all__ = ["standing_words"]


def standing_words(standing: Standing) -> Sequence[str]:
    """Return a few sentences, the most important first."""
    return list(_sentences(standing))


def _sentences(standing: Standing) -> Iterator[str]:
    if standing.decided is not None:
        yield f"It is decided: the {standing.decided} answers every row."
        if not standing.sample_ratio_p:
            return
    if not standing.is_split_as_told:
        yield f"{_split(standing)} Do not believe the comparison before the cause is found."
    if standing.rollout is not None:
        yield _stage(standing.rollout)
    yield _lead(standing)
    if standing.difference is not None:
        yield _verdict(standing)
    if standing.champion.rows and standing.challenger.rows:
        yield _price(standing)
    yield from (f"Guardrail: {guard}." for guard in standing.guards)
    if standing.sample_ratio_p is not None and standing.is_split_as_told:
        yield _split(standing)
    yield from _rest(standing)


def _lead(standing: Standing) -> str:
    old, new = standing.champion, standing.challenger
    if standing.difference is None or standing.interval is None:
        graded = f"{counted(old.rows, 'row')} of the champion {old.plan} and {new.rows:,} of the challenger {new.plan}"
        return f"Nothing is said about which is right more often: of {graded}, no two that chance chose between are graded."
    low, high = standing.interval
    accuracies = f"the challenger {new.plan} is right on {_accuracy(new)}, the champion {old.plan} on {_accuracy(old)}"
    difference = f"{standing.difference * 100:+.1f} points (95 % at every look: {low * 100:+.1f} to {high * 100:+.1f})"
    leader = "Neither leads" if standing.leads is None else f"The {standing.leads} leads"
    return f"{leader}: {accuracies}; {difference}, like with like, on {counted(standing.tested, 'graded row')}."


def _stage(rollout: RolloutStage) -> str:
    if rollout.stopped is not None:
        return f"The rollout stopped itself: {rollout.stopped}."
    return f"The rollout is at {rollout.share * 100:.4g} % of the rows for the challenger."


def _verdict(standing: Standing) -> str:
    evidence = f"e-value {_short(standing.e_value)}; {SURE:g} is sure at 95 %, however often one looks"
    found = f"The difference {'is sure' if standing.may_stop else 'may be chance'} ({evidence})"
    if standing.rollout is not None and standing.rollout.stopped is not None:
        return f"{found}."
    return f"{found}: {'one may stop' if standing.may_stop else 'go on, or stop and know no more than this'}."


def _price(standing: Standing) -> str:
    old, new = standing.champion, standing.challenger
    costs = f"1,000 rows cost {_usd(new)} with the challenger, {_usd(old)} with the champion"
    latency = f"95 % are answered within {_p95(new)} and {_p95(old)}{'' if standing.shadow else ', waiting included'}"
    failed = f"{new.failed:,} of {new.rows:,} and {old.failed:,} of {old.rows:,} failed"
    return f"{costs}; {latency}; {failed}. These intervals, of 95 %, hold for one look: what is surely too much, the guardrails say."


def _usd(summary: PlanSummary) -> str:
    within = summary.usd_per_1000_interval
    return money(summary.usd_per_1000, "usd") + ("" if within is None else f" ({money_range(within, 'usd')})")


def _p95(summary: PlanSummary) -> str:
    within = summary.latency_p95_s_interval
    return seconds(summary.latency_p95_s) + (" (too few rows to say how surely)" if within is None else f" ({seconds_range(within)})")


def _split(standing: Standing) -> str:
    p = standing.sample_ratio_p
    assert p is not None, "asked only where arms were drawn"
    counts = f"{standing.champion.rows:,} rows to {standing.challenger.rows:,}"
    if standing.is_split_as_told:
        return f"The rows are split as told: {counts} (p = {p:.2g})."
    return f"The rows are not split as told: {counts}, which chance does less than once in {1 / MISMATCH:,.0f} times (p = {p:.1g})."


def _rest(standing: Standing) -> Iterator[str]:
    if standing.shadow is not None:
        shadow = standing.shadow
        missing = f"; {shadow.missing:,} have none: no room, no money or no time, or they are under way" if shadow.missing else ""
        yield f"Of {counted(shadow.sampled, 'sampled row')} {shadow.shadowed:,} have a shadow{missing}."
        cost = money(standing.challenger.cost_usd, "usd")
        yield f"The shadows cost {cost}. Latencies are those of the calls, without waiting for their turn."
    if standing.waiting:
        yield f"{counted(standing.waiting, 'finished row')} wait for an earlier one before the test takes them."


def _accuracy(summary: PlanSummary) -> str:
    right = share_of(summary.right, summary.graded)
    return "none graded" if right is None else f"{share(right.value)} ({share_range(right)}) of {right.n:,}"


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"
