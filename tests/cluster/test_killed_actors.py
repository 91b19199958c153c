"""Any actor's process killed at a random moment of a run: it costs time, not rows, and no journalled call is made again."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from partsong_cluster.engines import open_engine

from partsong.contracts import Completion, Row, Task
from partsong.errors import StoreError
from partsong.journal.sealed import CALLS
from partsong.journal.sqlite import SqliteStore
from partsong.mesh import load_mesh, secrets_of

ROWS = 800
IN_FLIGHT = 3 * 32
"""Calls in flight at once, by the mesh's three models."""
PARTSONG = Path(sys.executable).with_name("partsong")
TESTS = Path(__file__).parent.parent
MESH = """\
version: 1
models:
  small: &upstream
    adapter: openai
    model: small
    base_url: {url}
    api_key: {{env: UPSTREAM_KEY}}
    price: {{input: 0.1, output: 0.2}}
    concurrency: 32
  medium: {{<<: *upstream, model: medium}}
  large: {{<<: *upstream, model: large}}
plans:
  panel: {{ensemble: {{members: [small, medium], merge: majority}}}}
  always: {{pipeline: [{{ask: panel}}, {{ask: large, prompt: {{text: "Check: {{{{ previous }}}} for {{{{ task }}}}"}}}}]}}
routes: [{{use: always}}]
"""
TITLES = {
    "worker": "ray::_ModelWorker",
    "pool": "ray::_ModelPool",
    "coordinator": "ray::_CoordinatorActor",
    "synthesizer": "ray::_SynthesizerActor",
    "journal": "ray::_JournalActor",
}
"""What Ray calls the actors' processes."""
LOSES_CALLS = ("worker", "coordinator")
"""Actors whose death takes calls in flight along."""


@pytest.fixture(scope="module")
def upstream():
    """Return the address of an OpenAI-compatible server in a process of its own."""
    command = [sys.executable, "-m", "providers.openai", "--latency", "0.05", "--key", "k"]
    server = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kills", [pytest.param(1, id="once"), pytest.param(3, id="thrice", marks=pytest.mark.chaos)])
@pytest.mark.parametrize("actor", TITLES)
def test_a_killed_actor_costs_time_and_no_row(upstream, tmp_path, request, actor, kills):
    mark = f"{actor} {kills}"
    mesh, rows, out = tmp_path / "mesh.yaml", tmp_path / "in.jsonl", tmp_path / "out"
    mesh.write_text(MESH.format(url=upstream))
    rows.write_text("".join(json.dumps({"id": f"id-{n}", "prompt": f"killed {mark} row {n}"}) + "\n" for n in range(ROWS)))
    command = [PARTSONG, "run", mesh, rows, "-o", out, "--quiet", "--concurrency", str(IN_FLIGHT)]
    environment = {**os.environ, "UPSTREAM_KEY": "k"}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    request.addfinalizer(run.kill)

    dice = random.Random(mark)
    settled: dict[str, int] = {}
    recovered_s = []
    for _ in range(kills):
        wait_until_done(rows_done(out) + dice.randrange(1, ROWS // 2 // kills), out, run)
        time.sleep(dice.random() * 0.2)
        victim = dice.choice(pids_of(TITLES[actor]))
        settled |= counts_of(rows_settled(out), calls_at(upstream), mark)
        done = rows_done(out)
        os.kill(victim, signal.SIGKILL)
        killed_s = time.monotonic()
        wait_until_done(min(done + IN_FLIGHT, ROWS), out, run)
        recovered_s.append(round(time.monotonic() - killed_s, 1))
    _, said = run.communicate(timeout=100)
    assert run.returncode == 0, said

    ids = Counter(json.loads(line)["custom_id"] for line in (out / "output.jsonl").read_text().splitlines())
    assert ids == Counter({f"id-{n}": 1 for n in range(ROWS)})
    assert (out / "errors.jsonl").read_text() == ""
    assert calls_held(out / "journal.db") == 3 * ROWS
    asked = calls_at(upstream)
    assert {prompt: asked[prompt] for prompt in settled} == settled  # what the journal held at a kill was never asked again
    again = sum(count for prompt, count in asked.items() if f"killed {mark} row" in prompt) - 3 * ROWS
    print(f"{mark}: {again} calls asked again, {IN_FLIGHT} more rows done {recovered_s} s after")
    if actor in LOSES_CALLS:
        assert again <= kills * 2 * IN_FLIGHT  # a row has two calls at most that are in flight, or ended and not yet on disk
    else:
        assert again == 0
    assert not [pid for title in TITLES.values() for pid in pids_of(title, 0.0)]


@pytest.mark.chaos
@pytest.mark.timeout(120)
async def test_no_permit_is_lost_with_a_pool_or_a_coordinator(upstream, tmp_path):
    """A model takes two calls at a time; a permit that went with a process would halve it, two would stop it."""
    mesh = tmp_path / "mesh.yaml"
    mesh.write_text(MESH.format(url=upstream).replace("concurrency: 32", "concurrency: 2"))
    loaded = load_mesh(mesh, env={"UPSTREAM_KEY": "k"})
    secrets = secrets_of(loaded.mesh.models, {"UPSTREAM_KEY": "k"}, loaded.folder)
    dice = random.Random(0)
    async with open_engine("ray", loaded, tmp_path, secrets=secrets, coordinators=3) as engine:

        async def answered(rows: range) -> list[str]:
            asked = [engine.answer(Row(run="run", row=n, task=Task.of(f"no permit lost {n}", id=str(n)))) for n in rows]
            return [type(outcome.reply).__name__ for outcome in await asyncio.gather(*asked)]

        await answered(range(20))
        for n, actor in enumerate(["pool", "coordinator", "pool", "coordinator", "pool"], start=1):
            under_way = asyncio.create_task(answered(range(100 * n, 100 * n + 40)))
            await asyncio.sleep(dice.random())
            os.kill(dice.choice(pids_of(TITLES[actor])), signal.SIGKILL)
            assert await asyncio.wait_for(under_way, 60) == ["Answer"] * 40
        assert len(pids_of(TITLES["worker"])) == 3
    assert not [pid for title in TITLES.values() for pid in pids_of(title, 0.0)]


def wait_until_done(rows: int, out: Path, run: subprocess.Popen) -> None:
    deadline_s = time.monotonic() + 90  # Ray's first start on a busy machine takes most of it
    while rows_done(out) < rows and run.poll() is None:
        assert time.monotonic() < deadline_s, "the run stands still"
        time.sleep(0.01)


def rows_done(out: Path) -> int:
    """How many rows the journal of a run at work holds; 0 while there is none."""
    try:
        store = SqliteStore.open(out / "journal.db", read_only=True)
    except StoreError:
        return 0
    with closing(store):
        return store._db.execute("select count(*) from rows").fetchone()[0]


def rows_settled(out: Path) -> dict[int, int]:
    """How many calls the journal holds of each row."""
    with closing(SqliteStore.open(out / "journal.db", read_only=True)) as store:
        return dict(store._db.execute("select row, count(*) from calls group by row").fetchall())


def counts_of(held: Mapping[int, int], asked: Mapping[str, int], mark: str) -> dict[str, int]:
    """How often the server was asked what is settled: a row's first prompt when the panel's two calls are held, its last when all are."""
    ours = {prompt: int(prompt.split()[-1]) for prompt in asked if f"killed {mark} row" in prompt}
    return {prompt: asked[prompt] for prompt, row in ours.items() if held.get(row, 0) >= (3 if prompt.startswith("Check") else 2)}


def calls_held(journal: Path) -> int:
    """How many calls the journal holds with a completion."""
    with closing(SqliteStore.open(journal, read_only=True)) as store:
        replies = [CALLS.unpack(blob)[0].reply for (blob,) in store._db.execute("select record from calls")]
    return sum(isinstance(reply, Completion) for reply in replies)


def calls_at(upstream: str) -> Counter:
    """What the server was asked, by prompt."""
    with urllib.request.urlopen(upstream.removesuffix("/v1") + "/_stats", timeout=10) as response:
        return Counter(json.load(response)["calls"])


def pids_of(title: str, within_s: float = 10.0) -> list[int]:
    """Processes that Ray titles so (the title goes on with the method at work), as soon as there are any."""
    until_s = time.monotonic() + within_s
    while not (found := [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and titled(entry, title)]):
        if time.monotonic() > until_s:
            break
        time.sleep(0.01)
    return found


def titled(process: Path, title: str) -> bool:
    try:
        return (process / "cmdline").read_bytes().startswith(title.encode())
    except OSError:  # ended meanwhile
        return False
