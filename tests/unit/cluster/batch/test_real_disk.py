"""Real disks and real processes: a disk that is full or read-only, a folder or a journal that another run works with."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROWS = 600
IN_FLIGHT = 32

MESH = """
version: 1
models:
  shout: {adapter: python, target: "workers:shout", concurrency: 16}
routes: [{use: shout}]
"""

WORKERS = """
import asyncio, os

async def shout(task):
    with open(os.path.join(os.path.dirname(__file__), "asked.txt"), "a") as file:
        file.write(task.id + chr(10))
    if os.path.exists(os.path.join(os.path.dirname(__file__), "slow")):
        await asyncio.sleep(60)
    return task.text.upper() * 40
"""

ON_A_SMALL_DISK = """
set -u
mkdir out
mount -t tmpfs -o size=$1k tmpfs out
[ $2 = 0 ] || head -c $2k /dev/zero > out/filler
$RUN 2> full.txt; echo $? > full.code
rm -f out/filler
mount -o remount,size=100m out
$RUN 2> mended.txt; echo $? > mended.code
mount -o remount,ro out
$RUN 2> readonly.txt; echo $? > readonly.code
cp out/output.jsonl .
"""

_USER = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
_UNSHARE = ["unshare", *_USER, "--mount"]


def may_mount() -> bool:
    try:
        return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "workers.py").write_text(WORKERS)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}"}) + "\n" for n in range(ROWS)))
    return tmp_path


def command(out: str = "out", mesh: str = "mesh.yaml") -> list[str]:
    return [str(Path(sys.executable).with_name("partsong")), "run", mesh, "in.jsonl", "-o", out, "--engine", "inline"]


def asked(home: Path) -> Counter[str]:
    path = home / "asked.txt"
    return Counter(path.read_text().split()) if path.exists() else Counter()


@pytest.mark.skipif(not may_mount(), reason="no right to mount")
@pytest.mark.parametrize(
    ("size_kb", "filled_kb", "code"),
    [(1000, 1000, "disk-full"), (1000, 900, "store-full"), (1000, 0, "disk-full|store-full")],
    ids=["full at the start", "full when the journal is made", "full in the middle"],
)
def test_a_run_goes_on_when_a_full_disk_has_room_again(size_kb: int, filled_kb: int, code: str, home: Path):
    script = ON_A_SMALL_DISK.replace("$RUN", " ".join(command()))
    subprocess.run([*_UNSHARE, "bash", "-c", script, "bash", str(size_kb), str(filled_kb)], cwd=home, check=True, timeout=60)
    told = (home / "full.txt").read_text()
    assert (home / "full.code").read_text() == "6\n"
    assert told.partition(":")[0] in code.split("|")
    assert "make room and run the same command again" in told
    assert (home / "mended.code").read_text() == "0\n"
    lines = [json.loads(line) for line in (home / "output.jsonl").read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == sorted(f"q{n}" for n in range(ROWS))
    assert asked(home).total() <= ROWS + IN_FLIGHT  # what could not be written down is asked again
    assert (home / "readonly.code").read_text() == "6\n"
    assert (home / "readonly.txt").read_text().startswith("not-writable: the folder cannot be written\n  at out\n  make it writable")


@contextmanager
def at_work(home: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that has begun and will not end by itself."""
    (home / "slow").touch()
    with subprocess.Popen(command(*arguments), cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            while not asked(home):
                assert driver.poll() is None
                time.sleep(0.01)
            yield driver
        finally:
            driver.kill()
            (home / "slow").unlink()


def test_a_second_driver_on_a_folder_is_told_process_and_host_of_the_first(home: Path):
    with at_work(home) as first:
        second = subprocess.run(command(), cwd=home, capture_output=True, text=True, check=False, timeout=30)
    assert second.returncode == 6
    assert second.stderr.startswith(f"run-locked: process {first.pid} on {os.uname().nodename} works in this folder\n  at out\n")
    done = subprocess.run(command(), cwd=home, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_a_journal_that_another_run_writes_is_refused_with_process_and_host(home: Path):
    (home / "shared.yaml").write_text(MESH + f'store: {{url: "sqlite:///{home}/shared.db"}}\n')
    with at_work(home, "out", "shared.yaml") as first:
        second = subprocess.run(command("other", "shared.yaml"), cwd=home, capture_output=True, text=True, check=False, timeout=30)
    assert second.returncode == 6
    assert f"store-owned: the journal is being written by process {first.pid} on {os.uname().nodename}" in second.stderr
