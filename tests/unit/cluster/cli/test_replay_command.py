"""`partsong replay`: another plan over recorded traffic; nothing is asked, and what was not recorded is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from partsong_cluster.cli import main

MESH = """\
version: 1
models:
  cheap: {adapter: python, target: "voices:cheap"}
  dear: {adapter: python, target: "voices:dear"}
  broken: {adapter: python, target: "voices:broken", retries: 0}
plans:
  tiers: {cascade: [{ask: cheap, trust: {confidence: 0.5}}, {ask: dear}]}
  patient: {cascade: [{ask: broken, trust: {confidence: 0.5}}, {ask: dear}]}
  duet: {ensemble: {members: [cheap, dear], merge: majority, early: false}}
routes: [{use: tiers}]
"""
VOICES = """\
from pathlib import Path
from partsong import Completion, Failure, FailureCode
from partsong.contracts import Timing

def said(task, text, sure):
    with Path("asked.txt").open("a") as asked:
        asked.write(task.id + "\\n")
    return Completion(text=text, model="m", timing=Timing(total_s=0.25), confidence=sure)

def cheap(task): return said(task, "yes" if int(task.id) % 2 else "no", 0.9 if int(task.id) % 2 else 0.1)
def dear(task): return said(task, "yes", 0.9)
def broken(task):
    said(task, "", 0.0)
    return Failure(code=FailureCode.CONTENT_FILTER, message="not this", where="broken")
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


Partsong = Callable[..., Done]


@pytest.fixture
def partsong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Partsong:
    monkeypatch.chdir(tmp_path)
    Path("mesh.yaml").write_text(MESH)
    Path("voices.py").write_text(VOICES)
    rows = ({"id": str(n), "prompt": f"is {n} odd or even?", "expected": "yes", "grader": "exact"} for n in range(40))
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["partsong", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(ended.value.code or 0, printed.out, printed.err)

    return run


def recorded(partsong: Partsong, folder: str, plan: str) -> int:
    """Run a plan, and return how many calls have been made since the start."""
    assert partsong("run", "mesh.yaml", "in.jsonl", "-o", folder, "--engine", "inline", "--plan", plan, "-q").code == 0
    return asked()


def asked() -> int:
    return len(Path("asked.txt").read_text().splitlines())


def test_the_same_plan_comes_to_the_same_without_a_call(partsong: Partsong):
    calls = recorded(partsong, "out", "tiers")
    found = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json
    assert asked() == calls == 60
    assert (found["covered"]["value"], found["missing"]) == (1.0, {})
    for name in ("rows", "right", "escalated", "reached", "prompt_tokens", "calls_per_row"):
        assert found["replayed"][name] == found["recorded"][name]


def test_a_row_takes_as_long_as_its_recorded_calls_one_after_another_or_side_by_side(partsong: Partsong):
    recorded(partsong, "out", "duet")
    tiers = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json["replayed"]
    duet = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "duet", "--json").json["replayed"]
    assert (tiers["latency_p50_s"], tiers["latency_p95_s"]) == pytest.approx((0.25, 0.5), rel=0.02)
    assert (duet["latency_p50_s"], duet["latency_p95_s"]) == pytest.approx((0.25, 0.25), rel=0.02)


def test_a_call_that_was_not_recorded_is_said_and_its_row_counts_for_nothing(partsong: Partsong):
    recorded(partsong, "out", "tiers")
    found = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "dear", "--json").json
    assert (found["covered"]["value"], found["missing"]) == (0.5, {"dear": 20})
    assert (found["replayed"]["rows"], found["replayed"]["not_covered"], found["replayed"]["failed"]) == (20, 20, 0)
    assert found["replayed"]["accuracy"] == 1.0
    told = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "dear").out
    assert "cover 50.0 % of 40 rows; the others needed calls that were not" in told
    assert "may" in told


def test_no_answer_is_made_up_by_voting_without_the_missing_call(partsong: Partsong):
    recorded(partsong, "out", "cheap")
    assert partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "duet").code == 2
    found = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json
    assert found["missing"] == {"dear": 20}


def test_a_recorded_failure_fails_again_and_is_climbed_past(partsong: Partsong):
    calls = recorded(partsong, "out", "patient")
    found = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "patient", "--json").json
    assert asked() == calls
    assert (found["covered"]["value"], found["replayed"]["accuracy"], found["replayed"]["escalated"]) == (1.0, 1.0, 40)


def test_calls_of_further_runs_over_the_same_rows_answer_too(partsong: Partsong):
    recorded(partsong, "a", "cheap")
    recorded(partsong, "b", "dear")
    assert partsong("replay", "a", "b", "--mesh", "mesh.yaml", "--plan", "duet", "--json").json["covered"]["value"] == 1.0


def test_calls_of_a_run_that_is_not_named_answer_nothing_though_it_shares_the_store(partsong: Partsong):
    Path("mesh.yaml").write_text(f"{MESH}store: {{url: 'sqlite:///{Path.cwd()}/journal.db', cache: true}}\n")
    recorded(partsong, "a", "cheap")
    calls = recorded(partsong, "b", "dear")
    assert partsong("replay", "a", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json["missing"] == {"dear": 20}
    assert partsong("replay", "a", "b", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json["covered"]["value"] == 1.0
    assert recorded(partsong, "c", "duet") == calls
    assert partsong("replay", "c", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json["covered"]["value"] == 1.0


def test_all_runs_that_are_named_are_baselines(partsong: Partsong):
    recorded(partsong, "a", "cheap")
    recorded(partsong, "b", "dear")
    told = " ".join(partsong("replay", "a", "b", "--mesh", "mesh.yaml", "--plan", "tiers", "-o", "replayed").out.split())
    assert "The best single model on these rows is b (dear): right on 100" in told
    assert "replayed (tiers)" in told
    assert "replayed (tiers) replayed" not in told


def test_a_run_called_as_the_plan_is_told_from_its_replay_without_any_path(partsong: Partsong):
    recorded(partsong, "tiers", "tiers")
    told = " ".join(partsong("replay", "tiers", "--mesh", "mesh.yaml", "--plan", "tiers").out.split())
    assert "tiers replayed" in told
    assert "/tiers" not in told


def test_runs_over_different_inputs_are_said_not_to_be_compared_in_the_last_line(partsong: Partsong):
    recorded(partsong, "a", "cheap")
    Path("in.jsonl").write_text(Path("in.jsonl").read_text().replace("odd or even", "even or odd"))
    recorded(partsong, "b", "dear")
    assert "of the same input were compared row by row" in " ".join(partsong("compare", "a", "b").out.strip().splitlines()[-2:])


def test_without_a_plan_the_meshs_routes_decide_whatever_the_run_was_told_to_use(partsong: Partsong):
    recorded(partsong, "out", "duet")
    assert partsong("replay", "out", "--mesh", "mesh.yaml", "--json").json["replayed"]["routes"] == {"rule 1: default": 40}


def test_a_replay_that_is_kept_is_a_run_to_compare_and_may_be_replayed_over(partsong: Partsong):
    recorded(partsong, "out", "duet")
    for _ in range(2):
        assert partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "dear", "-o", "what-if").code == 0
    first, second = json.loads(partsong("compare", "out", "what-if", "--json").out)
    assert (first["plan"], second["plan"]) == ("out (duet)", "what-if (dear) replayed")
    assert first["against_best"]["gain"]["n"] == 40


def test_a_run_that_was_paid_for_is_never_replaced(partsong: Partsong):
    recorded(partsong, "out", "cheap")
    done = partsong("replay", "out", "--mesh", "mesh.yaml", "--plan", "cheap", "-o", "out")
    assert (done.code, "not-a-replay" in done.err) == (6, True)
    assert partsong("compare", "out", "--json").code == 0


def test_runs_over_other_rows_are_refused(partsong: Partsong):
    recorded(partsong, "a", "cheap")
    Path("in.jsonl").write_text('{"id": "1", "prompt": "other"}\n')
    recorded(partsong, "b", "dear")
    done = partsong("replay", "a", "b", "--mesh", "mesh.yaml")
    assert (done.code, "runs-differ" in done.err) == (6, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("out", "--mesh", "mesh.yaml", "--plan", "broken"), 2, "nothing-covered"),
        (("out", "--mesh", "mesh.yaml", "--plan", "nobody"), 2, "is called 'nobody'"),
        (("out", "--mesh", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("nowhere", "--mesh", "mesh.yaml"), 6, "there is no run in this folder"),
        (("out",), 2, "--mesh"),
    ],
)
def test_what_cannot_be_replayed_is_an_error(partsong: Partsong, arguments: tuple[str, ...], code: int, says: str):
    recorded(partsong, "out", "cheap")
    done = partsong("replay", *arguments)
    assert done.code == code
    assert says in done.err


def learned_mesh(partsong: Partsong) -> str:
    """Learn from all 40 rows, then let twenty more be asked, and return the mesh that goes by what was learned."""
    recorded(partsong, "lesson", "duet")
    assert partsong("learn", "mesh.yaml", "lesson").code == 0
    rows = ({"id": str(n), "prompt": f"is {n} odd or even?", "expected": "yes", "grader": "exact"} for n in range(80))
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recorded(partsong, "out", "duet")
    Path("learned.yaml").write_text(MESH.replace("routes:", "learned: learned/\nroutes:").replace("- {use: tiers}", "- {use: cheap}"))
    return "learned.yaml"


MEMORY = "40 of 80 rows were learned from, and figures on them would be memory: all that is told is of the other 40."


def test_a_replay_is_not_graded_on_what_its_mesh_was_learned_from(partsong: Partsong):
    mesh = learned_mesh(partsong)
    found = partsong("replay", "out", "--mesh", mesh, "--json", "-o", "what-if").json
    assert found["doubts"] == [MEMORY]
    for line in (found["replayed"], found["recorded"]):  # every figure is of the same rows: costs and latencies, too
        assert (line["rows"], line["graded"], line["figures"]["success"]["n"]) == (40, 40, 40)
    assert found["covered"]["n"] == 80
    assert MEMORY in " ".join(partsong("replay", "out", "--mesh", mesh).out.split())


def test_compare_finds_what_a_runs_mesh_was_learned_from_or_says_that_it_cannot(partsong: Partsong):
    partsong("replay", "out", "--mesh", learned_mesh(partsong), "-o", "what-if")
    assert partsong("compare", "out").err == ""
    compared = partsong("compare", "out", "what-if", "--json")
    assert ([(line["rows"], line["graded"]) for line in compared.json], MEMORY in compared.err) == ([(40, 40), (40, 40)], True)
    Path("learned").rename("elsewhere")
    told = " ".join(partsong("compare", "what-if").out.split())
    assert "what-if goes by what was learned, and that is not beside its mesh file any more" in told


@pytest.mark.parametrize(
    ("limit", "came_to"),
    [
        ({"max_calls": 1}, (1.0, 20, {})),  # of 40 rows 20 would climb to the second tier; they keep the first one's answer
        ({"deadline": 300}, (1.5, 20, {"deadline": 20})),  # each call says that it took 250 s
        ({"deadline": 600, "max_calls": 2}, (1.5, 40, {})),
    ],
)
def test_a_rows_own_limits_bind_by_what_its_calls_cost_and_took(partsong: Partsong, limit: dict, came_to: tuple):
    rows = [json.loads(row) for row in Path("in.jsonl").read_text().splitlines()]
    Path("in.jsonl").write_text("".join(json.dumps({**row, "constraints": limit}) + "\n" for row in rows))
    Path("voices.py").write_text(VOICES.replace("total_s=0.25", "total_s=250"))
    for model in ("cheap", "dear"):
        recorded(partsong, model, model)
    line = partsong("replay", "cheap", "dear", "--mesh", "mesh.yaml", "--plan", "tiers", "--json").json["replayed"]
    assert (line["rows"], line["calls_per_row"], line["right"], line["failures"]) == (40, *came_to)
