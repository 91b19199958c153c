"""Billed latency: how long a row takes by what its answers took, made in this run or taken from the journal or a cache."""

from collections.abc import Mapping, Sequence

from partsong.contracts import Answer, BillLine, RowRecord
from partsong.plans.cascade import Cascade
from partsong.plans.decompose import Decompose
from partsong.plans.direct import Direct
from partsong.plans.ensemble import Ensemble
from partsong.plans.layers import Layers
from partsong.plans.plan import Plan

__all__ = ["as_billed"]


def as_billed(record: RowRecord, plans: Mapping[str, Plan]) -> RowRecord:
    """Return the record with the latency of its bill: calls in a row added up, of calls side by side the longest; no wait for a turn.

    What a planner took apart keeps its own: its bill does not tell which parts were worked side by side.
    """
    reply = record.reply
    if not isinstance(reply, Answer) or reply.route is None:
        return record
    use = reply.route.use
    if isinstance(plans.get(use), Decompose):
        return record
    return record.model_copy(update={"reply": reply.model_copy(update={"latency_s": _took_s(use, use, reply.bill, plans)})})


def _took_s(name: str, step: str, bill: Sequence[BillLine], plans: Mapping[str, Plan]) -> float:
    plan = plans.get(name)
    match plan:
        case Ensemble():
            return _longest_s([member.ask for member in plan.members], step, bill, plans)
        case Cascade():
            return sum(_took_s(tier.ask, f"{step}/{place}-{tier.ask}", bill, plans) for place, tier in enumerate(plan.tiers))
        case Layers():
            rounds = (f"{step}/round-{number + 1}" for number in range(plan.rounds))
            proposed_s = sum(_longest_s(plan.proposers, each, bill, plans) for each in rounds)
            return proposed_s + _took_s(plan.aggregator, f"{step}/aggregate-{plan.aggregator}", bill, plans)
        case Direct():
            return _took_s(plan.ask, f"{step}/{plan.ask}", bill, plans)
    return sum(line.answer_s or line.latency_s for line in bill if line.step == step or line.step.startswith(f"{step}/"))


def _longest_s(names: Sequence[str], step: str, bill: Sequence[BillLine], plans: Mapping[str, Plan]) -> float:
    return max(_took_s(name, f"{step}/{place}-{name}", bill, plans) for place, name in enumerate(names))
