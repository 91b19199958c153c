"""Gather: the patient, out of this machine, a mesh file, a deploy file and a cluster."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from partsong.mesh import LoadedMesh, variables_of
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.deploy import LoadedDeploy
from partsong_cluster.doctor import on_node, probe
from partsong_cluster.doctor.on_node import health_of
from partsong_cluster.doctor.patient import Clock, ModelHealth, Node, Patient
from partsong_cluster.doctor.probe import Facts, Wanted, probed
from partsong_cluster.doctor.store import address_of
from partsong_cluster.ray_token import token_of

__all__ = ["patient_here", "patient_of_cluster"]

_HERE = "here"
_ANSWERS_WITHIN_S = 60.0
_ASKED_WITHIN_S = 120.0
_TIMES = 5
"""Of asking for the time: the quickest answer tells it best."""
_CLIENT_PORT = 10001


def patient_here(loaded: LoadedMesh | None, deploy: LoadedDeploy | None, dashboard: Dashboard | None, *, ask: bool) -> Patient:
    """Return what can be looked at without joining a cluster."""
    health = health_of(loaded.mesh.pack(), str(loaded.folder), loaded.allowed, ask=ask) if loaded is not None else ()
    return Patient(here=_here(), dashboard=dashboard, loaded=loaded, deploy=deploy, models_here=health)


def patient_of_cluster(loaded: LoadedMesh | None, deploy: LoadedDeploy | None, *, ask: bool) -> Patient:
    """Return what the cluster that this process has joined tells; with a mesh also what each node has of what its models need."""
    import ray

    context = ray.get_runtime_context()
    here = _here()
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    url = _dashboard_url()
    wanted = Wanted(tuple(sorted(variables_of(loaded.mesh.models))) if loaded else (), address_of(_store_url(loaded, deploy)))
    actors = _probes(alive)
    facts = _answers({node: actors[node].facts.remote(_place(told), tuple(wanted)) for node, told in _by_id(alive)})
    clocks = {node: _clock(actors[node]) for node in facts}
    found = {node: Facts(*told) for node, told in facts.items()}
    models = _models([node for node, told in found.items() if told.partsong == here.partsong], loaded, ask=ask)
    for actor in actors.values():
        ray.kill(actor)
    gcs_port = int(context.gcs_address.rpartition(":")[2])
    nodes = [
        Node(
            facts=found.get(node),
            where=_place(told),
            ports=_ports(told, gcs_port, url),
            clock=clocks.get(node),
            models=models.get(node),
            object_store_bytes=int(told["Resources"].get("object_store_memory", 0)),
            is_head=_is_head(told),
        )
        for node, told in _by_id(alive)
    ]
    dashboard = Dashboard(f"http://{url}", token_of().text) if url else None
    return Patient(here=here, nodes=nodes, dashboard=dashboard, loaded=loaded, deploy=deploy)


def _here() -> Facts:
    return Facts(*probed(_HERE, tuple(Wanted())))


def _store_url(loaded: LoadedMesh | None, deploy: LoadedDeploy | None) -> str | None:
    if deploy is not None and deploy.deploy.store.url is not None:
        return deploy.deploy.store.url
    return loaded.mesh.store.url if loaded is not None else None


def _by_id(nodes: Sequence[Mapping[str, Any]]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return [(node["NodeID"], node) for node in nodes]


def _place(node: Mapping[str, Any]) -> str:
    return str(node["NodeManagerAddress"])


def _is_head(node: Mapping[str, Any]) -> bool:
    return "node:__internal_head__" in node["Resources"]


def _dashboard_url() -> str:
    from ray._private.worker import get_dashboard_url

    return get_dashboard_url() or ""  # type: ignore[no-untyped-call]


def _ports(node: Mapping[str, Any], gcs_port: int, dashboard_url: str) -> Mapping[int, str]:
    """Return what listens at Ray's own ports of a node."""
    named = {
        node["NodeManagerPort"]: "raylet",
        node["ObjectManagerPort"]: "object store",
        node["MetricsExportPort"]: "metrics",
        node.get("MetricsAgentPort", 0): "metrics agent",
        node.get("DashboardAgentListenPort", 0): "dashboard agent",
        node.get("RuntimeEnvAgentPort", 0): "runtime environments",
    }
    if _is_head(node):
        named |= {gcs_port: "GCS", _CLIENT_PORT: "Ray client"}
        named |= {int(dashboard_url.rpartition(":")[2]): "dashboard, job API"} if dashboard_url else {}
    return {port: what for port, what in named.items() if port}


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)


def _probes(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an actor on each node, by node, whose code travels there by value: the node need not have Partsong."""
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(probe)  # type: ignore[no-untyped-call]
    try:
        look = probe.probed

        class Probe:
            def facts(self, where: str, wanted: Any) -> Any:
                return look(where, wanted)

            def now_s(self) -> float:
                return time.time()

        made = ray.remote(Probe)
        return {node: made.options(num_cpus=0, scheduling_strategy=_on(node)).remote() for node, _ in _by_id(nodes)}
    finally:
        cloudpickle.unregister_pickle_by_value(probe)  # type: ignore[no-untyped-call]


def _answers(asked: Mapping[str, Any], within_s: float = _ANSWERS_WITHIN_S) -> dict[str, Any]:
    """Return what comes in time, by node."""
    import ray
    from ray.exceptions import RayError

    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=within_s)
    found: dict[str, Any] = {}
    for node, reference in asked.items():
        if reference in ready:
            try:
                found[node] = ray.get(reference)
            except RayError:
                continue  # it is told as a node that did not answer
    return found


def _clock(actor: Any) -> Clock | None:
    """Return the node's clock against ours by the quickest of some round trips, halved."""
    import ray
    from ray.exceptions import RayError

    best: Clock | None = None
    for _ in range(_TIMES):
        sent_s = time.time()
        try:
            there_s = ray.get(actor.now_s.remote(), timeout=_ANSWERS_WITHIN_S)
        except RayError:
            return best
        back_s = time.time()
        if best is None or back_s - sent_s < best.round_trip_s:
            best = Clock(offset_s=there_s - (sent_s + back_s) / 2, round_trip_s=max(0.0, back_s - sent_s))
    return best


def _models(nodes: Sequence[str], loaded: LoadedMesh | None, *, ask: bool) -> Mapping[str, Sequence[ModelHealth]]:
    """Return how the models fare on each node that has this Partsong; they are asked on the first one alone."""
    if loaded is None or not nodes:
        return {}
    import ray

    look: Any = ray.remote(on_node.health_of)  # type: ignore[arg-type]  # Ray knows no functions with options by name
    told = (loaded.mesh.pack(), str(loaded.folder), loaded.allowed)

    def asked_on(node: str) -> Any:
        placed = look.options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node))
        return placed.remote(*told, ask=ask and node == nodes[0])

    return _answers({node: asked_on(node) for node in nodes}, _ASKED_WITHIN_S)
