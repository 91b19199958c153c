"""A Prometheus that finds Ray's nodes by Ray's own file scrapes what a run counts, and evaluates every alert and every panel."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from math import inf
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from partsong_cluster.cli.exit_codes import ExitCode
from providers.openai import OpenAIServer

from partsong.telemetry.exported import EXPORTED

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

BIN = Path(sys.executable).parent
DEPLOY = Path(__file__).parents[2] / "deploy"
GCS, DASHBOARD, METRICS, PROMETHEUS = "127.0.0.1:6399", "127.0.0.1:8265", 9100, "127.0.0.1:9190"

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: UPSTREAM_KEY}}, concurrency: 8, price: {{input: 1, output: 2}},
         limits: {{requests_per_minute: 60000, usd_per_day: 5}}}}
plans:
  panel: {{ensemble: {{members: [mini, mini], merge: majority}}}}
routes: [{{use: panel}}]
"""

NOT_OF_THIS_RUN = ("ray_partsong_epoch",)
"""The system ends with its driver, so that it needs no epochs."""

CONFIG = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: ray
    file_sd_configs: [{files: ["/tmp/ray/prom_metrics_service_discovery.json"], refresh_interval: 1s}]
rule_files: ["%s"]
"""


def asked(path: str) -> dict:
    with urlopen(f"http://{PROMETHEUS}{path}", timeout=10) as answer:
        return json.load(answer)


def found(query: str) -> list[dict]:
    return asked(f"/api/v1/query?query={quote(query)}")["data"]["result"]


@contextmanager
def head():
    ray = [BIN / "ray", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={GCS.rpartition(':')[2]}", "--num-cpus=2"]
    options = [f"--metrics-export-port={METRICS}", "--dashboard-host=127.0.0.1", "--object-store-memory=100000000", "--block"]
    with subprocess.Popen([*ray, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def prometheus(folder: Path):
    config = folder / "prometheus.yml"
    config.write_text(CONFIG % (DEPLOY / "alerts.yaml"))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={PROMETHEUS}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


@asynccontextmanager
async def run_of(folder: Path, url: str, rows: int):
    (folder / "mesh.yaml").write_text(MESH.format(url=url))
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": str(n), "prompt": f"row {n}"}) + "\n" for n in range(rows)))
    command = [BIN / "partsong", "run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "ray", "--address", GCS, "--budget", "3"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env={**os.environ, "UPSTREAM_KEY": "test-key"})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def eventually(holds, what: str = "") -> None:
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    if await asyncio.to_thread(holds):
                        return
                except OSError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.5)
    except TimeoutError:
        pytest.fail(f"not within a minute: {what}")


async def shown(*options: str) -> dict:
    """Return what `partsong top` says."""
    command = [BIN / "partsong", "top", "--json", "--interval", "11", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(told)


def queries() -> list[str]:
    boards = [json.loads(path.read_text()) for path in sorted((DEPLOY / "dashboards").glob("*.json"))]
    return [target["expr"] for board in boards for panel in board["panels"] for target in panel.get("targets", ())]


def without_variables(query: str) -> str:
    """Return the query as Grafana would send it with everything chosen."""
    return query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$system", ".*").replace("$model", ".*")


@pytest.mark.timeout(300)
async def test_prometheus_scrapes_a_run_and_evaluates_every_alert_and_panel(tmp_path):
    async with OpenAIServer(latency_s=0.1) as server:
        server.fault("status", status=400, times=inf, match="row 7")  # some rows fail for good
        server.fault("status", status=500, times=inf, share=0.05)
        with head(), prometheus(tmp_path):
            await eventually(lambda: found('up{job="ray"} == 1'), "a node is scraped")
            async with run_of(tmp_path, server.url, rows=2500) as process:
                for metric in ("calls_total", "calls_waiting", "job_rows", "worker_waiting", "limit_used", "journal_oldest"):
                    await eventually(lambda metric=metric: found(f"ray_partsong_{metric}"), metric)
                served = {metric["metric"]["__name__"] for metric in found('{__name__=~"ray_partsong_.+"}')}
                assert served <= {metric.served for metric in EXPORTED}
                assert {series["metric"]["system"] for series in found("ray_partsong_calls_total")} == {"passing"}
                assert {series["metric"]["actor"] for series in found("ray_partsong_calls_waiting")} == {"coordinator"}
                page = await asyncio.to_thread(lambda: urlopen(Request(f"http://127.0.0.1:{METRICS}/metrics"), timeout=10).read())
                assert b"row 17" not in page
                assert b"UPSTREAM" not in page
                for query in queries():
                    if not any(name in query for name in NOT_OF_THIS_RUN):
                        await eventually(lambda query=query: found(without_variables(query)), query)
                seen = await asyncio.gather(shown("--address", "http://127.0.0.1:8265"), shown("--prometheus", f"http://{PROMETHEUS}"))
                for view in seen:
                    [model], [job] = view["models"], view["jobs"]
                    assert (model["system"], model["model"], model["breaker"]) == ("passing", "mini", "closed")
                    assert model["in_flight"] > 0
                    assert model["calls_per_s"] > 0
                    assert 0 < job["share"] < 1
                    assert view["nodes"][0]["processes"] >= 5
                server.latency_s = 0.0  # all is seen that is to be seen of a run at work
                assert await process.wait() == ExitCode.SOME_FAILED
            await eventually(lambda: sum(float(s["value"][1]) for s in found('ray_partsong_steps_total{kind="row"}')) == 2500)
            assert sum(float(series["value"][1]) for series in found("ray_partsong_calls_total")) == len(server.arrivals)
            rules = [rule for group in asked("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
            assert rules
            assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
