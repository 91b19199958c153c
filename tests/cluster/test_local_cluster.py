"""`scripts/cluster`: three nodes on one machine, for whoever tries Partsong."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

CLUSTER = Path(__file__).resolve().parents[2] / "scripts" / "cluster"

pytestmark = pytest.mark.skipif(
    not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) and shutil.which("initdb") is None, reason="PostgreSQL is not installed here"
)


@pytest.fixture
def environment(tmp_path):
    folder = Path(f"/tmp/local-cluster-{os.getpid()}")  # Ray's sockets lie in it: tmp_path is too long a name for them
    folder.mkdir()
    yield {**{name: value for name, value in os.environ.items() if not name.startswith("RAY_")}, "TMPDIR": str(folder)}
    subprocess.run([CLUSTER, "stop"], env={**os.environ, "TMPDIR": str(folder)}, check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def told(environment, *command: str) -> str:
    done = subprocess.run([CLUSTER, *command], env=environment, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_three_nodes_start_and_one_is_killed_and_back_and_ctrl_c_ends_all(tmp_path, environment):
    log = tmp_path / "said"
    with log.open("wb") as out:
        cluster = subprocess.Popen([CLUSTER], env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    until_s = time.monotonic() + 90
    while "Ctrl-C ends" not in log.read_text():
        assert cluster.poll() is None, log.read_text()
        assert time.monotonic() < until_s, log.read_text()
        time.sleep(0.2)
    assert "The cluster runs already." in told(environment)
    assert told(environment, "status").count(" up") == 4
    assert told(environment, "kill", "2") == "node 2 is down\n"
    assert told(environment, "kill", "2") == "cluster: node 2 is not up\n"
    assert told(environment, "status").count(" up") == 3
    assert told(environment, "start", "2") == "node 2 is up\n"
    os.killpg(cluster.pid, signal.SIGINT)
    assert cluster.wait(60) == 0
    assert told(environment, "status").count(" down") == 4


def test_a_port_that_is_taken_is_named(environment):
    with socket.create_server(("127.0.0.1", 8265)):
        assert told(environment).startswith("cluster: port 8265 (the dashboard) of this machine is taken")
