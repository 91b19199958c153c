"""Partsong's version changed under a lasting system: refused while a job is at work; stopped and resumed, it pays nothing twice."""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from partsong_cluster.jobs.wheel import write_wheel
from postgres import postgres_server
from providers.process import running_server

pytestmark = [pytest.mark.timeout(900), pytest.mark.chaos]

TOKEN = "0123456789abcdef" * 4
KEY = "canaryKEY-77f1"
ADDRESS = "http://127.0.0.1:8265"
NEWER = "0.1.1"
MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: MINI_KEY}}, concurrency: 64}}
routes: [{{use: mini}}]
"""
DEPLOY = """\
version: 1
name: {name}
pools: {{mini: {{workers: {{min: 1, max: 1}}, concurrency: {calls}, resources: {{cpu: 0.1}}}}}}
coordinators: {{count: 1, resources: {{cpu: 0.1}}}}
store: {{url: "{store}?password_env=STORE_PASSWORD"}}
"""
ROWS = 600
SLOWLY, FAST = 8, 64
"""Calls at once, while a job is to be at work, and when the rest of it is to be done."""


class Laptop:
    """A computer of an operator, with Partsong of one version, that knows the cluster's address and token."""

    def __init__(self, folder: Path, packages: Path | None) -> None:
        (folder / "home").mkdir(exist_ok=True)
        self.folder = folder
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "RAY_AUTH_TOKEN": TOKEN, "COLUMNS": "200"}
        self._env |= {"RAY_API_SERVER_ADDRESS": ADDRESS} | ({} if packages is None else {"PYTHONPATH": str(packages)})

    def partsong(self, *arguments: str, code: int = 0) -> str:
        command = [str(Path(sys.executable).with_name("partsong")), *arguments]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=300, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def deploy(self, doing: str, *more: str, file: str = "deploy.yaml", code: int = 0) -> str:
        return self.partsong("deploy", doing, file, "--mesh", "mesh.yaml", "--address", ADDRESS, *more, code=code)

    def show(self, job: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.partsong("jobs", "show", job, "--json"))
        return shown


def newer(folder: Path) -> Path:
    """Install this very code in a folder as another version."""
    wheel = write_wheel(folder)
    packages = folder / NEWER
    zipfile.ZipFile(wheel).extractall(packages)
    (info,) = packages.glob("partsong-*.dist-info")
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(re.sub(r"(?m)^Version: .*$", f"Version: {NEWER}", metadata, count=1))
    info.rename(packages / f"partsong-{NEWER}.dist-info")
    return packages


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Any, Laptop, Laptop]]:
    with running_server("providers.openai", "--latency", "1", "--key", KEY) as server, postgres_server() as database:
        (tmp_path / "mesh.yaml").write_text(MESH.format(url=server.url))
        store = database.database()
        for name, file, calls in (("support", "deploy.yaml", SLOWLY), ("support", "fast.yaml", FAST), ("support-2", "second.yaml", FAST)):
            (tmp_path / file).write_text(DEPLOY.format(name=name, store=store, calls=calls))
        (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}"}) + "\n" for n in range(ROWS)))
        env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "MINI_KEY": KEY,
            "STORE_PASSWORD": database.password,
        }
        ray = str(Path(sys.executable).with_name("ray"))
        start = [ray, "start", "--head", "--num-cpus=4", "--dashboard-host=127.0.0.1", "--disable-usage-stats", "--port=6379"]
        subprocess.run(start, env=env, capture_output=True, timeout=120, check=True)
        yield server, Laptop(tmp_path, None), Laptop(tmp_path, newer(tmp_path))
        subprocess.run([ray, "stop", "--force"], env=env, capture_output=True, timeout=120, check=False)


def until_calls(server: Any, count: int) -> None:
    until_s = time.monotonic() + 90
    while server.stats(summary=True)["total"] < count:
        assert time.monotonic() < until_s
        time.sleep(0.2)


def until_state(laptop: Laptop, job: str, state: str) -> None:
    until_s = time.monotonic() + 60
    while laptop.show(job)["state"] != state:
        assert time.monotonic() < until_s
        time.sleep(0.5)


def answered(folder: Path, name: str) -> list[str]:
    return sorted(json.loads(line)["custom_id"] for line in (folder / name / "output.jsonl").read_text().splitlines())


def test_a_run_is_half_of_one_version_and_half_of_another_and_no_call_is_paid_twice(site, tmp_path):
    server, old, new = site
    old.deploy("apply", "--yes")
    out = str(tmp_path / "out")
    old.partsong("submit", "mesh.yaml", "in.jsonl", "-o", out, "--deploy", "deploy.yaml", "--name", "half")
    until_calls(server, 40)

    assert "jobs-at-work" in new.deploy("apply", "--yes", code=6)

    old.partsong("jobs", "stop", "half")
    until_state(old, "half", "stopped")
    asked = server.stats(summary=True)["total"]
    assert 40 <= asked < ROWS

    assert f"0.1.0 -> {NEWER}" in new.deploy("apply", "--yes", file="fast.yaml")
    assert f"{ROWS} answered" in new.partsong("jobs", "resume", "half", "--follow")
    assert answered(tmp_path, "out") == sorted(f"q{n}" for n in range(ROWS))
    assert server.stats(summary=True)["total"] == ROWS


def test_a_second_system_of_the_new_version_works_beside_the_first_on_one_store(site, tmp_path):
    server, old, new = site
    old.deploy("apply", "--yes", file="fast.yaml")
    new.deploy("apply", "--yes", file="second.yaml")
    told = new.partsong("submit", "mesh.yaml", "in.jsonl", "-o", str(tmp_path / "skewed"), "--deploy", "fast.yaml", "--follow", code=7)
    assert "version-skew" in told
    jobs = [(old, "fast.yaml", "first"), (new, "second.yaml", "second")]
    for laptop, file, name in jobs:
        laptop.partsong("submit", "mesh.yaml", "in.jsonl", "-o", str(tmp_path / name), "--deploy", file, "--name", name)
    for laptop, _, name in jobs:
        assert f"{ROWS} answered" in laptop.partsong("jobs", "follow", name)
        assert answered(tmp_path, name) == sorted(f"q{n}" for n in range(ROWS))
    assert server.stats(summary=True)["total"] == 2 * ROWS
