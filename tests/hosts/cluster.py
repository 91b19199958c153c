"""Cluster: real Ray nodes on hosts: `ray start` on each, with a token, fast health checks and a head that can be lost."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from hosts.host import DISK, Host
from hosts.network import Network

__all__ = ["TOKEN", "Cluster"]

TOKEN = "0123456789abcdef" * 4

_JOINS_WITHIN_S = 60.0
_TRIES = 3

_SOON_NOTICED = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "8",
}
"""A node that is cut off is dead to the head after about 6 s, instead of 65 s."""

_STORE_BYTES = 128 * 2**20


class Cluster:
    """`with Cluster(network, folder, nodes=3) as cluster: ...`: the first node is the head."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        nodes: int = 3,
        *,
        cpus: int = 2,
        environment: Mapping[str, str] | None = None,
        survives_its_head: bool = True,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is on every node; `names` are in every node's /etc/hosts."""
        self._cpus = cpus
        self._more = dict(environment or {})
        self._survives = survives_its_head
        self.nodes = [Host(network, f"node-{n}" if n else "head", n + 1, folder, names) for n in range(nodes)]

    def __enter__(self) -> Self:
        try:
            for host in self.nodes:
                host.start()
                self.join(host)
            self.until(lambda: len(self.alive()) == len(self.nodes), "all nodes joined")
        except BaseException:
            self._off()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._off()

    def _off(self) -> None:
        for host in reversed(self.nodes):
            host.kill()

    @property
    def head(self) -> Host:
        return self.nodes[0]

    @property
    def workers(self) -> list[Host]:
        return self.nodes[1:]

    @property
    def address(self) -> str:
        """What a driver on a node joins."""
        return f"{self.head.address}:6379"

    @property
    def jobs_address(self) -> str:
        """Ray's job API and dashboard."""
        return f"http://{self.head.address}:8265"

    @property
    def environment(self) -> dict[str, str]:
        """What every process on a node has, and what a client needs."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_ADDRESS": self.address, "RAY_DEDUP_LOGS": "0"} | self._more

    def join(self, host: Host) -> None:
        """Start Ray on a host that is up; `ray start` gives up after 30 s, which may be too soon on a machine with much else to do."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self._start(host)
            except RuntimeError:
                if not tries_left:
                    raise
                host.clear()
            else:
                return

    def _start(self, host: Host) -> None:
        """Start Ray on a host: the head as the head, another as a node of it."""
        sizes = [f"--num-cpus={self._cpus}", f"--object-store-memory={_STORE_BYTES}"]
        common = [f"--node-ip-address={host.address}", *sizes, f"--labels=host={host.name}", "--disable-usage-stats"]
        if host is not self.head:
            self._ray(host, "start", f"--address={self.address}", *common)
            return
        durable = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(DISK / "gcs")} if self._survives else {}
        command = ["start", "--head", "--port=6379", f"--dashboard-host={host.address}", "--include-dashboard=true", *common]
        self._ray(host, *command, more=_SOON_NOTICED | durable)

    def restart(self, host: Host, *, after_s: float = 0.0) -> None:
        """Take a host's power, and switch it on again with the same disk and address."""
        host.kill()
        time.sleep(after_s)
        host.start()
        self.join(host)

    def run(self, host: Host, *command: str | Path, timeout_s: float = 120.0, check: bool = True) -> str:
        """Run a command on a node, in the cluster's environment; return what it said."""
        return host.run(*command, environment=self.environment, timeout_s=timeout_s, check=check).stdout

    def drain(self, host: Host, within_s: float = 600.0) -> None:
        """Tell Ray that a node is to go away: `ray drain-node`."""
        [node] = [one["node_id"] for one in self.alive() if one["node_ip"] == host.address]
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "it is to go away"]
        which = ["--address", self.address, "--node-id", node, "--deadline-remaining-seconds", str(int(within_s))]
        self._ray(self.head, "drain-node", *which, *reason)

    def alive(self) -> list[dict[str, Any]]:
        """Return Ray's nodes that are alive by its own word; none while the head does not answer."""
        return [node for node in self.nodes_ever() if node["state"] == "ALIVE"]

    def nodes_ever(self) -> list[dict[str, Any]]:
        """Return Ray's nodes, dead ones too; none while the head does not answer."""
        return self._listed("nodes")

    def actors(self, name: str = "") -> list[dict[str, Any]]:
        """Return the actors whose name begins so and that are not dead."""
        return [actor for actor in self._listed("actors") if (actor["name"] or "").startswith(name) and actor["state"] != "DEAD"]

    def host_of(self, actor: str) -> Host:
        """Return the host of a named actor that is alive."""
        places = {node["node_id"]: node["node_ip"] for node in self.alive()}
        [found] = [one for one in self.actors() if one["name"] == actor and one["state"] == "ALIVE"]
        [host] = [host for host in self.nodes if host.address == places[found["node_id"]]]
        return host

    def until(self, true: Callable[[], object], what: str, within_s: float = _JOINS_WITHIN_S) -> float:
        """Wait until something is true; return how long it took. Raises TimeoutError."""
        since_s = time.monotonic()
        while not true():
            if time.monotonic() - since_s > within_s:
                raise TimeoutError(f"not within {within_s:g} s: {what}")
            time.sleep(0.1)
        return time.monotonic() - since_s

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        try:
            request = Request(f"{self.jobs_address}/api/v0/{kind}?limit=1000", headers={"Authorization": f"Bearer {TOKEN}"})
            with urlopen(request, timeout=5) as response:
                listed: list[dict[str, Any]] = json.load(response)["data"]["result"]["result"]
        except (URLError, ConnectionError, TimeoutError, KeyError, TypeError):
            return []
        return listed

    def _ray(self, host: Host, *arguments: str, more: Mapping[str, str] | None = None) -> None:
        environment = {name: value for name, value in self.environment.items() if name != "RAY_ADDRESS"}
        host.run("ray", *arguments, environment=environment | dict(more or {}), timeout_s=120)
