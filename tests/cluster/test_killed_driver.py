"""A run killed at a random moment and resumed: every row once, and no journalled call made again, by the upstream's own count."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from partsong.contracts import Completion
from partsong.errors import StoreError
from partsong.journal.sealed import CALLS
from partsong.journal.sqlite import SqliteStore

ROWS = 800
CALLS_A_ROW = 4
"""Of a row: two tiers of a cascade, then two members of an ensemble."""
ROWS_IN_FLIGHT = 2 * 3 * 32  # twice what the three models' workers take
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
  climb: {{cascade: [{{ask: small, trust: {{logprob: 0.99}}}}, {{ask: large}}]}}  # the upstream is never that sure: every row climbs
  checked: {{pipeline: [{{ask: climb}}, {{ask: panel, prompt: {{text: "Check: {{{{ previous }}}} for {{{{ task }}}}"}}}}]}}
routes: [{{use: checked}}]
"""


@pytest.fixture(scope="module")
def upstream():
    """Return the address of an OpenAI-compatible server in a process of its own."""
    command = [sys.executable, "-m", "providers.openai", "--latency", "0.02", "--key", "k"]
    server = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    yield server.stdout.readline().split()[-1]
    server.terminate()
    server.communicate(timeout=10)


def calls_at(upstream: str) -> Counter:
    """What the server was asked, by prompt."""
    with urllib.request.urlopen(upstream.removesuffix("/v1") + "/_stats", timeout=10) as response:
        return Counter(json.load(response)["calls"])


def calls_when_quiet(upstream: str) -> Counter:
    """What the server was asked, once the killed run's workers, which may outlive its journal by a moment, ask no more."""
    before = calls_at(upstream)
    while True:
        time.sleep(1.0)
        now = calls_at(upstream)
        if now == before:
            return now
        before = now


def journalled(journal: Path) -> Counter:
    """Calls that the journal holds with a completion, by model and row."""
    with closing(SqliteStore.open(journal, read_only=True)) as store:
        found = store._db.execute("select record from calls where answered = 1").fetchall()
    held: Counter = Counter()
    for (blob,) in found:
        [record] = CALLS.unpack(blob)
        assert isinstance(record.reply, Completion)
        held[record.row, record.step] += 1
    return held


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(10))
def test_a_killed_run_goes_on_and_pays_for_nothing_twice(upstream, tmp_path, seed):
    mesh, rows, out = tmp_path / "mesh.yaml", tmp_path / "in.jsonl", tmp_path / "out"
    mesh.write_text(MESH.format(url=upstream))
    rows.write_text("".join(json.dumps({"id": f"id-{n}", "prompt": f"seed {seed} row {n}"}) + "\n" for n in range(ROWS)))
    command = [PARTSONG, "run", mesh, rows, "-o", out, "--quiet"]
    environment = {**os.environ, "UPSTREAM_KEY": "k"}

    dice = random.Random(seed)
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    began_rows = dice.randrange(1, ROWS)
    while first.poll() is None and rows_done(out) < began_rows:
        time.sleep(0.01)
    time.sleep(dice.random() * 0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    assert first.returncode in (-signal.SIGKILL, 0)
    wait_until_nobody_writes(out / "journal.db")
    asked = calls_when_quiet(upstream)
    held = journalled(out / "journal.db")

    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 0, second.stderr

    ids = Counter(json.loads(line)["custom_id"] for line in (out / "output.jsonl").read_text().splitlines())
    assert ids == Counter({f"id-{n}": 1 for n in range(ROWS)})
    assert (out / "errors.jsonl").read_text() == ""

    again = calls_at(upstream) - asked
    mine = {prompt: count for prompt, count in again.items() if f"seed {seed} row" in prompt}
    assert (
        sum(held.values()) + sum(mine.values()) == CALLS_A_ROW * ROWS
    )  # the second session made exactly the calls that the journal lacked
    total = {prompt: count for prompt, count in calls_at(upstream).items() if f"seed {seed} row" in prompt}
    print(
        f"seed {seed}: killed after {began_rows} rows, {sum(held.values())} calls held, {sum(total.values())} made for {CALLS_A_ROW * ROWS}"
    )
    assert sum(total.values()) <= CALLS_A_ROW * (ROWS + ROWS_IN_FLIGHT)  # only what was not in the journal yet at the kill is asked twice


def rows_done(out: Path) -> int:
    """How many rows the journal of a run at work holds; 0 while there is none."""
    try:
        store = SqliteStore.open(out / "journal.db", read_only=True)
    except StoreError:
        return 0
    with closing(store):
        return store._db.execute("select count(*) from rows").fetchone()[0]


def wait_until_nobody_writes(journal: Path) -> None:
    """Ray's processes notice the driver's death within seconds; until then they may finish what is in flight."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            SqliteStore.open(journal).close()
        except StoreError as error:
            if error.code != "store-owned":
                raise
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the journal of a killed run is still being written")
