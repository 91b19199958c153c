"""Network: which pods may talk to which. Everything is shut, then what the system needs is opened."""

import ipaddress
from typing import Any

from partsong_cluster.deploy.schema import Deploy, Kubernetes

__all__ = ["policies"]

_LINK_LOCAL = {4: "169.254.0.0/16", 6: "fe80::/10"}
"""Where clouds hand out their machines' credentials."""


def policies(deploy: Deploy, said: Kubernetes) -> list[dict[str, Any]]:
    """Return the policies of a system's pods; they hold where the cluster's network enforces them."""
    everyone, head = {"ray.io/cluster": deploy.name}, {"ray.io/cluster": deploy.name, "ray.io/node-type": "head"}
    within = [{"podSelector": {"matchLabels": everyone}}]
    dns = {"namespaceSelector": _namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    clients = [{"podSelector": {"matchLabels": dict(said.clients)}}, {"namespaceSelector": _namespace(said.operator_namespace)}]
    return [
        _policy(deploy, "shut", everyone, {"policyTypes": ["Ingress", "Egress"]}),
        _policy(deploy, "within", everyone, {"ingress": [{"from": within}], "egress": [{"to": within}]}),
        _policy(deploy, "clients", head, {"ingress": [{"from": clients, "ports": _tcp(8265)}]}),
        _policy(
            deploy,
            "metrics",
            everyone,
            {"ingress": [{"from": [{"namespaceSelector": _namespace(said.monitoring_namespace)}], "ports": _tcp(8080, 44217, 44227)}]},
        ),
        _policy(deploy, "names", everyone, {"egress": [{"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, *_tcp(53)]}]}),
        _policy(deploy, "outside", everyone, {"egress": [{"to": [_block(cidr) for cidr in said.egress]}]}),
    ]


def _policy(deploy: Deploy, name: str, chosen: dict[str, str], rules: dict[str, Any]) -> dict[str, Any]:
    types = [word for word in ("Ingress", "Egress") if word.lower() in rules]
    meta = {"name": f"{deploy.name}-{name}", "labels": {"app.kubernetes.io/name": "partsong", "app.kubernetes.io/instance": deploy.name}}
    spec = {"podSelector": {"matchLabels": chosen}} | ({"policyTypes": types} if types else {}) | rules
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def _namespace(name: str) -> dict[str, Any]:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


def _tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _block(cidr: str) -> dict[str, Any]:
    network = ipaddress.ip_network(cidr, strict=False)
    link_local = ipaddress.ip_network(_LINK_LOCAL[network.version])
    inside = link_local.version == network.version and link_local.subnet_of(network)  # type: ignore[arg-type]  # of one version
    return {"ipBlock": {"cidr": str(network)} | ({"except": [str(link_local)]} if inside else {})}
