"""Proof in words: whether combining pays, for somebody who decides about money and reads no statistics."""

from collections.abc import Iterator, Sequence

from partsong.evaluation.proof import BEST, MIX, SAMPLES, Contender, Proof
from partsong_cluster.report.contents import PlanLine
from partsong_cluster.report.headline import SURE, cost_words
from partsong_cluster.report.words import counted, money, percent, points, share

__all__ = ["proof_words"]


_SAME = 1.1
"""Costs that differ by a smaller factor are called about the same."""


def proof_words(proof: Proof, beside: Sequence[PlanLine] = ()) -> Sequence[str]:
    """Return a few sentences, the verdict first; `beside`: other ways over the same rows, of which the better and no dearer are named."""
    verdict = f"{_verdict(proof)} {_beside_best(proof)}"
    return [verdict, *_better(proof, beside), *(_against(proof, one) for one in proof.contenders), *_left_open(proof)]


def _verdict(proof: Proof) -> str:
    if proof.pays == "yes":
        return f"Combining pays: {proof.mesh} is right more often than {_compared(proof)}."
    if proof.pays == "trade":
        best = _best(proof)
        assert best.saved is not None, "of a trade"
        traded = f"It saves {best.saved.value * 100:.0f} % and loses {points(-best.gain.value).lstrip('+')} points"
        return f"{traded}: a trade, no win, though {proof.mesh} is right more often than {_compared(proof)}."
    if proof.pays == "no":
        return f"Combining does not pay here: the same money, or less, is spent as well or better without {proof.mesh}, to within a point."
    needed = (
        f" About {counted(proof.rows_needed, 'labelled row')} would tell, if the difference is what it seems." if proof.rows_needed else ""
    )
    return f"These {proof.rows:,} rows cannot tell whether combining pays.{needed}"


def _compared(proof: Proof) -> str:
    """Say what a mesh was compared with, and no more: there are other plans."""
    samples = ", its own samples" if any(one.name == SAMPLES for one in proof.contenders) else ""
    mix = next(one for one in proof.contenders if one.name == MIX)
    return f"a single model{samples} or a random mix of models at {'the same cost' if _same_cost(proof, mix) else 'its cost or less'}"


def _better(proof: Proof, beside: Sequence[PlanLine]) -> Iterator[str]:
    most = _SAME * proof.cost_per_1000.value
    better = [line for line in beside if (line.summary.accuracy or 0.0) > proof.accuracy.value and line.cost_per_1000("usd") <= most]
    if better:
        told = ", ".join(f"{line.name} ({percent(line)} for {money(line.cost_per_1000('usd'), 'usd')} per 1,000)" for line in better)
        mine = f"{proof.mesh} ({share(proof.accuracy.value)} for {money(proof.cost_per_1000.value, 'usd')})"
        yield f"For about the same money or less, other plans here did better on these rows than {mine}: {told}; that may be chance."


def _best(proof: Proof) -> Contender:
    return next(one for one in proof.contenders if one.name == BEST)


def _beside_best(proof: Proof) -> str:
    """Say what a buyer asks first: accuracy and cost beside the one model that would be bought instead."""
    best = _best(proof)
    accuracies = f"{share(proof.accuracy.value)} against {share(best.accuracy.value)}"
    if best.p_value is None or best.p_value >= SURE:
        right = f"as often right as far as these rows tell ({accuracies})"
    else:
        more = "more" if best.gain.value > 0 else "less"
        right = f"{more} often right by {points(abs(best.gain.value)).lstrip('+')} points ({accuracies}, p = {best.p_value:.2g})"
    return f"Beside the best single model it is {right}, and {cost_words(best.saved)}."


def _against(proof: Proof, one: Contender) -> str:
    mesh = f"{proof.mesh} is right on {share(proof.accuracy.value)} of the rows"
    match one.name:
        case _ if one.name == BEST:
            told = f"{mesh}, the best single model ({one.about}) on {share(one.accuracy.value)}; {_chance(one)}; {cost_words(one.saved)}"
            told += _in_hindsight(proof, one)
        case _ if one.name == SAMPLES:
            told = f"For the same money, {one.about}, is right on {share(one.accuracy.value)}; {_chance(one)}"
        case _:
            same = "For the same money, a random mix of single models" if _same_cost(proof, one) else _ELSE
            told = f"{same} is right on {share(one.accuracy.value)}; {_chance(one)}"
    return f"{told}."


def _in_hindsight(proof: Proof, best: Contender) -> str:
    """Say why another best single model may stand in the same report: a buyer chooses before the answers are known."""
    top, accuracy = max(((one.name, one.points[0].accuracy) for one in proof.curves if one.kind == "single"), key=lambda one: one[1])
    if accuracy <= best.accuracy.value:
        return ""
    return f". Chosen with hindsight, on these very rows, it would be {top} with {share(accuracy)}, but a buyer has to choose beforehand"


_ELSE = "No mix of single models has a use for as much money; the best of them, for less,"


def _same_cost(proof: Proof, one: Contender) -> bool:
    return one.name == MIX and abs(one.cost_per_1000.value - proof.cost_per_1000.value) <= (_SAME - 1) * proof.cost_per_1000.value


def _chance(one: Contender) -> str:
    gained = f"a difference of {points(one.gain.value)} points (95 % interval {points(one.gain.low)} to {points(one.gain.high)})"
    p = "" if one.p_value is None else f", p = {one.p_value:.2g}"
    sure = one.gain.beyond(0.0) if one.p_value is None else one.p_value < SURE
    return f"{gained} that chance alone rarely makes{p}" if sure else f"{gained}, which may be chance{p}"


def _left_open(proof: Proof) -> Iterator[str]:
    if _best(proof).cost_per_1000.value >= proof.cost_per_1000.value:
        yield "Asking the best single model several times is not compared: one answer of it costs as much as this."
