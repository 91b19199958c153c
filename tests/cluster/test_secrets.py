"""Keys stay out: canaries planted as keys are found in nothing that a run over Ray writes, shows or leaves behind."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

PARTSONG = Path(sys.executable).with_name("partsong")
RAY = Path(sys.executable).with_name("ray")
WORKER = b"ray::_ModelWorker"

CANARIES = {
    "CANARY_ENV": "sk-canaryENV-7f3a9c0d1e2b4a6855cc",
    "CANARY_HEADER": "canaryHDR+9d8e/7f6a5b4c3d2e1f==",
    "file": "canaryFILE.0a1b2c3d4e5f60718293",
}
MESH = """\
version: 1
models:
  good: &server {{adapter: openai, model: good, base_url: "{url}/v1", api_key: {{env: CANARY_ENV}}, concurrency: 8, retries: 3}}
  repeats: {{<<: *server, model: repeats}}
  refused: {{<<: *server, model: refused, api_key: {{file: keys/canary.key}}, retries: 0}}
  broken: {{<<: *server, model: broken, retries: 1}}
  header: {{adapter: anthropic, model: refused, base_url: "{url}", api_key: {{env: CANARY_HEADER}}, retries: 0}}
  spills: {{adapter: spilling, spills: complete, api_key: {{env: CANARY_ENV}}, retries: 0}}
  spills_opening: {{adapter: spilling, spills: open, api_key: {{env: CANARY_ENV}}, fallbacks: [good]}}
  spills_constructed: {{adapter: spilling, spills: init, api_key: {{env: CANARY_HEADER}}, fallbacks: [good]}}
  looks: {{adapter: python, target: "looking:looks"}}
routes: [{{use: good}}]
telemetry: {{file: traces.jsonl, content: true}}
"""
SPILLING = '''\
"""An adapter of somebody else, which raises with the key in its words."""
from typing import Literal
from partsong.adapters.adapter import Adapter
from partsong.contracts import ModelSpec, SecretRef
class Spec(ModelSpec):
    adapter: Literal["spilling"]
    spills: str
    api_key: SecretRef
class Spilling(Adapter):
    kind = "spilling"
    Spec = Spec
    def __init__(self, spec, around):
        self.how, self.key = spec.spills, around.secret
        if self.how == "init":
            raise RuntimeError(f"no luck with {self.key}")
    async def open(self):
        if self.how == "open":
            raise RuntimeError(f"no luck with {self.key}")
    async def complete(self, task, on_text=None):
        raise ValueError(f"Authorization: Bearer {self.key} was refused") from KeyError(self.key)
'''
LOOKING = """\
import os
def looks(task):
    import colorsys  # of the standard library, and seldom loaded
    assert hasattr(colorsys, "rgb_to_hsv")
    return " ".join(sorted(name for name in os.environ if name.startswith("CANARY"))) or "nothing"
"""
DECOYS = ("colorsys", "aiohttp", "httpx", "msgpack", "partsong", "pydantic", "ray", "sitecustomize", "usercustomize", "uvloop")
"""Modules that a stranger may have put beside the mesh file."""
USES = ("good", "repeats", "refused", "broken", "header", "spills", "spills_opening", "spills_constructed", "looks")


class _Echoing(BaseHTTPRequestHandler):
    """A provider that repeats the key it was sent in its errors, and in what its models say."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        key = self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers["x-api-key"]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked += 1
        if "slow" in str(body["messages"]):
            self.server.crashed.wait(90)
        encoded = base64.b64encode(f"user:{key}".encode()).decode()
        told = f"key {key} is wrong: {quote(key, safe='')}, {encoded}, Authorization: Bearer {key}"
        match body["model"]:
            case "refused":
                self._send(401, {"error": {"message": told, "type": key, "code": key}})
            case "broken":
                self._send(500, told)
            case model:
                text = told if model == "repeats" else "fine"
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                self._send(200, {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    def _send(self, status: int, body: object) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        with suppress(ConnectionError):  # a worker that was killed reads no more
            super().handle()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echoing)
    server.asked = 0  # type: ignore[attr-defined]
    server.crashed = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.crashed.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path, provider) -> Path:
    """A mesh whose every model has a key, an adapter that spills it, and rows that ask each model."""
    (tmp_path / "mesh.yaml").write_text(MESH.format(url=f"http://127.0.0.1:{provider.server_port}"))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "canary.key").write_text(CANARIES["file"] + "\n")
    (tmp_path / "looking.py").write_text(LOOKING)
    for decoy in DECOYS:
        (tmp_path / f"{decoy}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'a').write({decoy!r})\n")
    plugin = tmp_path / "plugin" / "spilling-1.0.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: spilling\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[partsong.adapters]\nspilling = spilling:Spilling\n")
    (tmp_path / "plugin" / "spilling.py").write_text(SPILLING)
    rows = [{"id": f"{use}-{n}", "prompt": f"{use} {n}", "use": use} for use in USES for n in range(5)]
    rows += [{"id": f"slow-{n}", "prompt": f"slow {n}", "use": "good"} for n in range(8)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def plain_environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(folder / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**mine, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder / "home"), "RAY_USAGE_STATS_ENABLED": "0"}


def started(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = [PARTSONG, "run", "mesh.yaml", "in.jsonl", "-o", "out", *options]
    keys = {name: key for name, key in CANARIES.items() if name != "file"}
    return subprocess.Popen(
        command, cwd=folder, env=plain_environment(folder) | keys, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_slow_calls(provider: ThreadingHTTPServer, run: "subprocess.Popen[str]") -> None:
    """Return when calls that wait for the crash are under way, and most models have a worker."""
    until_s = time.monotonic() + 90
    while (provider.asked < 8 or len(workers()) < 5) and run.poll() is None:  # type: ignore[attr-defined]
        assert time.monotonic() < until_s, "the run stands still"
        time.sleep(0.05)
    time.sleep(1)


def processes(but: int) -> dict[str, bytes]:
    """Arguments and environments of every process but this one and the run's own, to which the user gave the keys."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), but):
            for part in ("cmdline", "environ"):
                try:
                    found[f"{part} of {(entry / 'comm').read_text().strip()}"] = (entry / part).read_bytes()
                except OSError:
                    continue  # ended meanwhile
    return found


def workers() -> list[Path]:
    """The workers' processes."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(WORKER):
                found.append(entry)
    return found


def crash_the_workers(provider: ThreadingHTTPServer) -> list[str]:
    """Let every worker die as of a fault in native code, which may leave a dump; return their limits of a dump's size."""
    limits = []
    for entry in workers():
        with suppress(OSError):
            limit = next(line for line in (entry / "limits").read_text().splitlines() if line.startswith("Max core file size"))
            os.kill(int(entry.name), signal.SIGABRT)
            limits.append(limit.split()[4])
    provider.crashed.set()  # type: ignore[attr-defined]
    return limits


def written(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def forms(key: str) -> set[bytes]:
    """The key as it is, and as URLs, JSON, hexadecimal digits and base64 (behind zero, one or two other bytes of a group) write it."""
    encoded = {base64.b64encode(b"\0" * before + key.encode())[(0, 2, 3)[before] : (before + len(key)) * 8 // 6] for before in range(3)}
    url_safe = {form.translate(bytes.maketrans(b"+/", b"-_")) for form in encoded}
    return (
        {key.encode(), quote(key).encode(), quote(key, safe="").encode(), key.encode().hex().encode(), key.encode("utf-16-le")}
        | encoded
        | url_safe
    )


def leaks(places: dict[str, bytes]) -> list[str]:
    """Which canary stands where."""
    return [
        f"{name} in {place}" for place, content in places.items() for name, key in CANARIES.items() if any(f in content for f in forms(key))
    ]


def test_the_search_finds_every_form():
    for name, key in CANARIES.items():
        hidden = [
            key.encode(),
            quote(key, safe="").encode(),
            base64.b64encode(f"user:{key}".encode()),
            base64.urlsafe_b64encode(key.encode()),
        ]
        assert all(leaks({"here": b"..." + form + b"..."}) == [f"{name} in here"] for form in hidden)


@pytest.mark.timeout(240)
def test_a_run_that_fails_and_crashes_writes_no_key_anywhere_and_loads_only_what_is_named(folder, provider, request):
    run = started(folder)
    request.addfinalizer(run.kill)
    wait_for_slow_calls(provider, run)
    beside = processes(but=run.pid)
    core_limits = crash_the_workers(provider)
    out, err = run.communicate(timeout=180)
    assert run.returncode == 3, err
    assert core_limits.count("1") >= len(core_limits) - 1 > 3  # too small for a dump; only the worker without a key may have more

    own = {folder / "mesh.yaml", folder / "keys" / "canary.key"}
    found = {place: content for place, content in written(folder, Path("/tmp/ray")).items() if Path(place) not in own}
    assert {"output.jsonl", "errors.jsonl", "journal.db", "report.html"} <= {Path(place).name for place in found}
    assert any("worker" in place and place.endswith((".err", ".log")) for place in found)
    assert leaks({"stdout": out.encode(), "stderr": err.encode(), **beside, **found}) == []

    answers = {line["custom_id"]: line for line in map(json.loads, (folder / "out" / "output.jsonl").read_text().splitlines())}
    errors = {line["custom_id"]: line for line in map(json.loads, (folder / "out" / "errors.jsonl").read_text().splitlines())}
    assert len(answers) + len(errors) == 5 * len(USES) + 8
    assert {name.rpartition("-")[0] for name in errors} == {"refused", "broken", "header", "spills"}
    assert "***" in errors["refused-0"]["reason"]
    assert not (folder / "loaded").exists()
    assert answers["looks-0"]["response"]["body"]["choices"][0]["message"]["content"] == "nothing"


@pytest.mark.timeout(240)
def test_a_clusters_own_state_shows_no_key(folder, provider, request):
    head = [
        RAY,
        "start",
        "--head",
        "--port=6399",
        "--include-dashboard=true",
        "--dashboard-port=8299",
        "--num-cpus=4",
        "--disable-usage-stats",
    ]
    subprocess.run(head, env=plain_environment(folder), check=True, capture_output=True, timeout=100)
    request.addfinalizer(lambda: subprocess.run([RAY, "stop", "--force"], check=False, capture_output=True, timeout=60))
    run = started(folder, "--address", "127.0.0.1:6399", "--quiet")
    request.addfinalizer(run.kill)
    wait_for_slow_calls(provider, run)
    states = {"at work": state_of_the_cluster(), **processes(but=run.pid)}
    assert crash_the_workers(provider)
    _, err = run.communicate(timeout=180)
    assert run.returncode == 3, err
    states["afterwards"] = state_of_the_cluster()
    assert b"_ModelWorker" in states["at work"]
    assert leaks(states | written(Path("/tmp/ray"), folder / "out")) == []


def state_of_the_cluster() -> bytes:
    """All that Ray's state API tells, which `ray list` shows."""
    told = b""
    for kind in ("actors", "tasks", "jobs", "workers", "objects", "runtime_envs", "nodes", "placement_groups", "cluster_events"):
        with urllib.request.urlopen(f"http://127.0.0.1:8299/api/v0/{kind}?detail=true&limit=10000", timeout=60) as reply:
            told += reply.read()
    return told
