"""Nodes: the machines of a cluster that runs, as Ray counts them."""

from typing import Any

from partsong_cluster.deploy.placing import Machine

__all__ = ["as_machines", "cluster_machines"]

_RAYS_OWN = ("object_store_memory", "node:")


async def cluster_machines(address: str) -> list[Machine]:
    """Return the machines of the cluster at the address; EngineError when none answers."""
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(address):
        import ray

        return as_machines(ray.nodes())  # type: ignore[no-untyped-call]


def as_machines(nodes: list[dict[str, Any]]) -> list[Machine]:
    """Return what `ray.nodes()` says, without nodes that are gone."""
    return [
        Machine(
            f"node {node['NodeManagerAddress']}",
            {name: amount for name, amount in node["Resources"].items() if not name.startswith(_RAYS_OWN)},
            dict(node.get("Labels", {})),
        )
        for node in nodes
        if node["Alive"]
    ]
