"""`partsong doctor` on a real cluster of two nodes: what it says of each, with a key that only one of them has, and after what is wrong."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from partsong_cluster.dashboard import Dashboard
from providers.openai import OpenAIServer
from ray.cluster_utils import Cluster

from partsong.errors import EngineError

PARTSONG = Path(sys.executable).with_name("partsong")

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: UPSTREAM_KEY}}}}
  tiny: {{adapter: local, weights: {weights}}}
routes: [{{use: mini}}]
"""


@contextmanager
def cluster():
    """Two nodes with this process's environment."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    try:
        made.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield made.address
    finally:
        made.shutdown()


async def doctor(*options: str) -> tuple[int, dict[str, list[dict]]]:
    """Return the exit code, and what was found by check."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(PARTSONG, "doctor", "--json", *options, stdout=pipe, stderr=pipe)
    told, wrong = await process.communicate()
    assert told, wrong.decode()
    found: dict[str, list[dict]] = {}
    facts = json.loads(told)
    for one in facts["checks"]:
        found.setdefault(one["check"], []).append(one)
    assert facts["ok"] == (process.returncode == 0)
    assert os.environ.get("UPSTREAM_KEY", "test-key") not in told.decode()
    return process.returncode or 0, found


def levels(findings: list[dict]) -> set[str]:
    return {one["level"] for one in findings}


@pytest.mark.timeout(240)
async def test_a_cluster_is_examined(tmp_path, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", "test-key")
    mesh = tmp_path / "mesh.yaml"
    with cluster() as address:
        async with OpenAIServer() as server:
            mesh.write_text(MESH.format(url=server.url, weights="tiny.gguf"))
            (tmp_path / "tiny.gguf").write_bytes(b"GGUF and what comes after")
            _, found = await doctor("--address", address, "--mesh", str(mesh), "--ask")
            assert levels(found["nodes"]) == levels(found["versions"]) == levels(found["clocks"]) == levels(found["auth"]) == {"ok"}
            assert levels(found["keys"]) == levels(found["object store"]) == {"ok"}
            assert [one["what"] for one in found["keys"]] == ["mini: UPSTREAM_KEY can be read"]
            assert [one["level"] for one in found["calls"] if one["what"].startswith("mini")] == ["ok"]
            assert len(server.arrivals) == 1, "one node asks"
            assert {one["what"] for one in found["ports"]} == {
                "Ray's ports: 8 on this machine alone",
                "Ray's ports: 6 on this machine alone",
            }
            assert "weights are here" in found["weights"][0]["what"]

            monkeypatch.delenv("UPSTREAM_KEY")
            mesh.write_text(MESH.format(url=server.url, weights="tiny.gguf").replace("UPSTREAM_KEY", "NOBODYS_KEY"))
            code, found = await doctor("--address", address, "--mesh", str(mesh))
            assert code == 1
            assert [(one["level"], one["what"]) for one in found["keys"]] == [("fail", "mini: environment variable NOBODYS_KEY is not set")]
            assert "calls" not in found


@contextmanager
def open_to_all():
    ray = [Path(sys.executable).with_name("ray"), "start", "--head", "--node-ip-address=127.0.0.1", "--port=6398", "--num-cpus=1"]
    with subprocess.Popen([*ray, "--object-store-memory=80000000", "--block"], stdout=subprocess.DEVNULL) as head:
        try:
            yield "127.0.0.1:6398"
        finally:
            head.terminate()
            head.wait(30)


@pytest.mark.timeout(240)
async def test_a_cluster_that_asks_for_no_token_is_told_as_open(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with open_to_all() as address:
        await dashboard_there()
        code, found = await doctor("--address", address)
    assert code == 1
    assert levels(found["auth"]) == {"fail"}
    assert "/api/jobs/ answers without a token: whoever reaches it runs code on the cluster" in [one["what"] for one in found["auth"]]
    assert all(one["remedy"] for one in found["auth"])


async def dashboard_there() -> None:
    dashboard = Dashboard("http://127.0.0.1:8265", None)
    async with asyncio.timeout(120):
        while True:
            try:
                if await asyncio.to_thread(dashboard.status, "/api/jobs/") == 200:
                    return
            except EngineError:
                pass  # it does not listen yet
            await asyncio.sleep(0.5)
