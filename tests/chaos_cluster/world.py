"""World: hosts for Ray's nodes, PostgreSQL, S3 and the provider, the user's own machine, and the job that is submitted from it."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos.scene import mesh_asking, rows_of
from hosts.cluster import Cluster
from hosts.host import Host
from hosts.network import Network
from hosts.services import PostgresHost, S3Host, UpstreamHost
from objects import ObjectStore

__all__ = ["JOB", "SYSTEM", "World"]

SYSTEM = "chaos"
JOB = "job-of-chaos"

_PARTSONG = Path(sys.executable).with_name("partsong")
_ROWS_IN_FLIGHT = 96

_DEPLOY = """\
version: 1
name: {system}
defaults:
  workers: {{min: {workers}, max: {workers}}}
coordinators: {{count: 3, labels: {{host: "!head"}}}}
synthesizers: {{count: 2, labels: {{host: "!head"}}}}
journal: {{labels: {{host: "!head"}}}}
control: {{labels: {{host: "!head"}}}}
store: {{url: "{store}"}}
security: {{auth: token, dashboard_host: 0.0.0.0}}
"""


@dataclass
class World:
    """`with World(folder, rows) as world: world.submit()`."""

    folder: Path
    rows: int
    latency_s: float = 0.1
    nodes: int = 3
    """Ray nodes beside the head."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            network = stack.enter_context(Network())
            self.upstream = stack.enter_context(UpstreamHost(network, self.folder, latency_s=self.latency_s))
            self.postgres = stack.enter_context(PostgresHost(network, self.folder))
            self.s3 = stack.enter_context(S3Host(network, self.folder))
            on_nodes = {"UPSTREAM_KEY": "k", **self.postgres.environment, **self.s3.environment}
            self.cluster = stack.enter_context(Cluster(network, self.folder, nodes=1 + self.nodes, environment=on_nodes))
            self.objects = ObjectStore(self.s3.url)
            self.bucket = self.objects.bucket()
            self._write()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def desk(self) -> Path:
        """The folder on the user's machine that the job is submitted from."""
        return self.folder / "desk"

    @property
    def out(self) -> str:
        return f"{self.bucket}/out"

    def deploy(self, workers: int = 2) -> Path:
        """Write the deploy file, with so many workers for each model."""
        path = self.desk / "deploy.yaml"
        path.write_text(_DEPLOY.format(system=SYSTEM, workers=workers, store=self.postgres.url))
        return path

    def started(self, *words: str, log: str = "client.log") -> "subprocess.Popen[bytes]":
        """Start `partsong` with these words on the user's machine."""
        with (self.desk / log).open("ab") as said:
            return subprocess.Popen([_PARTSONG, *words], cwd=self.desk, env=self._environment(), stdout=said, stderr=subprocess.STDOUT)

    def told(self, *words: str, timeout_s: float = 120.0, check: bool = True) -> str:
        """Run `partsong` with these words on the user's machine; return what it prints."""
        done = subprocess.run(
            [_PARTSONG, *words], cwd=self.desk, env=self._environment(), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"partsong {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def submit(self) -> "subprocess.Popen[bytes]":
        """Submit the job and follow it."""
        self.deploy()
        where = ["--address", self.cluster.jobs_address, "--deploy", "deploy.yaml", "--name", JOB]
        return self.started("submit", "mesh.yaml", "in.jsonl", "-o", self.out, *where, "--concurrency", str(_ROWS_IN_FLIGHT), "--follow")

    def shown(self) -> dict[str, Any]:
        """Return what `partsong jobs show` says of the job."""
        shown: dict[str, Any] = json.loads(self.told("jobs", "show", JOB, "--json", "--address", self.cluster.jobs_address))
        return shown

    def host_of(self, actor: str) -> Host:
        """Return the host of one of the system's actors: `journal-0`, `pools`."""
        return self.cluster.host_of(f"{SYSTEM}/{actor}")

    def logs(self) -> str:
        """Return the ends of what the client and Ray's processes of this job have said."""
        said = [(self.desk / "client.log").read_text(errors="replace")[-3000:]] if (self.desk / "client.log").exists() else []
        return "\n".join(said)

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_", "PG"))}
        theirs = {name: value for name, value in self.cluster.environment.items() if name.startswith("RAY_") and name != "RAY_ADDRESS"}
        return {**mine, **theirs, **self.s3.environment, "HOME": str(self.desk)}

    def _write(self) -> None:
        self.desk.mkdir(parents=True)
        (self.desk / "mesh.yaml").write_text(mesh_asking(self.upstream.url))
        (self.desk / "in.jsonl").write_text(rows_of(self.rows))
