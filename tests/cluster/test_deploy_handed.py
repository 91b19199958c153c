"""A deploy file planned and applied from a laptop that knows nothing but the job API's address and the token."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from providers.process import running_server

pytestmark = pytest.mark.timeout(600)

TOKEN = "0123456789abcdef" * 4
ADDRESS = "http://127.0.0.1:8265"
MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: MINI_KEY}}}}
  known: {{adapter: recorded, file: outcomes.jsonl}}
routes: [{{use: known}}]
"""
DEPLOY = "version: 1\nname: support\nstore: {url: 'sqlite:///journal.db'}\npools: {known: {workers: {min: 1, max: 2}}}\n"


@pytest.fixture
def laptop(tmp_path):
    with running_server("providers.openai", "--key", "k") as server:
        (tmp_path / "mesh.yaml").write_text(MESH.format(url=server.url))
        (tmp_path / "outcomes.jsonl").write_text('{"id": "1", "reply": "yes"}\n')
        (tmp_path / "deploy.yaml").write_text(DEPLOY)
        env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "COLUMNS": "200"}

        def ran(*command, code=0, **more):
            done = subprocess.run(
                command, env=env | {"RAY_AUTH_TOKEN": TOKEN} | more, cwd=tmp_path, capture_output=True, text=True, timeout=200
            )
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout

        ran("ray", "start", "--head", "--num-cpus=2", "--disable-usage-stats", RAY_AUTH_MODE="token", MINI_KEY="k")
        yield ran
        ran("ray", "stop", "--force", RAY_AUTH_MODE="token")


def test_a_small_job_of_the_cluster_does_it(laptop, tmp_path):
    both = ["deploy.yaml", "--mesh", "mesh.yaml", "--address", ADDRESS]
    assert "does not run yet" in laptop("partsong", "deploy", "apply", *both, "--yes")
    (tmp_path / "deploy.yaml").write_text(DEPLOY.replace("max: 2", "max: 3"))
    (step,) = json.loads(laptop("partsong", "deploy", "plan", *both, "--json"))["steps"]
    assert (step["what"], step["field"], step["after"]) == ("pool known", "workers.max", 3)
    assert "known workers.max  2 -> 3" in laptop("partsong", "deploy", "apply", *both, "--yes")
    (tmp_path / "deploy.yaml").write_text(DEPLOY + "coordinators: {count: 9, resources: {cpu: 1}}\n")
    laptop("partsong", "deploy", "plan", *both, code=2)
    assert laptop("partsong", "deploy", "show", "--address", "127.0.0.1:6379", RAY_AUTH_MODE="token").startswith("support: applied by")
