"""Soak: a batch over Ray for minutes under faults, workers killed now and then: which processes grow, which rows are lost or doubled.

The server is the tests' provider: 429s, 500s, resets, stalls and cut replies come and go. When the time is up the run is interrupted, then
finished without faults up to the last row it had reached, and every row is looked for. Exit code 1 when a process grows, a queue passes
its bound, or a row is lost or doubled. `scripts/alone scripts/bench soak --minutes 20` keeps its Ray apart from any other.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from processes import memory_of, titles

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from providers.process import RunningServer, running_server  # noqa: E402  the tests' server, which is no package of ours

PARTSONG = Path(sys.executable).with_name("partsong")
MESH = """\
version: 1
models:
  first: &upstream
    adapter: openai
    model: first
    base_url: {url}
    api_key: {{env: SOAK_KEY}}
    price: {{input: 0.15, output: 0.60}}
    workers: {{min: 2, max: 2}}
    concurrency: 16
    timeout: 5s
    stall_timeout: 2s
    breaker: {{window: 10s, open_for: 1s, open_at_most: 4s}}
    hedge: {{after: p95, share: 0.05}}
    limits: {{requests_per_minute: 60000}}
    fallbacks: [second]
  second: {{<<: *upstream, model: second, fallbacks: "off"}}
plans:
  panel: {{ensemble: {{members: [first, second], merge: majority}}}}
routes: [{{use: panel}}]
telemetry: {{file: traces.jsonl, rotate: {{size: 2MB, keep: 2}}}}
"""
ACTORS = ("ModelWorker", "ModelPool", "CoordinatorActor", "SynthesizerActor", "JournalActor", "driver", "raylet", "gcs_server")
"""Whose growth fails the soak: the engine's processes, and the two of Ray's that hold something of every call."""
FAULTS: Sequence[Mapping[str, object]] = (
    {"kind": "status", "status": 429, "headers": [["retry-after", "1"]], "share": 0.5},
    {"kind": "status", "status": 500, "share": 0.4},
    {"kind": "reset", "share": 0.3},
    {"kind": "stall", "share": 0.1},
    {"kind": "cut", "share": 0.3},
)
ROWS, PERMITS, CALLS_A_ROW = 128, 48, 2
"""In flight at most, by the mesh: twice the calls that four workers make; a model's calls, half as many again on their way; the panel's."""
BOUNDS = {
    "partsong.rows.under_way": ROWS,
    "partsong.rows.unpublished": 4096 + ROWS,
    "partsong.calls.waiting": ROWS * CALLS_A_ROW,
    "partsong.calls.limited": PERMITS,
    "partsong.calls.in_flight": PERMITS,
    "partsong.worker.waiting": PERMITS - 16,
    "partsong.limits.waiting": 2 * PERMITS,
    "partsong.journal.pending": 4096 + CALLS_A_ROW,
    "partsong.journal.lookups": 4096,
    "partsong.messages.unsent": 4 * ROWS * CALLS_A_ROW,
    "partsong.replies.waiting": 2 * ROWS,
    "partsong.news.waiting": 4 * 2 * PERMITS,
    "partsong.telemetry.waiting": 8192,
}
"""How deep queues may be, by `docs/tracing.md`."""
FAULTY_S, CALM_S = 6.0, 6.0
KILL_EVERY_S = 45.0
SAMPLE_EVERY_S = 3.0
WARM_S = 60.0
"""Until then every pool is filled and every module loaded; what grows afterwards grows with the work."""
MIB = 2**20


@dataclass(slots=True)
class Series:
    """One process over time."""

    name: str
    at_s: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def quarters(self, from_s: float, to_s: float) -> tuple[float, float]:
        """Return the medians of the first and the last quarter."""
        quarter_s = (to_s - from_s) / 4
        first = [mib for at_s, mib in zip(self.at_s, self.mib, strict=True) if from_s <= at_s <= from_s + quarter_s]
        last = [mib for at_s, mib in zip(self.at_s, self.mib, strict=True) if at_s >= to_s - quarter_s]
        return statistics.median(first), statistics.median(last)

    def slope(self, from_s: float) -> float:
        """Return MiB a minute over what is behind `from_s`, by least squares."""
        late = [(at_s / 60, mib) for at_s, mib in zip(self.at_s, self.mib, strict=True) if at_s >= from_s]
        return statistics.linear_regression(*zip(*late, strict=True)).slope


@dataclass(frozen=True, slots=True)
class Allowance:
    """What counts as growth."""

    mib: float = 4.0
    """The last quarter's median above the first's: that much is an allocator's own business."""
    share: float = 0.05
    slope: float = 0.1
    """MiB a minute in the second half: 4 GiB in four weeks."""

    def grew(self, first: float, last: float, slope: float) -> bool:
        return last - first > max(self.mib, self.share * first) and slope > self.slope


class Weather:
    """Faults by turns, and a kill now and then; told the time, it does what is due."""

    def __init__(self, server: RunningServer, dice: random.Random) -> None:
        self._server = server
        self._dice = dice
        self._next_s = CALM_S
        self._faulty = False
        self._turns = 0
        self._kill_s = KILL_EVERY_S
        self.kills = 0

    def at(self, now_s: float, driver: int) -> None:
        if now_s >= self._next_s:
            self._faulty = not self._faulty
            self._server.reset()
            if self._faulty:
                fault = FAULTS[self._turns % len(FAULTS)]
                self._server.fault(**{"times": 1e9, "seed": self._turns, **fault})
                self._turns += 1
            self._next_s = now_s + (FAULTY_S if self._faulty else CALM_S)
        if now_s >= self._kill_s:
            self._kill_s = now_s + KILL_EVERY_S * self._dice.uniform(0.7, 1.3)
            workers = sorted(pid for pid, name in titles(driver).items() if name == "ModelWorker")
            if len(workers) > 2:  # the older ones live all the time: what grows there would show
                with suppress(ProcessLookupError):
                    os.kill(workers[-1], signal.SIGKILL)
                    self.kills += 1


def command(folder: Path, *more: str) -> list[str]:
    return [str(PARTSONG), "run", str(folder / "mesh.yaml"), str(folder / "in.jsonl"), "-o", str(folder / "out"), *more]


def observed(folder: Path, server: RunningServer, minutes: float) -> tuple[dict[int, Series], float, Weather]:
    """Run for so long; return every process's memory over time."""
    environment = {**os.environ, "SOAK_KEY": "test-key", "RAY_USAGE_STATS_ENABLED": "0"}
    with (folder / "log").open("w") as log:
        run = subprocess.Popen(command(folder), env=environment, stdout=log, stderr=log)
    series: dict[int, Series] = {}
    weather = Weather(server, random.Random(7))
    output = folder / "out" / "output.jsonl"
    while run.poll() is None and not (output.exists() and output.stat().st_size):
        time.sleep(0.2)
    began_s = time.monotonic()
    while run.poll() is None and (now_s := time.monotonic() - began_s) < minutes * 60:
        weather.at(now_s, run.pid)
        for pid, name in titles(run.pid).items():
            if memory := memory_of(pid):
                one = series.setdefault(pid, Series(name))
                one.name = name
                one.at_s.append(now_s)
                one.mib.append(memory.own / MIB)
                if name == "raylet":
                    shared = series.setdefault(-pid, Series("object store"))
                    shared.at_s.append(now_s)
                    shared.mib.append(memory.shared / MIB)
        time.sleep(SAMPLE_EVERY_S)
    server.reset()
    if run.poll() is not None:
        sys.exit(f"the run ended by itself, with {run.returncode}: {(folder / 'log').read_text()[-2000:]}")
    lasted_s = time.monotonic() - began_s
    run.send_signal(signal.SIGINT)
    run.wait(timeout=120)
    return series, lasted_s, weather


def ids(folder: Path) -> Counter[str]:
    """Return how often each row stands in the output files."""
    found: Counter[str] = Counter()
    for name in ("output.jsonl", "errors.jsonl"):
        with (folder / "out" / name).open() as lines:
            found.update(json.loads(line)["custom_id"] for line in lines)
    return found


def finished(folder: Path) -> tuple[int, int, int, int]:
    """Finish the rows begun; return rows, failed ones, lost ones and doubled ones."""
    reached = 1 + max(int(name.removeprefix("row-")) for name in ids(folder))
    environment = {**os.environ, "SOAK_KEY": "test-key", "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run(command(folder, "--limit", str(reached), "--quiet"), env=environment, check=False, timeout=600)
    found = ids(folder)
    lost = sum(f"row-{row}" not in found for row in range(reached))
    doubled = sum(count - 1 for count in found.values())
    failed = sum(1 for _ in (folder / "out" / "errors.jsonl").open())
    return reached, failed, lost, doubled


def deepest(folder: Path) -> dict[str, float]:
    """Return how deep each queue was at most, by the metrics of all processes, which tell it every ten seconds."""
    depths: dict[str, float] = {}
    for file in sorted((folder / "out").glob("metrics-*.jsonl*")):
        for line in file.read_text().splitlines():
            for told in json.loads(line)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]:
                for point in told.get("gauge", {}).get("dataPoints", ()):
                    depth = float(point.get("asDouble", point.get("asInt", 0)))
                    depths[told["name"]] = max(depths.get(told["name"], 0.0), depth)
    return dict(sorted(depths.items()))


def table(series: Mapping[int, Series], lasted_s: float, allowance: Allowance) -> bool:
    """Print a line a process; return whether any grew that must not."""
    from_s = min(WARM_S, lasted_s / 10)
    grown = False
    print(f"{'process':<28}{'first quarter':>14}{'last quarter':>14}{'MiB/min':>9}  verdict")
    for pid, one in sorted(series.items(), key=lambda item: (item[1].name, abs(item[0]))):
        if one.at_s[0] > from_s or one.at_s[-1] < lasted_s - 4 * SAMPLE_EVERY_S:
            continue  # killed, or started in a killed one's place
        first, last = one.quarters(from_s, lasted_s)
        slope = one.slope(lasted_s / 2)
        grew = allowance.grew(first, last, slope)
        grown |= grew and one.name in ACTORS
        verdict = ("GREW" if one.name in ACTORS else "grew") if grew else "flat"
        print(f"{one.name + ' ' + str(abs(pid)):<28}{first:>10.1f} MiB{last:>10.1f} MiB{slope:>9.2f}  {verdict}")
    return grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that the server takes for a reply")
    parser.add_argument("--keep", type=Path, help="a folder for the run and the samples; by default they are thrown away")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, running_server("providers.openai", "--latency", str(options.latency)) as server:
        folder = options.keep or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mesh.yaml").write_text(MESH.format(url=server.url))
        with (folder / "in.jsonl").open("w") as rows:
            for row in range(round(options.minutes * 60 * 64 / options.latency)):  # more than 64 calls in flight can answer
                rows.write(json.dumps({"id": f"row-{row}", "prompt": f"{row}: " + "some words to carry along " * 8}) + "\n")
        series, lasted_s, weather = observed(folder, server, options.minutes)
        if options.keep:
            samples = {f"{one.name} {pid}": [one.at_s, one.mib] for pid, one in series.items()}
            (folder / "samples.json").write_text(json.dumps(samples))
        rows_done, failed, lost, doubled = finished(folder)
        depths = deepest(folder)
    grown = table(series, lasted_s, Allowance())
    print(f"{lasted_s / 60:.1f} minutes, {weather.kills} workers killed")
    print(f"{rows_done:,} rows, {failed:,} of them failed; {lost} lost, {doubled} doubled")
    for name, bound in BOUNDS.items():
        print(f"{name:<32}{depths.get(name, 0.0):>8,.0f} at most, bound {bound:,}")
    past = [name for name, bound in BOUNDS.items() if depths.get(name, 0.0) > bound]
    print(f"past their bounds: {', '.join(past) or 'none'}")
    sys.exit(bool(grown or lost or doubled or past))


if __name__ == "__main__":
    main()
