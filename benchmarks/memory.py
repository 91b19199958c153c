"""Memory: the peak of a long run against a short one's, over all processes of the run (driver, actors, Ray's own), and against a bound.

`--rows 1000000 --engine inline` is one run of a million rows. Exit code 1 when a run passes its engine's bound. Takes 5 kB of disk a row.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from processes import Memory, memory_of, titles

PARTSONG = Path(sys.executable).with_name("partsong")
MIB = 2**20
BOUND_MIB = {"inline": 80, "ray": 1_200}
"""Whatever the number of rows. Ray's own processes are a good part of the second."""
MESH = """\
version: 1
models:
  echo: {adapter: python, target: "echo:echo", concurrency: 64, workers: {min: 2, max: 2}}
"""
WORKER = """\
async def echo(task):
    return task.text, 0.5
"""


@dataclass(frozen=True, slots=True)
class Peak:
    """One run."""

    engine: str
    rows: int
    peak_mib: float
    """Of all processes together."""
    processes_mib: dict[str, float]
    """Peak of each kind's largest process, the object store left out."""
    rows_per_s: float

    @property
    def within(self) -> bool:
        """Whether it stayed within its engine's bound."""
        return self.peak_mib <= BOUND_MIB[self.engine]


def together(held: Collection[Memory]) -> int:
    """Return the bytes of all processes; the object store, which several see, once."""
    return sum(memory.own for memory in held) + max((memory.shared for memory in held), default=0)


def peak_of(rows: int, engine: str) -> Peak:
    """Run that many rows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "mesh.yaml").write_text(MESH)
        (folder / "echo.py").write_text(WORKER)
        with (folder / "in.jsonl").open("w") as source:
            for number in range(rows):
                source.write(json.dumps({"id": f"row-{number}", "prompt": f"{number} " + "some words to carry along " * 8}) + "\n")
        command = [PARTSONG, "run", folder / "mesh.yaml", folder / "in.jsonl", "-o", folder / "out", "--quiet", "--engine", engine]
        began = time.monotonic()
        run = subprocess.Popen(command, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})
        totals: list[int] = []
        largest: dict[str, float] = {}
        while run.poll() is None:
            named = titles(run.pid)
            held = {pid: memory for pid in named if (memory := memory_of(pid))}
            totals.append(together(held.values()))
            for pid, memory in held.items():
                largest[named[pid]] = max(largest.get(named[pid], 0.0), memory.own / MIB)
            time.sleep(0.5)
        if run.returncode:
            sys.exit(f"partsong run ended with {run.returncode}")
        summary = json.loads((folder / "out" / "summary.json").read_text())
        if summary["rows"]["answered"] != rows:
            sys.exit(f"{summary['rows']} of {rows} rows")
        return Peak(engine, rows, max(totals) / MIB, largest, rows / (time.monotonic() - began))


def shown(peak: Peak) -> str:
    """Return the line that tells of a run."""
    of_each = ", ".join(f"{name} {mib:,.0f}" for name, mib in sorted(peak.processes_mib.items(), key=lambda item: -item[1])[:8])
    verdict = "within" if peak.within else "PAST"
    bound = f"{verdict} {BOUND_MIB[peak.engine]:,} MiB"
    return f"{peak.engine:>6}: {peak.rows:>9,} rows {peak.peak_mib:>6,.0f} MiB, {bound}, {peak.rows_per_s:,.0f} rows/s\n        {of_each}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 200_000], help="a run of each length")
    parser.add_argument("--engine", nargs="*", choices=["inline", "ray"], default=["inline", "ray"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peaks = []
    for engine in options.engine:
        for rows in options.rows:
            peaks.append(peak := peak_of(rows, engine))
            if options.json:
                continue
            print(shown(peak), flush=True)
            if rows != options.rows[0]:
                first = next(p for p in peaks if p.engine == engine)
                print(f"        {peak.peak_mib / first.peak_mib:.2f} times the peak of {first.rows:,} rows", flush=True)
    if options.json:
        fields = [{**{name: getattr(peak, name) for name in Peak.__slots__}, "within": peak.within} for peak in peaks]
        print(json.dumps(fields))
    sys.exit(not all(peak.within for peak in peaks))


if __name__ == "__main__":
    main()
