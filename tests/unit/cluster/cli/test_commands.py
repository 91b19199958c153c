"""The command line: what a user types, sees and gets back."""

import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from partsong_cluster.cli import main

from partsong.errors import RunError

MESH = """
version: 1
models:
  shout: {adapter: python, target: "workers:shout", price: {input: 1, output: 1}}
  slow: {adapter: python, target: "workers:slow", concurrency: 4}
routes: [{use: shout}]
"""

WORKERS = """
import asyncio, os

def _count(task):
    with open(os.path.join(os.path.dirname(__file__), "asked.txt"), "a") as file:
        file.write(task.id + chr(10))

async def shout(task):
    return task.text.upper() + "!"

async def slow(task):
    await asyncio.sleep(0.03)
    _count(task)
    return task.text
"""

RUN = ("run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Home:
    """A folder in which commands are typed."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._patch = patch
        self._capsys = capsys
        patch.chdir(folder)
        (folder / "mesh.yaml").write_text(MESH)
        (folder / "workers.py").write_text(WORKERS)

    def rows(self, count: int) -> "Home":
        lines = (json.dumps({"id": f"q{n}", "prompt": f"question {n}", "expected": f"QUESTION {n}!"}) for n in range(count))
        (self.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
        return self

    def partsong(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command in this process."""
        self._patch.setattr("sys.argv", ["partsong", *arguments])
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        return Done(ended.value.code or 0, printed.out, printed.err)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a command in a process of its own, to be disturbed."""
        script = "from partsong_cluster.cli import main; main()"
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def custom_ids(self) -> list[str]:
        return [json.loads(line)["custom_id"] for line in (self.folder / "out" / "output.jsonl").read_text().splitlines()]

    def asked(self) -> list[str]:
        path = self.folder / "asked.txt"
        return path.read_text().splitlines() if path.exists() else []

    def journalled(self) -> set[str]:
        """Return the rows of which the journal holds a call."""
        with closing(sqlite3.connect(self.folder / "out" / "journal.db")) as journal:
            return {f"q{row}" for (row,) in journal.execute("select row from calls")}

    def wait_for_calls(self, count: int) -> None:
        until = time.monotonic() + 30
        while len(self.asked()) < count:
            assert time.monotonic() < until, "no calls"
            time.sleep(0.005)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, monkeypatch, capsys)


def test_ask_prints_the_answer_alone(home: Home):
    done = home.partsong("ask", "mesh.yaml", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO!\n", "")


def test_ask_takes_the_question_from_standard_input(home: Home):
    assert home.partsong("ask", "mesh.yaml", "-", stdin="hello").stdout == "HELLO!\n"


def test_ask_explains_itself_on_standard_error(home: Home):
    done = home.partsong("ask", "mesh.yaml", "hello", "--explain")
    assert done.stdout == "HELLO!\n"
    assert "rule 1: default" in done.stderr
    assert "shout" in done.stderr


def test_ask_prints_json(home: Home):
    answer = json.loads(home.partsong("ask", "mesh.yaml", "hello", "--json").stdout)
    assert (answer["text"], answer["route"]["use"]) == ("HELLO!", "shout")


def test_ask_without_an_answer_says_why(home: Home):
    done = home.partsong("ask", "mesh.yaml", "hello", "--use", "shoot")
    assert done.returncode == 3
    assert "unknown-name" in done.stderr
    assert "did you mean 'shout'?" in done.stderr


def test_run_answers_every_row_and_says_what_it_came_to(home: Home):
    done = home.rows(30).partsong(*RUN)
    assert done.returncode == 0, done.stderr
    assert "30 answered, 0 failed" in done.stdout
    assert sorted(home.custom_ids()) == sorted(f"q{n}" for n in range(30))


def test_run_prints_its_summary_as_json(home: Home):
    done = home.rows(3).partsong(*RUN, "--json")
    assert json.loads(done.stdout) == json.loads((home.folder / "out" / "summary.json").read_text())


def test_quiet_says_nothing(home: Home):
    done = home.rows(3).partsong(*RUN, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_run_reads_standard_input(home: Home):
    done = home.partsong("run", "mesh.yaml", "-", "-o", "out", "--engine", "inline", "-q", stdin='{"id": "a", "prompt": "x"}\n')
    assert (done.returncode, home.custom_ids()) == (0, ["a"])


def test_bad_rows_make_the_exit_code_3(home: Home):
    (home.folder / "in.jsonl").write_text('{"prompt": "x"}\n{oops}\n')
    done = home.partsong(*RUN)
    assert done.returncode == 3
    assert "1 answered, 1 failed (bad-row 1)" in done.stdout


def test_a_dry_run_shows_routes_and_cost_and_makes_no_folder(home: Home):
    done = home.rows(10).partsong("run", "mesh.yaml", "in.jsonl", "--dry-run", "--json")
    forecast = json.loads(done.stdout)
    assert forecast["routes"]["shout"]["rows"] == 10
    assert forecast["routes"]["shout"]["most_usd"] > 0
    assert not (home.folder / "out").exists()


def test_a_budget_stops_with_its_own_exit_code_and_says_how_to_go_on(home: Home):
    done = home.rows(400).partsong(*RUN, "--plan", "shout", "--budget", "0.002")
    assert done.returncode == 4
    assert "Stopped by the run's budget of $0.002" in done.stderr
    assert "a larger --budget" in done.stderr


def test_rows_that_failed_are_said_to_be_left_and_can_be_asked_by_the_command_that_is_named(home: Home):
    (home.folder / "in.jsonl").write_text('{"id": "a", "prompt": "one"}\n{"id": "b", "prompt": 7}\n{"id": "c"}\n')
    done = home.partsong(*RUN)
    told, _, command = done.stderr.strip().splitlines()[-1].partition("; to ask them: ")
    assert told == "2 rows failed and are not asked again"
    assert command == "partsong run mesh.yaml out/errors.jsonl -o out-again"
    assert home.partsong(*command.split()[1:], "--engine", "inline").returncode == 3


def test_standard_input_is_said_to_go_uncompared_when_a_run_goes_on(home: Home):
    command = ("run", "mesh.yaml", "-", "-o", "out", "--engine", "inline")
    assert "cannot be compared" not in home.partsong(*command, stdin='{"prompt": "one"}\n').stderr
    assert "Standard input cannot be compared" in home.partsong(*command, stdin='{"prompt": "one"}\n').stderr


TRACED = MESH + "telemetry: {file: traces.jsonl}\n"


def test_trace_draws_a_row_and_says_of_any_other_place_that_there_is_no_run(home: Home):
    (home.folder / "mesh.yaml").write_text(TRACED)
    home.rows(2).partsong(*RUN, "-q")
    assert "call shout" in home.partsong("trace", "out", "q1").stdout
    for place in (".", "in.jsonl", "nowhere"):
        done = home.partsong("trace", place, "q1")
        assert (done.returncode, "no-run" in done.stderr) == (6, True)


def test_trace_finds_the_spans_that_several_runs_keep_beside_them(home: Home):
    (home.folder / "mesh.yaml").write_text(TRACED)
    home.rows(2).partsong(*RUN, "-q")
    home.partsong("run", "mesh.yaml", "in.jsonl", "-o", "out2", "--engine", "inline", "--use", "slow", "-q")
    (home.folder / "traces").mkdir()
    for place, found in enumerate([*home.folder.glob("out*/traces*.jsonl")]):
        found.rename(home.folder / "traces" / f"traces-{place}.jsonl")
    assert "call shout" in home.partsong("trace", "out", "q1").stdout
    assert "call slow" in home.partsong("trace", "out2", "q1").stdout
    assert "call slow" in home.partsong("trace", "out2", "1").stdout


def test_fresh_takes_away_traces_and_metrics_of_the_run_before(home: Home):
    (home.folder / "mesh.yaml").write_text(TRACED)
    home.rows(1).partsong(*RUN, "-q")
    old = home.folder / "out" / "traces-elsewhere-1.jsonl"
    old.write_bytes(next((home.folder / "out").glob("traces*.jsonl")).read_bytes())
    metrics = home.folder / "out" / "metrics-elsewhere-1.jsonl"
    metrics.write_bytes(next((home.folder / "out").glob("metrics*.jsonl")).read_bytes())
    home.partsong(*RUN, "-q", "--fresh")
    assert not old.exists()
    assert not metrics.exists()


@pytest.mark.parametrize("option", ["--use", "--plan", "--model"])
def test_run_and_ask_know_the_model_by_the_same_options(home: Home, option: str):
    assert home.rows(1).partsong(*RUN, option, "shout").returncode == 0
    assert home.partsong("ask", "mesh.yaml", "hello", option, "shout").stdout == "HELLO!\n"


def test_a_budget_is_refused_where_a_model_has_no_price(home: Home):
    done = home.rows(1).partsong(*RUN, "--budget", "1")
    assert done.returncode == 2
    assert "no-price: slow has no price" in done.stderr


def test_a_deadline_stops_with_its_own_exit_code(home: Home):
    done = home.rows(400).partsong(*RUN, "--plan", "slow", "--deadline", "500ms")
    assert done.returncode == 5


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_calls_finish_and_says_how_to_go_on(home: Home, signal_number: int):
    run = home.rows(400).start(*RUN, "--plan", "slow")
    home.wait_for_calls(20)
    run.send_signal(signal_number)
    _, stderr = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "To go on:" in stderr
    assert sorted(home.custom_ids()) == sorted(home.asked())
    assert home.partsong(*RUN, "--plan", "slow", "-q").returncode == 0
    assert Counter(home.asked()) == Counter(f"q{n}" for n in range(400))


@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_at_any_moment_gives_every_row_once(home: Home, seed: int):
    run = home.rows(300).start(*RUN, "--plan", "slow")
    home.wait_for_calls(random.Random(seed).randrange(5, 60))
    run.kill()
    run.communicate(timeout=30)
    journalled = home.journalled()
    before = Counter(home.asked())
    assert home.partsong(*RUN, "--plan", "slow", "-q").returncode == 0
    assert sorted(home.custom_ids()) == sorted(f"q{n}" for n in range(300))
    again = Counter(home.asked()) - before
    assert not again.keys() & journalled


def test_a_second_driver_is_refused_by_the_first_ones_number(home: Home):
    first = home.rows(300).start(*RUN, "--plan", "slow")
    home.wait_for_calls(1)
    second = home.partsong(*RUN, "--plan", "slow")
    first.kill()
    first.communicate(timeout=30)
    assert second.returncode == 6
    assert f"run-locked: process {first.pid} on " in second.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(home: Home):
    home.folder.chmod(0o500)
    done = home.rows(1).partsong(*RUN)
    home.folder.chmod(0o700)
    assert done.returncode == 6


def test_an_output_that_is_a_file_is_an_error(home: Home):
    (home.folder / "out").touch()
    done = home.rows(1).partsong(*RUN)
    assert done.returncode == 6
    assert "name another folder with -o" in done.stderr


def test_compare_grades_runs_by_the_labels_in_their_input(home: Home):
    home.rows(5).partsong(*RUN, "-q")
    home.partsong("run", "mesh.yaml", "in.jsonl", "-o", "out2", "--engine", "inline", "--plan", "slow", "-q")
    done = home.partsong("compare", "out", "out2", "--grade", "exact", "--json")
    assert [(run["plan"], run["accuracy"]) for run in json.loads(done.stdout)] == [("out", 1.0), ("out2 (slow)", 0.0)]
    assert "100 %" in home.partsong("compare", "out", "--grade", "exact").stdout


def test_compare_grades_by_the_rows_own_grader_unless_told_otherwise_and_names_it(home: Home):
    (home.folder / "in.jsonl").write_text('{"id": "a", "prompt": "it is 12", "expected": 12, "grader": "number"}\n')
    home.partsong(*RUN, "-q")
    (one,) = json.loads(home.partsong("compare", "out", "--json").stdout)
    assert (one["accuracy"], one["graded_by"]) == (1.0, ["number"])
    (one,) = json.loads(home.partsong("compare", "out", "--grade", "exact", "--json").stdout)
    assert (one["accuracy"], one["graded_by"]) == (0.0, ["exact"])


def test_compare_says_how_many_rows_show_a_difference_that_one_would_act_on(home: Home):
    for folder, model in (("a", "shout"), ("b", "slow")):
        home.rows(40).partsong("run", "mesh.yaml", "in.jsonl", "-o", folder, "--engine", "inline", "--model", model, "-q")
    best, other = json.loads(home.partsong("compare", "a", "b", "--grade", "exact", "--wanted", "2", "--json").stdout)
    assert best["wanted"] is None
    assert (other["wanted"]["difference"], other["wanted"]["rows_needed"] > 1000) == (0.02, True)
    told = home.partsong("compare", "a", "b", "--grade", "exact", "--wanted", "2").stdout
    assert "If b (slow) differs from the best single model by 2 points, these 40 rows show it" in " ".join(told.split())


def test_compare_complains_of_an_expected_field_that_no_row_has(home: Home):
    home.rows(2).partsong(*RUN, "-q")
    done = home.partsong("compare", "out", "--expected", "intent")
    assert done.returncode == 2
    assert "no row has 'intent' in its metadata" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "mesh.yaml", "nope.jsonl", "-o", "out"), 2, "no-input: there is no such file"),
        (("run", "nope.yaml", "in.jsonl", "-o", "out"), 2, "nope.yaml"),
        (("run", "mesh.yaml", "in.jsonl"), 2, "name the run's folder"),
        (("run", "mesh.yaml", "in.jsonl", "-o", "out", "--plan", "shoot"), 2, "did you mean 'shout'?"),
        (("run", "mesh.yaml", "in.jsonl", "-o", "out", "--deadline", "3x"), 2, "is not a duration"),
        (("compare", "nowhere"), 6, "there is no run in this folder"),
        (("ask", "mesh.yaml", " "), 2, "the question is empty"),
    ],
)
def test_an_error_says_what_where_and_what_to_do_and_shows_no_traceback(home: Home, arguments: tuple[str, ...], code: int, says: str):
    done = home.rows(1).partsong(*arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(home: Home):
    with pytest.raises(RunError, match="there is no run"):
        main(["compare", "nowhere", "--debug"])


@pytest.mark.parametrize("name", ["run", "ask", "compare", "trace"])
def test_every_command_has_help_with_examples(home: Home, name: str):
    done = home.partsong(name, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_help_does_not_import_what_is_heavy(home: Home):
    script = "import sys; from partsong_cluster.cli.app import app; print({'ray', 'pyarrow', 'fsspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "set()\n"
