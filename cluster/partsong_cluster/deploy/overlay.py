"""Overlay: a deploy file laid over a mesh, and the running system that it asks for."""

from typing import Any

from partsong_actors.setup import Placement, SystemSpec

from partsong.contracts import ModelSpec, Resources
from partsong.mesh import Mesh
from partsong_cluster.deploy.schema import Amounts, Deploy, Pool, Reserved

__all__ = ["overlaid", "system_spec"]


def overlaid(mesh: Mesh, deploy: Deploy) -> Mesh:
    """Return the mesh with the deploy file's workers, concurrency, resources, scale rules and store; what it answers stays the same."""
    models = {name: _placed(spec, deploy.pools.get(name, Pool()), deploy.defaults) for name, spec in mesh.models.items()}
    stated = {name: value for name, value in (("url", deploy.store.url), ("segments", deploy.store.segments)) if value is not None}
    return mesh.model_copy(update={"models": models, "store": mesh.store.model_copy(update=stated)})


def system_spec(deploy: Deploy) -> SystemSpec:
    """Return the lasting system that the deploy file describes."""
    control = _placement(deploy.control.resources, deploy.control.labels)
    return SystemSpec(
        name=deploy.name,
        namespace=deploy.namespace,
        lasting=True,
        coordinators=deploy.coordinators.count,
        synthesizers=deploy.synthesizers.count,
        journal_shards=deploy.journal.shards,
        placed={
            "coordinator": _placement(deploy.coordinators.resources, deploy.coordinators.labels),
            "synthesizer": _placement(deploy.synthesizers.resources, deploy.synthesizers.labels),
            "journal": _placement(deploy.journal.resources, deploy.journal.labels),
            "pools": control,
            "staff": control,
            "job": control,
        },
        python_adapter=deploy.security.python_adapter,
    )


def _placed(spec: ModelSpec, pool: Pool, defaults: Pool) -> ModelSpec:
    """Return the model as its pool says, else the defaults, else the mesh."""
    said: dict[str, Any] = {}
    for name in ("workers", "concurrency", "scale", "generation"):
        value = getattr(pool, name) if getattr(pool, name) is not None else getattr(defaults, name)
        if value is not None:
            said[name] = value
    reserved = pool.resources or defaults.resources
    labels = defaults.labels if pool.labels is None else pool.labels
    if reserved is not None or labels is not None:
        said["resources"] = _resources(spec.resources, reserved, labels)
    return spec.model_copy(update=said)


def _resources(own: Resources, reserved: Amounts | None, labels: dict[str, str] | None) -> Resources:
    amounts = own if reserved is None else reserved
    kept = own.labels if labels is None else labels
    return Resources(cpu=amounts.cpu, gpu=amounts.gpu, memory=amounts.memory, custom=amounts.custom, labels=kept)


def _placement(reserved: Reserved, labels: dict[str, str]) -> Placement:
    return Placement(cpu=reserved.cpu, memory=reserved.memory, custom=reserved.custom, labels=labels)
