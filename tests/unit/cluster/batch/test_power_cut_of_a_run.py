"""A power cut at any moment of a run, over all its files: the same command goes on, every row once, nothing acknowledged is asked again."""

import random
import shutil
import sys
from pathlib import Path

import pytest
from batch_bench import Bench
from power_cut import CutDisk, Said, Step, recorded

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here: scripts/install-system-packages installs it")

ROWS = 400
CUTS = 25
TESTS = Path(__file__).parents[3]

RUN = """
import asyncio, os, sys
from pathlib import Path

from batch_bench import Bench, MESH, loaded
from partsong_cluster.batch.results import LocalResults
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Stop
from scripted_engine import ScriptedEngine, echo

LocalResults.pause_s = 0.0

class Telling(ScriptedEngine):
    async def answer(self, row, on_text=None):
        outcome = await super().answer(row)
        os.write(1, f"{row.row}\\n".encode())
        return outcome

bench = Bench(Path(sys.argv[1])).rows(int(sys.argv[2]))
engine = Telling(bench.out, echo)
session = Session(RunOrder("mesh.yaml", str(bench.input), bench.out), loaded(MESH, bench.folder), lambda: engine, bench.watcher, Stop())
asyncio.run(session.work())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture(scope="module")
def steps(folder: Path) -> list[Step]:
    script = f"import sys; sys.path.insert(0, {str(TESTS)!r})\n{RUN}"
    return recorded([sys.executable, "-c", script, str(folder), str(ROWS)], folder)


async def test_a_run_goes_on_after_a_power_cut(steps: list[Step], folder: Path, tmp_path: Path):
    dice = random.Random(1)
    disk, acknowledged, done, promised = CutDisk(), set[int](), 0, 0
    for cut, point in enumerate(sorted(dice.randint(0, len(steps)) for _ in range(CUTS))):
        for step in steps[done:point]:
            disk.take(step)
            if isinstance(step, Said) and step.text:
                acknowledged.update(map(int, step.text.split()))
        done = point
        promised += len(acknowledged)
        await goes_on(disk.left(random.Random(cut)), acknowledged, bench_at(folder, tmp_path / str(cut)))
    assert ROWS * CUTS * 0.2 < promised < ROWS * CUTS * 0.9


def bench_at(recorded_in: Path, left_in: Path) -> Bench:
    """The same input, another folder."""
    bench = Bench(left_in)
    bench.input = recorded_in / "in.jsonl"
    return bench


async def goes_on(files: dict[str, bytes], acknowledged: set[int], bench: Bench) -> None:
    bench.out.mkdir(parents=True)
    for name, content in files.items():
        path = Path(name)
        if path.parent.name == "out" and path.suffix not in (".lock", ".owner") and not name.endswith("-shm"):
            (bench.out / path.name).write_bytes(content)
    summary = await bench.run()
    again = {row.row for row in bench.engine.asked} & acknowledged
    assert not again, f"{bench.folder.name}: {len(again)} of {len(acknowledged)} are asked again; told: {bench.watcher.said}"
    assert sorted(line["custom_id"] for line in bench.output()) == sorted(f"q{row}" for row in range(ROWS))
    assert summary["rows"]["finished"] == ROWS
    shutil.rmtree(bench.folder)
