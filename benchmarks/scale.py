"""Scale: the same job on 1, 2 and 4 Ray nodes of this machine, and what a row costs each kind of process.

Every node brings the same number of calls in flight at a provider that takes 200 ms, so that the work is light on processors: rows a second
should grow with the nodes until the cores of this one machine are full, which real nodes would bring along. The processor time of each kind
of process over the middle of the run, divided by the rows answered meanwhile, is what `benchmarks/simulation.py` and docs/scaling.md
reckon with. Run it under `scripts/alone`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from processes import titles

ROOT = Path(__file__).resolve().parent.parent
MESH = """\
version: 1
models:
  upstream:
    adapter: openai
    model: test-model
    base_url: {url}
    api_key: {{env: BENCH_KEY}}
    price: {{input: 0.15, output: 0.60}}
    workers: {{min: {nodes}, max: {nodes}}}
    concurrency: {in_flight}
    resources: {{custom: {{seat: 1}}}}
"""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_EACH_S = 0.5


class Sample(NamedTuple):
    """How things stood at a moment of a run."""

    at_s: float
    rows: int
    cpu_s: Mapping[str, float]
    """Processor seconds so far, by kind of process."""


def cpu_s(root: int) -> dict[str, float]:
    """Return the processor seconds that this process and all below it have used, by kind."""
    used: dict[str, float] = defaultdict(float)
    for pid, title in titles(root).items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        used[title] += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return dict(used)


async def work(url: str, nodes: int, in_flight: int, rows: int, coordinators: int, folder: Path) -> dict[str, Any]:
    """Work the job on a cluster of so many nodes; return its rate and costs over the middle of the run."""
    from partsong_actors.setup import SystemSpec
    from partsong_cluster.batch.progress import Progress
    from partsong_cluster.batch.session import RunOrder, Session
    from partsong_cluster.batch.stop import Stop
    from partsong_cluster.engines import open_engine

    from partsong.mesh import load_mesh, secrets_of

    mesh, given = folder / "mesh.yaml", folder / "in.jsonl"
    mesh.write_text(MESH.format(url=url, nodes=nodes, in_flight=in_flight))
    given.write_text("".join(json.dumps({"id": str(n), "prompt": f"What is {n} plus 1?"}) + "\n" for n in range(rows)))
    loaded = load_mesh(mesh, env=os.environ)
    secrets = secrets_of(loaded.mesh.models, os.environ, loaded.folder, loaded.allowed)
    system = SystemSpec.passing(coordinators=coordinators)
    samples: list[Sample] = []
    over = threading.Event()

    class Watched(Progress):
        rows = 0

        def show(self, tally: Any, in_flight: int, fraction: float | None) -> None:
            Watched.rows = tally.rows

    def sample() -> None:
        while not over.wait(_EACH_S):
            samples.append(Sample(time.monotonic(), Watched.rows, cpu_s(os.getpid())))

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        order = RunOrder(str(mesh), str(given), folder / "out")
        engine = open_engine("ray", loaded, order.folder, secrets=secrets, address=os.environ["RAY_ADDRESS"], system=system)
        summary = await Session(order, loaded, lambda: engine, Watched(), Stop()).work()
    finally:
        over.set()
        sampling.join()
    assert summary["rows"]["answered"] == rows, summary
    middle = [s for s in samples if rows * 0.15 < s.rows < rows * 0.85]
    first, last = middle[0], middle[-1]
    answered = last.rows - first.rows
    costs = {kind: 1e3 * (last.cpu_s[kind] - first.cpu_s.get(kind, 0.0)) / answered for kind in last.cpu_s}
    return {
        "nodes": nodes,
        "coordinators": coordinators,
        "rows_per_s": answered / (last.at_s - first.at_s),
        "limit_rows_per_s": nodes * in_flight / 0.2,
        "cpu_ms_per_row": {kind: round(ms, 3) for kind, ms in sorted(costs.items(), key=lambda cost: -cost[1]) if ms >= 0.005},
        "cores_used": sum(costs.values()) * answered / 1e3 / (last.at_s - first.at_s),
    }


def one(options: argparse.Namespace) -> None:
    """Work one job on a new cluster in this process, and print what it came to."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "resources": {"seat": 1}, "object_store_memory": 128 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(options.node - 1):
        cluster.add_node(**node)
    os.environ["RAY_ADDRESS"] = cluster.address
    with tempfile.TemporaryDirectory() as folder:
        rows = options.seconds * options.node * options.in_flight * 5
        found = uvloop.run(work(options.url, options.node, options.in_flight, rows, options.coordinators, Path(folder)))
    cluster.shutdown()
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--in-flight", type=int, default=32, help="calls in flight that each node brings")
    parser.add_argument("--seconds", type=int, default=20, help="about how long each run takes")
    parser.add_argument("--coordinators", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--node", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {"BENCH_KEY": "test-key", "RAY_USAGE_STATS_ENABLED": "0"}
    if options.node:
        one(options)
        return
    command = [sys.executable, "-m", "providers.openai", "--latency", "0.2", "--text", "42"]
    server = subprocess.Popen(command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        found = [_apart(url, nodes, options) for nodes in options.nodes]
    finally:
        server.terminate()
        server.wait()
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'nodes':>5}  {'rows/s':>7}  {'of the limit':>12}  {'cores used':>10}  ms of processor a row")
    for row in found:
        costs = "  ".join(f"{kind} {ms:.2f}" for kind, ms in list(row["cpu_ms_per_row"].items())[:7])
        share = row["rows_per_s"] / row["limit_rows_per_s"]
        print(f"{row['nodes']:>5}  {row['rows_per_s']:>7,.0f}  {share:>12.0%}  {row['cores_used']:>10.2f}  {costs}")


def _apart(url: str, nodes: int, options: argparse.Namespace) -> dict[str, Any]:
    """Work the job in a process of its own: a Ray that is ended leaves traces in the process that had it."""
    command = [sys.executable, __file__, "--node", str(nodes), "--url", url, "--in-flight", str(options.in_flight)]
    command += ["--seconds", str(options.seconds), "--coordinators", str(options.coordinators)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
