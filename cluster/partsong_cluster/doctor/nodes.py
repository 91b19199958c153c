"""Nodes: do all answer, run the same versions, and agree on the time?"""

from collections.abc import Iterator

from partsong_cluster.doctor.finding import Finding, fail, ok, warn
from partsong_cluster.doctor.patient import Patient

__all__ = ["answers", "clocks", "versions"]

_SKEW_S = 0.5
_SAME = "install the same version on every node, or submit the job so that its wheel travels with it"


def answers(patient: Patient) -> Iterator[Finding]:
    """Does every node do what it is asked?"""
    for node in patient.nodes:
        if node.facts is None:
            yield fail(
                node.where, "it is alive to Ray, and did not answer in time", "see its raylet's log; `ray stop` there, and join it anew"
            )
        else:
            yield ok(node.where, f"answers, as {node.facts.hostname}")


def versions(patient: Patient) -> Iterator[Finding]:
    """Are Python, Ray and Partsong the same everywhere?"""
    here = patient.here
    if not patient.clustered:
        yield ok(here.where, f"Partsong {here.partsong}, Ray {here.ray}, Python {here.python}")
        return
    for one in patient.machines:
        what = f"Partsong {one.partsong or 'not installed'}, Ray {one.ray}, Python {one.python}"
        if one.partsong != here.partsong:
            yield (fail if one.partsong else warn)(one.where, f"{what}; here is Partsong {here.partsong}", _SAME)
        elif one.ray != here.ray or _minor(one.python) != _minor(here.python):
            yield fail(one.where, f"{what}; here are Ray {here.ray} and Python {here.python}", "Ray wants both the same on every machine")
        else:
            yield ok(one.where, what)


def clocks(patient: Patient) -> Iterator[Finding]:
    """Do the nodes' clocks agree with the one here? Budgets of a day and times in traces go by them."""
    for node in patient.nodes:
        if node.clock is None:
            continue
        off_s, known_to_s = node.clock.offset_s, node.clock.round_trip_s / 2
        ahead = "ahead of" if off_s > 0 else "behind"
        if abs(off_s) - known_to_s > _SKEW_S:
            yield warn(
                node.where,
                f"its clock is {abs(off_s):.2f} s {ahead} the one here",
                "have all machines keep time: chrony or systemd-timesyncd",
            )
        else:
            yield ok(node.where, f"its clock is less than {max(0.01, abs(off_s) + known_to_s):.2f} s off")


def _minor(python: str) -> str:
    return python.rpartition(".")[0]
