"""Pods: what every pod of a system has: no root, no writable image, no right beyond its own, no secret but by reference."""

from collections.abc import Mapping
from typing import Any

from partsong_cluster.deploy.schema import Amounts, Deploy, Kubernetes
from partsong_cluster.deploy.surroundings import python

__all__ = ["Pods", "requests"]

_PORTS = {"head": {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080}, "worker": {"metrics": 8080}}
_LEAVES_WITHIN_S = 90
_ENDS_WITHIN_S = 120


class Pods:
    """Templates of a system's pods."""

    def __init__(self, deploy: Deploy, said: Kubernetes) -> None:
        self._deploy = deploy
        self._said = said

    def head(self, amounts: Amounts, env: Mapping[str, str]) -> dict[str, Any]:
        """Return the template of the head's pod; the operator gives it the service account by which its autoscaler asks for pods."""
        return self._template("head", "ray-head", "head", amounts, env, {})

    def worker(self, group: str, amounts: Amounts) -> dict[str, Any]:
        """Return the template of a worker group's pods, which have no right at Kubernetes' own API."""
        account = self._said.service_account or f"{self._deploy.name}-worker"
        extra = {"serviceAccountName": account, "automountServiceAccountToken": False}
        template = self._template("worker", "ray-worker", group, amounts, {}, extra)
        leaves = {"exec": {"command": ["python", "-m", "partsong_cluster.deploy.leave", "--within", str(_LEAVES_WITHIN_S)]}}
        template["spec"]["containers"][0]["lifecycle"] = {"preStop": leaves}
        return template

    def submitter(self) -> dict[str, Any]:
        """Return the template of the pod that hands a job over."""
        token = {"secretKeyRef": {"name": self._said.auth_secret, "key": "auth_token"}}
        env = [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": token}]
        container: dict[str, Any] = {
            "name": "submitter",
            "image": self._said.image,
            "env": [*_written({"HOME": "/tmp"}), *(env if self._deploy.security.auth == "token" else [])],  # noqa: S108  a volume
            "resources": requests(Amounts(cpu=0.2, memory=512 * 2**20)),
            "securityContext": self.contained(),
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        }
        spec = self._spec({"restartPolicy": "Never", "automountServiceAccountToken": False}, container)
        return {"metadata": {"labels": dict(self._said.clients)}, "spec": spec | {"volumes": [{"name": "tmp", "emptyDir": {}}]}}

    @staticmethod
    def contained() -> dict[str, Any]:
        """Return a container's security context: what Kubernetes calls restricted, and a read-only image."""
        return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}

    def _template(
        self, kind: str, name: str, group: str, amounts: Amounts, env: Mapping[str, str], extra: Mapping[str, Any]
    ) -> dict[str, Any]:
        said = self._said
        container: dict[str, Any] = {
            "name": name,
            "image": said.image,
            "ports": [{"name": port, "containerPort": number} for port, number in _PORTS[kind].items()],
            "env": _written({"HOME": "/home/partsong", **python(self._deploy.security), **env}),
            "envFrom": [{"secretRef": {"name": secret}} for secret in said.key_secrets],
            "resources": requests(amounts),
            "securityContext": self.contained(),
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume
                {"name": "home", "mountPath": "/home/partsong"},
                {"name": "files", "mountPath": "/etc/partsong/files", "readOnly": True},
            ],
        }
        if not said.key_secrets:
            del container["envFrom"]
        volumes = [
            {"name": "tmp", "emptyDir": {}},
            {"name": "home", "emptyDir": {}},
            {"name": "files", "configMap": {"name": said.files, "optional": True}},
        ]
        chosen: dict[str, Any] = {"nodeSelector": said.node_selectors[group]} if group in said.node_selectors else {}
        chosen |= {"tolerations": list(said.tolerations[group])} if group in said.tolerations else {}
        spec = self._spec({"terminationGracePeriodSeconds": _ENDS_WITHIN_S, **extra, **chosen}, container)
        return {"metadata": {"labels": {"app.kubernetes.io/instance": self._deploy.name}}, "spec": spec | {"volumes": volumes}}

    def _spec(self, first: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
        user = self._said.user
        pull = self._said.image_pull_secret
        return {
            **first,
            **({"imagePullSecrets": [{"name": pull}]} if pull else {}),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "runAsGroup": user,
                "fsGroup": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [dict(container)],
        }


def requests(amounts: Amounts) -> dict[str, Any]:
    """Return a container's resources: memory and graphics processors are what is asked for, processors may be more when some are free."""
    memory = {"memory": str(amounts.memory)} if amounts.memory else {}
    gpu = {"nvidia.com/gpu": f"{amounts.gpu:g}"} if amounts.gpu else {}
    cpu = {"cpu": f"{amounts.cpu:g}"} if amounts.cpu else {}
    return {"requests": cpu | memory | gpu, "limits": memory | gpu}


def _written(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in env.items()]
