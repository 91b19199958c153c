"""A power cut at any moment: what was acknowledged is in the journal, whole; what was not is there as a whole or not at all."""

import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from power_cut import CutDisk, Said, Step, recorded

from partsong.journal.sqlite import SqliteStore

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here: scripts/install-system-packages installs it")

CUTS = 200

WRITE = """
import os, sys
from pathlib import Path
from partsong.contracts import Completion, Timing
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Published, RunInfo
from partsong.testing.store_conformance import call_record

path, sessions, appends, synchronous = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for session in range(sessions):
    store = SqliteStore.open(path)
    store._db.execute(f"pragma synchronous = {synchronous}")
    store.begin(RunInfo("run", "m", "i", 1.0))
    for n in range(session * appends, (session + 1) * appends):
        reply = Completion(text=f"{n:06}" * 1500, model="m", timing=Timing(total_s=1))
        store.append([call_record(n, "a", reply=reply), call_record(n, "b"), call_record(n, "c", reply=reply)])
        store.publish("run", Published(seq=n + 1))
        os.write(1, f"{n}\\n".encode())
    store.close()
"""


def steps_of(folder: Path, synchronous: str, *, sessions: int, appends: int) -> list[Step]:
    command = [sys.executable, "-c", WRITE, str(folder / "run" / "journal.db"), str(sessions), str(appends), synchronous]
    return recorded(command, folder)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return steps_of(tmp_path_factory.mktemp("recorded"), "full", sessions=2, appends=180)


def cuts(steps: Sequence[Step], count: int, first: int = 0) -> Iterator[tuple[int, set[int], dict[str, bytes]]]:
    """Yield a seed, what was acknowledged by then, and the files left, for cuts at random points."""
    dice = random.Random(count)
    points = sorted((dice.randint(first, len(steps)), seed) for seed in range(count))
    disk, acknowledged, done = CutDisk(), set[int](), 0
    for point, seed in points:
        for step in steps[done:point]:
            disk.take(step)
            if isinstance(step, Said):
                acknowledged.add(int(step.text))
        done = point
        yield seed, set(acknowledged), disk.left(random.Random(seed))


def held(files: dict[str, bytes], folder: Path) -> dict[int, list[str]]:
    """Open what is left as the next run would, check that it is sound, and return its calls' steps by row."""
    folder.mkdir()
    for name, content in files.items():
        if not name.endswith(("-shm", ".owner")):  # of no meaning without the processes that had them open
            (folder / Path(name).name).write_bytes(content)
    with closing(SqliteStore.open(folder / "journal.db")) as store:
        found: dict[int, list[str]] = {}
        for call in store.calls("run", 0, 10_000):
            found.setdefault(call.row, []).append(call.step)
        published = store.published("run").seq
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    shutil.rmtree(folder)
    assert published <= max(found, default=-1) + 1
    return found


def test_what_was_acknowledged_survives_a_power_cut_and_the_journal_is_sound(steps: list[Step], tmp_path: Path) -> None:
    promised = 0
    for seed, acknowledged, files in cuts(steps, CUTS):
        found = held(files, tmp_path / str(seed))
        assert acknowledged <= set(found), f"seed {seed}: {sorted(acknowledged - set(found))} of {len(acknowledged)} are lost"
        assert all(steps_of_row == ["a", "b", "c"] for steps_of_row in found.values()), f"seed {seed}: half an append"
        assert len(set(found) - acknowledged) <= 1, f"seed {seed}: more than was asked for"
        promised += len(acknowledged)
    assert promised > CUTS * 90  # in the middle, on average: the cuts were all over the run


def test_the_recording_holds_what_makes_a_cut_dangerous(steps: list[Step]) -> None:
    wal_restarts = [step for step in steps if type(step).__name__ == "Write" and step.path.endswith("-wal") and step.offset == 0]
    assert len(wal_restarts) >= 3  # one a session, and one after the log was brought into the file in the middle of it
    assert sum(type(step).__name__ == "Delete" for step in steps) >= 2


def test_the_model_finds_a_store_that_acknowledges_too_early(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, "normal", sessions=1, appends=60)
    lost = sum(not acknowledged <= set(held(files, tmp_path / f"cut-{seed}")) for seed, acknowledged, files in cuts(steps, 40))
    assert lost > 5
