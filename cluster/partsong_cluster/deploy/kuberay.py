"""KubeRay: the objects that run a system on Kubernetes, and overlays that change their size.

No RayService: it serves a Ray Serve application, and Partsong has none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from partsong.errors import MeshError
from partsong_cluster.deploy.load import LoadedDeploy
from partsong_cluster.deploy.network import policies
from partsong_cluster.deploy.placing import counted
from partsong_cluster.deploy.pods import Pods, requests
from partsong_cluster.deploy.rendered import Files, as_yaml, ray_version
from partsong_cluster.deploy.schema import Amounts, Autoscaling, Deploy, Kubernetes, NodeType
from partsong_cluster.deploy.surroundings import HEALTH

__all__ = ["kuberay_files"]

_LARGER = 10
"""What the large overlay multiplies the most machines of each kind by."""
_FEW = 2
"""The most machines of each kind in the small overlay."""
_KUSTOMIZATION = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def kuberay_files(loaded: LoadedDeploy) -> Files:
    """Return the manifests by path; MeshError when the deploy file does not say enough."""
    deploy, said, scaling = loaded.deploy, loaded.deploy.kubernetes, loaded.deploy.autoscaling
    if said is None:
        raise MeshError(
            "nothing-to-render", "the file has no image", at=loaded.place("kubernetes"), remedy="add `kubernetes: {image: ...}`"
        )
    if scaling is None or not scaling.node_types:
        at = loaded.place("autoscaling", "node_types")
        raise MeshError("nothing-to-render", "the file names no machines", at=at, remedy="add `autoscaling: {node_types: ...}`")
    return dict(_files(deploy, said, scaling))


def _files(deploy: Deploy, said: Kubernetes, scaling: Autoscaling) -> Iterator[tuple[str, str]]:
    base = {
        "serviceaccount.yaml": [_service_account(deploy)] if said.service_account is None else [],
        "raycluster.yaml": [_ray_cluster(deploy, said, scaling)],
        "networkpolicies.yaml": policies(deploy, said),
        "poddisruptionbudgets.yaml": list(_budgets(deploy, said, scaling)),
    }
    present = [name for name, documents in base.items() if documents]
    for name in present:
        yield f"base/{name}", as_yaml(base[name])
    yield "base/kustomization.yaml", as_yaml([_KUSTOMIZATION | {"namespace": said.namespace, "resources": present}])
    yield "rayjob-apply.yaml", as_yaml([_apply_job(deploy, said)], *_APPLY_NOTES)
    for name, patches, note in _overlays(deploy, said, scaling):
        target = {"kind": "RayCluster", "name": deploy.name}
        patched = [{"target": target, "patch": "\n".join(f"- {json.dumps(patch)}" for patch in patches) + "\n"}]
        yield f"overlays/{name}/kustomization.yaml", as_yaml([_KUSTOMIZATION | {"resources": ["../../base"], "patches": patched}], note)


_APPLY_NOTES = (
    "Starts the system on the cluster, or changes it to what the deploy file says: `kubectl create -f rayjob-apply.yaml`.",
    "The ConfigMap holds mesh.yaml, what it names, and deploy.yaml; no secret: docs/deploying.md.",
)


def _labels(deploy: Deploy) -> dict[str, str]:
    return {"app.kubernetes.io/name": "partsong", "app.kubernetes.io/instance": deploy.name}


def _meta(deploy: Deploy, name: str, namespace: str | None = None) -> dict[str, Any]:
    return {"name": name} | ({"namespace": namespace} if namespace else {}) | {"labels": _labels(deploy)}


def _service_account(deploy: Deploy) -> dict[str, Any]:
    made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(deploy, f"{deploy.name}-worker")}
    return made | {"automountServiceAccountToken": False}


def _ray_cluster(deploy: Deploy, said: Kubernetes, scaling: Autoscaling) -> dict[str, Any]:
    pods = Pods(deploy, said)
    spec: dict[str, Any] = {"rayVersion": ray_version(), "enableInTreeAutoscaling": True, "autoscalerOptions": _autoscaler(scaling)}
    spec["authOptions"] = {"mode": "token", "secretName": said.auth_secret} if deploy.security.auth == "token" else {"mode": "disabled"}
    if deploy.security.tls:
        spec["tlsOptions"] = {"enabled": True}
    if said.gcs_storage != "off":
        spec["gcsFaultToleranceOptions"] = _kept(said)
    spec["headGroupSpec"] = {
        "serviceType": "ClusterIP",
        "rayStartParams": {"dashboard-host": "0.0.0.0", "metrics-export-port": "8080", "disable-usage-stats": "true"},  # noqa: S104
        "resources": _counted(scaling.head.resources, idle=not scaling.head.works),
        **({"labels": scaling.head.labels} if scaling.head.labels else {}),
        "template": pods.head(scaling.head.resources, HEALTH),
    }
    spec["workerGroupSpecs"] = [_group(name, kind, pods) for name, kind in scaling.node_types.items()]
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": _meta(deploy, deploy.name), "spec": spec}


def _autoscaler(scaling: Autoscaling) -> dict[str, Any]:
    return {
        "version": "v2",
        "idleTimeoutSeconds": round(scaling.idle),
        "upscalingMode": "Default",
        "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "env": [{"name": "HOME", "value": "/tmp/ray"}, {"name": "TMPDIR", "value": "/tmp/ray"}],  # noqa: S108  a volume that the operator adds
        "securityContext": Pods.contained(),
    }


def _kept(said: Kubernetes) -> dict[str, Any]:
    if said.gcs_storage == "rocksdb":
        return {"backend": "rocksdb", "storage": {"size": "1Gi"}}
    password = said.redis_password
    secret = {} if password is None else {"valueFrom": {"secretKeyRef": {"name": password.name, "key": password.key}}}
    return {"backend": "redis", "redisAddress": said.redis} | ({"redisPassword": secret} if secret else {})


def _group(name: str, kind: NodeType, pods: Pods) -> dict[str, Any]:
    return {
        "groupName": name,
        "replicas": kind.min,
        "minReplicas": kind.min,
        "maxReplicas": kind.max,
        "rayStartParams": {"metrics-export-port": "8080", "disable-usage-stats": "true"},
        "resources": _counted(kind.resources),
        **({"labels": kind.labels} if kind.labels else {}),
        "template": pods.worker(name, kind.resources),
    }


def _counted(amounts: Amounts, *, idle: bool = False) -> dict[str, str]:
    """Return what Ray counts on such a machine; on an idle one no processor, so that what reserves one goes elsewhere."""
    found = {name: f"{amount:.12g}" for name, amount in counted(amounts).items()}
    return found | {"CPU": "0", "GPU": "0"} if idle else found


def _budgets(deploy: Deploy, said: Kubernetes, scaling: Autoscaling) -> Iterator[dict[str, Any]]:
    """Yield how many pods must stay when nodes are drained; an operator's pods take only whole numbers of those that stay."""
    always = sum(kind.min for kind in scaling.node_types.values())
    if always > 1:
        yield _budget(deploy, "worker", always - 1)
    if said.gcs_storage == "off":
        yield _budget(deploy, "head", 1)


def _budget(deploy: Deploy, kind: str, stay: int) -> dict[str, Any]:
    chosen = {"matchLabels": {"ray.io/cluster": deploy.name, "ray.io/node-type": kind}}
    made = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": _meta(deploy, f"{deploy.name}-{kind}")}
    return made | {"spec": {"minAvailable": stay, "selector": chosen}}


def _apply_job(deploy: Deploy, said: Kubernetes) -> dict[str, Any]:
    files = "/etc/partsong/files"
    entrypoint = f"partsong deploy apply {files}/deploy.yaml --mesh {files}/mesh.yaml --address auto --yes"
    spec = {
        "entrypoint": entrypoint,
        "submissionMode": "K8sJobMode",
        "clusterSelector": {"ray.io/cluster": deploy.name},
        "submitterPodTemplate": Pods(deploy, said).submitter(),
    }
    meta = {"generateName": f"{deploy.name}-apply-", "namespace": said.namespace, "labels": _labels(deploy)}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": meta, "spec": spec}


def _overlays(deploy: Deploy, said: Kubernetes, scaling: Autoscaling) -> Iterator[tuple[str, Sequence[Mapping[str, Any]], str]]:
    groups = "/spec/workerGroupSpecs"
    kinds = list(scaling.node_types.values())
    small = [_replaced(f"{groups}/{n}/{name}", min(_FEW, count)) for n, kind in enumerate(kinds) for name, count in _counts(kind)]
    yield "small", small, "The same system on a few machines, to try it out; the deploy file's `max` holds as far as they do."
    large = [_replaced(f"{groups}/{n}/maxReplicas", kind.max * _LARGER) for n, kind in enumerate(kinds)]
    large += [_replaced("/spec/headGroupSpec/template/spec/containers/0/resources", requests(Amounts(cpu=8, memory=32 * 2**30)))]
    yield "large", large, "Ten times the machines, and a head that can keep so many; raise the deploy file's `max` too."
    gpu = NodeType(resources=Amounts(cpu=8, memory=32 * 2**30, gpu=1), labels={"accelerator": "gpu"}, min=0, max=4)
    added = _group("gpu", gpu, Pods(deploy, said.model_copy(update={"tolerations": {"gpu": _GPU_TOLERATIONS} | said.tolerations})))
    yield "gpu", [{"op": "add", "path": f"{groups}/-", "value": added}], "Machines with a graphics processor, label `accelerator: gpu`."


_GPU_TOLERATIONS = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)


def _counts(kind: NodeType) -> Iterator[tuple[str, int]]:
    yield from (("replicas", kind.min), ("minReplicas", kind.min), ("maxReplicas", kind.max))


def _replaced(path: str, value: object) -> dict[str, object]:
    return {"op": "replace", "path": path, "value": value}
