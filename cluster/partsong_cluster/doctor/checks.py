"""Checks: all that the doctor does, in the order in which it is told. A new one is a function and a line here."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from partsong_cluster.doctor import machine, models, network, nodes, store
from partsong_cluster.doctor.finding import Finding, merged
from partsong_cluster.doctor.patient import Patient

__all__ = ["CHECKS", "Check", "examined"]


class Check(NamedTuple):
    """One of them; its function's docstring is the question that it asks."""

    name: str
    run: Callable[[Patient], Iterator[Finding]]

    @property
    def question(self) -> str:
        """What is asked."""
        return (self.run.__doc__ or "").strip()


CHECKS = (
    Check("nodes", nodes.answers),
    Check("versions", nodes.versions),
    Check("clocks", nodes.clocks),
    Check("auth", network.auth),
    Check("token file", machine.token_file),
    Check("ports", network.listeners),
    Check("tls", network.tls),
    Check("store", store.store),
    Check("store from nodes", store.reached),
    Check("segments", store.segments),
    Check("weights", models.weights),
    Check("keys", models.keys),
    Check("calls", models.asked),
    Check("disk", machine.disk),
    Check("shared memory", machine.shared_memory),
    Check("object store", machine.object_store),
    Check("open files", machine.open_files),
)


def examined(patient: Patient) -> Sequence[tuple[Check, Sequence[Finding]]]:
    """Return what each check found; one that finds nothing has nothing to look at."""
    return [(check, found) for check in CHECKS if (found := merged(check.run(patient)))]
