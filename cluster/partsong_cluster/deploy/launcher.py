"""Launcher: the file of Ray's cluster launcher (`ray up`) for hosts of your own."""

import json
import shlex

from partsong.errors import MeshError
from partsong_cluster.deploy.load import LoadedDeploy
from partsong_cluster.deploy.placing import counted
from partsong_cluster.deploy.rendered import Files, as_yaml
from partsong_cluster.deploy.schema import Autoscaling, Deploy, Launcher
from partsong_cluster.deploy.surroundings import HEALTH, python, tls

__all__ = ["launcher_files"]

_SOURCE = "$(ip -4 route get $RAY_HEAD_IP | sed -n 's/.* src \\([^ ]*\\).*/\\1/p')"
"""A host's own address in the network of the head: with several, Ray would take the one that leads to the internet."""


def launcher_files(loaded: LoadedDeploy) -> Files:
    """Return `cluster.yaml`; MeshError when the deploy file does not say enough."""
    deploy, said = loaded.deploy, loaded.deploy.launcher
    if said is None:
        raise MeshError("nothing-to-render", "the file has no hosts", at=loaded.place("launcher"), remedy="add `launcher:`")
    scaling = deploy.autoscaling or Autoscaling()
    if len(scaling.node_types) > 1:
        what = "hosts of several kinds: the launcher starts Ray the same way on all of them"
        raise MeshError("several-node-types", what, at=loaded.place("autoscaling", "node_types"), remedy="name one node type")
    notes = (
        f"Ray's cluster launcher for the system {deploy.name!r} on hosts of your own: `ray up cluster.yaml`.",
        f"Each host has {said.python}/ray and the token in {said.token_path}, mode 0600, owner {said.ssh_user}: see docs/deploying.md.",
    )
    return {"cluster.yaml": as_yaml([_cluster(deploy, said, scaling)], *notes)}


def _cluster(deploy: Deploy, said: Launcher, scaling: Autoscaling) -> dict[str, object]:
    auth = {"ssh_user": said.ssh_user} | ({"ssh_private_key": said.ssh_private_key} if said.ssh_private_key else {})
    hosts = len(said.workers)
    return {
        "cluster_name": deploy.name,
        "provider": {"type": "local", "head_ip": said.head, "worker_ips": list(said.workers)},
        "auth": auth,
        "min_workers": min(hosts, scaling.max_nodes or hosts),
        "max_workers": min(hosts, scaling.max_nodes or hosts),
        "idle_timeout_minutes": max(1, round(scaling.idle / 60)),
        "upscaling_speed": 1.0,
        "initialization_commands": [f"test -s {said.token_path}"] if deploy.security.auth == "token" else [],
        "setup_commands": [],
        "head_start_ray_commands": [f"{said.python}/ray stop", _start_head(deploy, said, scaling)],
        "worker_start_ray_commands": [f"{said.python}/ray stop", _start_worker(deploy, said, scaling)],
    }


def _start_head(deploy: Deploy, said: Launcher, scaling: Autoscaling) -> str:
    works = scaling.head.works or not scaling.node_types
    kept = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": said.state} if said.state else {}
    words = [
        "--head",
        f"--node-ip-address={said.head}",
        f"--port={said.port}",
        f"--dashboard-host={deploy.security.dashboard_host}",
        "--metrics-export-port=8080",
        "--disable-usage-stats",
        *([] if works else ["--num-cpus=0", "--num-gpus=0"]),
        *_labels(scaling.head.labels),
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
    ]
    prepared = f"mkdir -p {said.state}; " if said.state else ""
    return f"{prepared}{_prepared(said)} {_environment(deploy, said, HEALTH | kept)} {said.python}/ray start {' '.join(words)}"


def _start_worker(deploy: Deploy, said: Launcher, scaling: Autoscaling) -> str:
    kind = next(iter(scaling.node_types.values()), None)
    amounts = {} if kind is None else counted(kind.resources)
    flags = {"CPU": "--num-cpus", "GPU": "--num-gpus", "memory": "--memory"}
    custom = {name: amount for name, amount in amounts.items() if name not in flags}
    words = [
        f"--address=$RAY_HEAD_IP:{said.port}",
        f"--node-ip-address={_SOURCE}",
        "--metrics-export-port=8080",
        "--disable-usage-stats",
        *(f"{flags[name]}={amount:.0f}" for name, amount in amounts.items() if name in flags),
        *([f"--resources={shlex.quote(json.dumps(custom))}"] if custom else []),
        *_labels({} if kind is None else kind.labels),
    ]
    return f"{_prepared(said)} {_environment(deploy, said, {})} {said.python}/ray start {' '.join(words)}"


def _prepared(said: Launcher) -> str:
    """Return what comes before Ray in the shell: many sockets, and the keys, which stay out of the command's words."""
    return f"ulimit -n 65536; if [ -r {said.keys} ]; then set -a; . {said.keys}; set +a; fi;"


def _labels(labels: dict[str, str]) -> list[str]:
    return [f"--labels={shlex.quote(','.join(f'{name}={value}' for name, value in labels.items()))}"] if labels else []


def _environment(deploy: Deploy, said: Launcher, more: dict[str, str]) -> str:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": said.token_path} if deploy.security.auth == "token" else {}
    values = token | tls(deploy.security) | python(deploy.security) | more
    return " ".join(["env", *(f"{name}={shlex.quote(value)}" for name, value in values.items())])
