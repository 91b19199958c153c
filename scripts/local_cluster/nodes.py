"""Nodes: Ray nodes as processes of this machine, each with an address and files of its own; found by a variable in their environment."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from local_cluster.places import HEAD, TroubleError, address_of, environment, folder

__all__ = ["forget_nodes", "kill_node", "processes_of", "start_node"]

_MARK = "PARTSONG_CLUSTER_NODE"
"""Each process of a node has it, with the node's number, as Ray's processes inherit it."""

_RAY = Path(sys.executable).with_name("ray")
_CPUS = 2
_STORE_BYTES = 128 * 2**20
_GONE_WITHIN_S = 10.0
_WORKER_PORTS = 1000
"""Each node's processes listen on ports of its own thousand."""

_NOTICES = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "8",
}


def start_node(number: int, more: dict[str, str]) -> None:
    """Start a Ray node; `more` is in the environment of all that runs on it. Raises TroubleError with what Ray said."""
    files = folder() / f"node-{number}"
    first = 20000 + _WORKER_PORTS * number
    common = [
        f"--node-ip-address={address_of(number)}",
        f"--temp-dir={files}",
        f"--num-cpus={_CPUS}",
        f"--object-store-memory={_STORE_BYTES}",
        f"--min-worker-port={first}",
        f"--max-worker-port={first + _WORKER_PORTS - 1}",
        f"--labels=host=node-{number}",
        "--dashboard-agent-listen-port=0",
        "--disable-usage-stats",
    ]
    own_python_first = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # a job begins with `python`
    variables = {**os.environ, **own_python_first, **environment(), **more, _MARK: _mark(number)}
    variables.pop("RAY_ADDRESS", None)
    if number == 1:
        gcs = folder() / "gcs"
        gcs.mkdir(exist_ok=True)
        variables |= _NOTICES | {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(gcs)}
        port = HEAD.rpartition(":")[2]
        command = ["--head", f"--port={port}", "--ray-client-server-port=10389", "--dashboard-host=127.0.0.1", "--dashboard-port=8265"]
    else:
        command = [f"--address={HEAD}"]
    started = subprocess.run(
        [_RAY, "start", *command, *common],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        start_new_session=True,  # Ctrl-C is for whoever waits, who then ends the nodes in their order
    )
    if started.returncode:
        kill_node(number)
        raise TroubleError(f"node {number} does not start; Ray said: {(started.stdout + started.stderr)[-2000:]}")


def forget_nodes() -> None:
    """Remove what nodes of an earlier cluster have left."""
    for path in folder().glob("node-*"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder() / "gcs", ignore_errors=True)


def kill_node(number: int) -> bool:
    """Kill all processes of a node at once, as a power cut does; return whether there were any."""
    found = processes_of(number)
    until_s = time.monotonic() + _GONE_WITHIN_S
    left = found
    while left and time.monotonic() < until_s:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
        left = processes_of(number)
    return bool(found)


def processes_of(number: int) -> list[int]:
    """Return the processes of a node that are alive."""
    mark = f"{_MARK}={_mark(number)}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
            except OSError:  # ended meanwhile, or somebody else's
                continue
    return found


def _mark(number: int) -> str:
    return f"{folder()}-{number}"
