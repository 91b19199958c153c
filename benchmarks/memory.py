"""Memory: the peak of a long run against a short one's, over all processes of the run (driver, actors, Ray's own)."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTSONG = Path(sys.executable).with_name("partsong")
MESH = """\
version: 1
models:
  echo: {adapter: python, target: "echo:echo", concurrency: 64, workers: {min: 2, max: 2}}
  again: {adapter: python, target: "echo:echo", concurrency: 64}
plans:
  both: {cascade: [{ask: echo, trust: {confidence: 0.9}}, {ask: again}]}
"""
WORKER = """\
async def echo(task):
    return task.text, 0.5
"""


def tree(root: int) -> set[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def proportional_bytes(pids: set[int]) -> int:
    """Memory of the processes, what they share counted once (PSS)."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


def peak_bytes(rows: int, engine: str) -> tuple[int, float]:
    """Run that many rows; return the peak memory and the rows a second."""
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
        peak = 0
        while run.poll() is None:
            peak = max(peak, proportional_bytes(tree(run.pid)))
            time.sleep(0.5)
        assert run.returncode == 0, f"partsong run ended with {run.returncode}"
        summary = json.loads((folder / "out" / "summary.json").read_text())
        assert summary["rows"]["answered"] == rows
        return peak, rows / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=int, default=20_000)
    parser.add_argument("--long", type=int, default=200_000)
    parser.add_argument("--engine", nargs="*", choices=["inline", "ray"], default=["inline", "ray"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for engine in options.engine:
        peaks = {rows: peak_bytes(rows, engine)[0] / 2**20 for rows in (options.short, options.long)}
        ratio = peaks[options.long] / peaks[options.short]
        found.append({"engine": engine, "peak_mib": {str(rows): round(peak) for rows, peak in peaks.items()}, "ratio": round(ratio, 3)})
    if options.json:
        print(json.dumps(found))
        return
    for row in found:
        short, long = row["peak_mib"].values()
        print(f"{row['engine']:>6}: {options.short:,} rows {short:,} MiB, {options.long:,} rows {long:,} MiB, ratio {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
