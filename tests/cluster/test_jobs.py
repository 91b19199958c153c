"""Jobs: submitted to a real Ray over HTTP alone, with a token, their results on a real S3 server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from objects import ObjectStore, object_store
from providers.process import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

TOKEN = "0123456789abcdef" * 4
KEY = "canaryKEY-77f1"
ADDRESS = "http://127.0.0.1:8265"

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: MINI_KEY}}, concurrency: 8}}
plans:
  chain: {{pipeline: [{{ask: mini}}, {{ask: mini, name: again, prompt: "Once more: {{{{ previous }}}}"}}]}}
store: {{url: "sqlite:///{store}"}}
"""


class Site:
    """A cluster of one node, a provider, an S3 server, and a laptop that knows the address and the token."""

    def __init__(self, folder: Path, server: RunningServer, objects: ObjectStore) -> None:
        self.folder = folder
        self.server = server
        self.objects = objects
        self.bucket = ""
        self.laptop = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "laptop"),
            "RAY_AUTH_TOKEN": TOKEN,
            "COLUMNS": "200",
            **objects.environment,
        }
        (folder / "laptop").mkdir()

    def ray(self, *arguments: str, check: bool = True) -> str:
        env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_API_SERVER_ADDRESS": ADDRESS,
            "MINI_KEY": KEY,
            **self.objects.environment,
        }
        done = subprocess.run([_bin("ray"), *arguments], env=env, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def partsong(self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [_bin("partsong"), *arguments], env={**self.laptop, **(env or {})}, capture_output=True, text=True, timeout=240, cwd=self.folder
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def started(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [_bin("partsong"), *arguments], env=self.laptop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )

    def mesh(self, name: str = "mesh.yaml") -> str:
        (self.folder / name).write_text(MESH.format(url=self.server.url, store=self.folder / f"{name}.db"))
        return name

    def rows(self, count: int, name: str = "in.jsonl") -> str:
        (self.folder / name).write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}"}) + "\n" for n in range(count)))
        return name

    def submit(self, rows: int, name: str, *more: str) -> str:
        where = f"{self.bucket}/{name}"
        done = self.partsong(
            "submit", self.mesh(f"{name}.yaml"), self.rows(rows, f"{name}.jsonl"), "-o", where, "--name", name, "--json", *more
        )
        run: str = json.loads(done.stdout)["run"]
        return run

    def show(self, run: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.partsong("jobs", "show", run, "--json").stdout)
        return shown

    def until_calls(self, count: int) -> None:
        until_s = time.monotonic() + 90
        while self.server.stats(summary=True)["total"] < count:
            assert time.monotonic() < until_s, self.server.stats(summary=True)
            time.sleep(0.2)

    def ids(self, name: str) -> list[str]:
        return sorted(json.loads(line)["custom_id"] for line in self.objects.read(f"{self.bucket}/{name}/output.jsonl").splitlines())


def _bin(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def expected(rows: int) -> list[str]:
    return sorted(f"q{n}" for n in range(rows))


@pytest.fixture(scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_server("providers.openai", "--latency", "0.1", "--key", KEY) as server, object_store() as objects:
        site = Site(tmp_path_factory.mktemp("site"), server, objects)
        site.ray("start", "--head", "--num-cpus=4", "--dashboard-host=127.0.0.1", "--disable-usage-stats", "--port=6379")
        yield site
        site.ray("stop", "--force", check=False)


@pytest.fixture
def site(_site: Site) -> Site:
    _site.bucket = _site.objects.bucket()
    _site.server.reset()
    return _site


def test_a_job_is_followed_to_its_end_and_its_results_are_fetched(site: Site):
    run = site.submit(120, "first")
    followed = site.partsong("jobs", "follow", run)
    assert "complete" in followed.stdout
    assert "120 answered, 0 failed" in followed.stdout
    assert site.ids("first") == expected(120)
    assert site.server.stats(summary=True)["total"] == 240
    fetched = site.partsong("jobs", "results", "first", "-o", "got")
    assert {Path(line).name for line in fetched.stdout.split()} == {"output.jsonl", "errors.jsonl", "summary.json", "report.html"}
    assert json.loads((site.folder / "got" / "summary.json").read_text())["rows"]["answered"] == 120
    listed = json.loads(site.partsong("jobs", "ls", "--json").stdout)
    assert [(job["name"], job["state"]) for job in listed if job["run"] == run] == [("first", "complete")]
    assert f"partsong-{run}" in site.ray("job", "list")
