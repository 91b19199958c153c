"""Jobs: submitted to a real Ray over HTTP alone, with a token, their results on a real S3 server."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from objects import ObjectStore, object_store
from postgres import Postgres, postgres_server
from providers.process import RunningServer, running_server

from partsong.journal.address import open_store

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
store: {{url: "{store}?password_env=STORE_PASSWORD"}}
telemetry: {{file: traces.jsonl}}
"""


class Site:
    """A cluster of one node, a provider, an S3 server, and a laptop that knows the address and the token."""

    def __init__(self, folder: Path, server: RunningServer, objects: ObjectStore, database: Postgres) -> None:
        self.folder = folder
        self.server = server
        self.objects = objects
        self.database = database
        self.store = database.database()
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
            "STORE_PASSWORD": self.database.password,
            **self.objects.environment,
        }
        done = subprocess.run([_bin("ray"), *arguments], env=env, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self) -> None:
        self.ray("start", "--head", "--num-cpus=4", "--dashboard-host=127.0.0.1", "--disable-usage-stats", "--port=6379")

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
        (self.folder / name).write_text(MESH.format(url=self.server.url, store=self.store))
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
    with (
        running_server("providers.openai", "--latency", "0.1", "--key", KEY) as server,
        object_store() as objects,
        postgres_server() as database,
    ):
        site = Site(tmp_path_factory.mktemp("site"), server, objects, database)
        site.start()
        yield site
        site.ray("stop", "--force", check=False)


@pytest.fixture
def site(_site: Site) -> Site:
    _site.bucket = _site.objects.bucket()
    _site.server.reset()
    return _site


class Ended(NamedTuple):
    """A job that was followed to its end."""

    run: str
    bucket: str
    told: str
    log: str
    calls: int


@pytest.fixture(scope="module")
def ended(_site: Site) -> Ended:
    _site.bucket = _site.objects.bucket()
    _site.server.reset()
    run = _site.submit(120, "first")
    told = _site.partsong("jobs", "follow", run).stdout
    log = _site.partsong("jobs", "logs", run).stdout
    return Ended(run, _site.bucket, told, log, _site.server.stats(summary=True)["total"])


def test_a_job_is_followed_to_its_end_its_results_are_fetched_and_a_second_watcher_starts_nothing(ended: Ended, site: Site):
    run, site.bucket = ended.run, ended.bucket
    assert "complete" in ended.told
    assert "120 answered, 0 failed" in ended.told
    assert site.ids("first") == expected(120)
    assert ended.calls == 240
    fetched = site.partsong("jobs", "results", "first", "-o", "got")
    files = {Path(line).parent.name if "traces" in line else Path(line).name for line in fetched.stdout.split()}
    assert files == {"run.json", "mesh.json", "output.jsonl", "errors.jsonl", "summary.json", "report.html", "traces"}
    traced = json.loads(site.partsong("trace", "got", "q7", "--json").stdout)
    assert (traced["trace_id"][:12], [root["name"] for root in traced["roots"]]) == (run, ["submit"])
    assert json.loads((site.folder / "got" / "summary.json").read_text())["rows"]["answered"] == 120
    listed = json.loads(site.partsong("jobs", "ls", "--json").stdout)
    assert [(job["name"], job["state"]) for job in listed if job["run"] == run] == [("first", "complete")]
    assert f"partsong-{run}" in site.ray("job", "list")
    code = "import sys; from partsong_cluster.jobs.taken_up import again; from partsong_cluster.jobs.cluster import Cluster\n"
    code += f"cluster = Cluster({ADDRESS!r})\nagain(cluster, cluster.job(sys.argv[1]))\n"
    subprocess.run([sys.executable, "-c", code, run], env=site.laptop, check=True, timeout=120)
    assert "120 answered" in site.partsong("jobs", "follow", run).stdout
    events = [line for line in site.partsong("jobs", "logs", run).stdout.splitlines() if line.startswith("{")]
    assert [json.loads(line)["kind"] for line in events] == ["end"]
    assert site.server.stats(summary=True)["total"] == 0


def test_a_job_is_stopped_in_order_and_resumed_and_no_call_is_made_again(site: Site):
    run = site.submit(300, "stopped")
    follower = site.started("jobs", "follow", run)
    site.until_calls(100)
    follower.kill()  # the laptop is closed
    follower.communicate()
    assert "rows in flight finish" in site.partsong("jobs", "stop", run).stdout
    until_s = time.monotonic() + 60
    while site.show(run)["state"] != "stopped":
        assert time.monotonic() < until_s
        time.sleep(0.5)
    shown = site.show(run)
    assert shown["summary"]["outcome"] == "interrupted"
    finished = shown["summary"]["rows"]["finished"]
    assert 0 < finished < 300
    assert "output.jsonl" not in site.objects.names(f"{site.bucket}/stopped")
    resumed = site.partsong("jobs", "resume", run, "--follow")
    assert "300 answered" in resumed.stdout
    assert site.ids("stopped") == expected(300)
    assert site.server.stats(summary=True)["total"] == 600
    again = site.partsong("jobs", "stop", run, code=6)
    assert "not-running: the job is not running: complete" in again.stderr


def test_a_job_whose_process_dies_goes_on_elsewhere_and_its_follower_sees_it_through(site: Site):
    run = site.submit(300, "killed")
    follower = site.started("jobs", "follow", run)
    site.until_calls(100)
    for pid in _pids(f"ray::{'_JobActor'}"):
        os.kill(pid, 9)
    stdout, stderr = follower.communicate(timeout=120)
    assert follower.returncode == 0, stdout + stderr
    assert "300 answered" in stdout
    assert "goes on from the store" in stderr
    assert site.ids("killed") == expected(300)
    assert site.server.stats(summary=True)["total"] == 600


def test_a_job_that_loses_its_watcher_goes_on_and_is_taken_up_again(site: Site):
    run = site.submit(300, "unwatched")
    site.until_calls(60)
    for pid in _pids("partsong_cluster.jobs.watch"):
        os.kill(pid, 9)
    before = site.server.stats(summary=True)["total"]
    site.until_calls(before + 60)
    followed = site.partsong("jobs", "resume", run, "--follow", code=None)
    assert "300 answered" in followed.stdout, followed.stdout + followed.stderr
    assert site.ids("unwatched") == expected(300)
    assert site.server.stats(summary=True)["total"] == 600


def test_a_job_that_crashes_touches_no_other(site: Site):
    well = site.submit(200, "well")
    (site.folder / "broken.yaml").write_text((site.folder / "well.yaml").read_text().replace("MINI_KEY", "NOT_ON_THE_NODES"))
    sent = site.partsong("submit", "broken.yaml", "well.jsonl", "-o", f"{site.bucket}/broken", "--json")
    broken = json.loads(sent.stdout)["run"]
    failed = site.partsong("jobs", "follow", broken, code=None)
    assert failed.returncode not in (0, 3), failed.stdout
    told = failed.stdout + failed.stderr
    assert "missing-secret: environment variable NOT_ON_THE_NODES is not set" in told
    assert f"On node {socket.gethostname()}: environment variable NOT_ON_THE_NODES is not set" in told
    assert "process died" not in told
    followed = site.partsong("jobs", "follow", well)
    assert "200 answered" in followed.stdout
    assert site.ids("well") == expected(200)


def test_no_secret_stands_in_what_ray_tells_of_a_job(ended: Ended, site: Site):
    run = ended.run
    told = site.ray("job", "list") + ended.log + json.dumps(site.show(run))
    request = site.partsong("jobs", "ls", "--json").stdout
    for secret in (KEY, TOKEN, "canaryS3-secret", site.database.password):
        assert secret not in told + request
    kept = site.folder / "laptop" / ".local" / "state" / "partsong" / "jobs" / run
    for path in kept.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "env", "code", "told"),
    [
        (["jobs", "ls"], {"RAY_AUTH_TOKEN": ""}, 7, "token-missing: this cluster wants a token"),
        (["jobs", "ls"], {"RAY_AUTH_TOKEN": "f" * 64}, 7, "token-wrong: this cluster refuses the token"),
        (["jobs", "ls", "--address", "http://127.0.0.1:1"], {}, 7, "no-cluster: no cluster answers"),
        (["jobs", "show", "nobody"], {}, 6, "unknown-job: no job is called 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(site: Site, arguments: list[str], env: dict[str, str], code: int, told: str):
    assert told in site.partsong(*arguments, code=code, env=env).stderr


def test_a_job_of_a_lost_cluster_goes_on_on_a_new_one_and_is_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch):
    run = site.submit(300, "moved")
    site.until_calls(100)
    refused = site.partsong("jobs", "forget", run, "--yes", code=6)
    assert "is-running" in refused.stderr
    site.ray("stop", "--force")
    site.start()
    resumed = site.partsong("jobs", "resume", run, "--follow")
    assert "300 answered" in resumed.stdout
    assert site.ids("moved") == expected(300)
    assert site.server.stats(summary=True)["total"] <= 600 + 32  # calls in flight when the cluster was lost
    monkeypatch.setenv("STORE_PASSWORD", site.database.password)
    store = open_store(f"{site.store}?password_env=STORE_PASSWORD", site.folder)
    try:
        assert store.finished(run, 300) == 300
        assert json.loads(site.partsong("jobs", "forget", run, "--yes", "--json").stdout) == {"run": run, "forgotten": True}
        assert (store.run(run), store.finished(run, 300)) == (None, 0)
    finally:
        store.close()
    assert run not in site.partsong("jobs", "ls").stdout
    assert "unknown-job" in site.partsong("jobs", "resume", run, code=6).stderr
    assert site.ids("moved") == expected(300)


def _pids(words: str) -> list[int]:
    """Return the processes whose command line begins with or holds the words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if words in command and "pytest" not in command:
                found.append(int(entry.name))
    assert found, f"no process {words!r}"
    return found
