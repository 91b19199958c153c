"""Models: are the weights of local ones there, can keys be read, and do they answer?"""

from collections.abc import Iterator, Sequence

from partsong_cluster.doctor.finding import Finding, fail, ok, warn
from partsong_cluster.doctor.patient import ModelHealth, Patient

__all__ = ["asked", "keys", "weights"]


def weights(patient: Patient) -> Iterator[Finding]:
    """Are the weights of local models on every node that may run them?"""
    for where, model in _models(patient):
        if model.weights:
            some = patient.clustered  # another node may have them, and its labels may be where the pool belongs
            yield (warn if some else fail)(where, f"{model.model}: {model.weights}", model.weights_remedy)
        elif model.weights is not None:
            yield ok(where, f"{model.model}: weights are here")


def keys(patient: Patient) -> Iterator[Finding]:
    """Can the keys of providers be read on every node? They are told by name."""
    for where, model in _models(patient):
        if model.key:
            yield fail(
                where,
                f"{model.model}: {model.key}",
                "give it to Ray's processes there: a Secret, or the launcher's file of keys",
            )
        elif model.key is not None:
            yield ok(where, f"{model.model}: {model.key_name} can be read")
    if patient.clustered and patient.loaded is not None and all(node.models is None for node in patient.nodes):
        yield warn("the nodes", "could not be asked for keys and weights: no node runs this version of Partsong", "see versions")


def asked(patient: Patient) -> Iterator[Finding]:
    """Does each model answer a call of one token?"""
    for where, model in _models(patient):
        if model.asked:
            yield fail(where, f"{model.model}: {model.asked}", "the code says whose fault it is: docs/reference/errors.md")
        elif model.asked is not None:
            yield ok(where, f"{model.model}: answered")


def _models(patient: Patient) -> Sequence[tuple[str, ModelHealth]]:
    if patient.clustered:
        return [(node.where, model) for node in patient.nodes for model in node.models or ()]
    return [(patient.here.where, model) for model in patient.models_here]
