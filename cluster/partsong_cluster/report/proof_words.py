"""Proof in words: whether combining pays, for somebody who decides about money and reads no statistics."""

from collections.abc import Iterator, Sequence

from partsong.evaluation.proof import BEST, MIX, SAMPLES, Contender, Proof
from partsong_cluster.report.headline import SURE, cost_words
from partsong_cluster.report.words import counted, points, share

__all__ = ["proof_words"]


def proof_words(proof: Proof) -> Sequence[str]:
    """Return a few sentences, the verdict first."""
    return [f"{_verdict(proof)} {_beside_best(proof)}", *(_against(proof, one) for one in proof.contenders), *_left_open(proof)]


def _verdict(proof: Proof) -> str:
    if proof.pays == "yes":
        return f"Combining pays: {proof.mesh} is right more often than anything else that the same money buys here."
    if proof.pays == "no":
        return f"Combining does not pay here: the same money, or less, is spent as well or better without {proof.mesh}, to within a point."
    needed = (
        f" About {counted(proof.rows_needed, 'labelled row')} would tell, if the difference is what it seems." if proof.rows_needed else ""
    )
    return f"These {proof.rows:,} rows cannot tell whether combining pays.{needed}"


def _beside_best(proof: Proof) -> str:
    """Say what a buyer asks first: accuracy and cost beside the one model that would be bought instead."""
    best = next(one for one in proof.contenders if one.name == BEST)
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
        case _ if one.name == SAMPLES:
            told = f"For the same money, {one.about}, is right on {share(one.accuracy.value)}; {_chance(one)}"
        case _:
            same = "For the same money, a random mix of single models" if _same_cost(proof, one) else _ELSE
            told = f"{same} is right on {share(one.accuracy.value)}; {_chance(one)}"
    return f"{told}."


_ELSE = "No mix of single models has a use for as much money; the best of them, for less,"


def _same_cost(proof: Proof, one: Contender) -> bool:
    return one.name == MIX and abs(one.cost_per_1000.value - proof.cost_per_1000.value) <= 0.1 * proof.cost_per_1000.value


def _chance(one: Contender) -> str:
    gained = f"a difference of {points(one.gain.value)} points (95 % interval {points(one.gain.low)} to {points(one.gain.high)})"
    p = "" if one.p_value is None else f", p = {one.p_value:.2g}"
    sure = one.gain.beyond(0.0) if one.p_value is None else one.p_value < SURE
    return f"{gained} that chance alone rarely makes{p}" if sure else f"{gained}, which may be chance{p}"


def _left_open(proof: Proof) -> Iterator[str]:
    best = next(one for one in proof.contenders if one.name == BEST)
    if best.cost_per_1000.value >= proof.cost_per_1000.value:
        yield "Asking the best single model several times is not compared: one answer of it costs as much as this."
