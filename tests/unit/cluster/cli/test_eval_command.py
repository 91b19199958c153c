"""`partsong eval`: whether combining pays, from recorded calls; where no honest answer is possible it gives none."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from partsong_cluster.cli import main

MESH = """\
version: 1
models:
  cheap: {adapter: recorded, file: outcomes.jsonl, price: {input: 1, output: 1}}
  dear: {adapter: recorded, file: outcomes.jsonl, price: {input: 10, output: 10}}
plans:
  known: {cascade: [{ask: duet, trust: {agreement: 1.0}}, {ask: dear}]}
  duet: {ensemble: {members: [cheap, dear], merge: {majority: {kind: exact}}, early: false}}
  thrice: {ensemble: {members: [dear, dear, dear], merge: {majority: {kind: exact}}, early: false}}
  thrifty: {frugal: {models: {cheap: {accuracy: 0.6, cost_usd: 0.00001}, dear: {accuracy: 0.9, cost_usd: 0.0001}}, kind: exact, options: 4}}
routes:
  - {when: {metadata: {kind: easy}}, use: cheap}
  - {use: dear}
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
    monkeypatch.setenv("COLUMNS", "400")
    Path("mesh.yaml").write_text(MESH)
    ask(120)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["partsong", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(ended.value.code or 0, printed.out, printed.err)

    return run


def ask(rows: int, *, expected: str | None = "yes", always: str | None = None) -> None:
    """Write questions, the odd ones easy, and what both models answered: `cheap` knows the easy ones, `dear` nine of ten."""
    dice = Random(5)
    questions, outcomes = [], []
    for n in range(rows):
        about = {} if expected is None else {"expected": expected, "grader": "exact"}
        questions.append({"id": str(n), "prompt": f"is it {n} times as large?", "kind": "easy" if n % 2 else "hard", **about})
        said = {("cheap", 0): n % 2 == 1, **{("dear", sample): dice.random() < 0.9 for sample in range(3)}}
        for (model, sample), right in said.items():
            answer = always or ("yes" if right else f"no {sample}")
            outcomes.append({"id": str(n), "model": model, "sample": sample, "answer": answer, "out_chars": 40, "in_chars": 40})
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    Path("outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outcomes))


def recorded(partsong: Partsong, *plans: str) -> list[str]:
    for plan in plans:
        assert partsong("run", "mesh.yaml", "in.jsonl", "-o", plan, "--engine", "inline", "--plan", plan, "-q").code == 0
    return list(plans)


def test_a_mesh_that_knows_which_rows_are_easy_pays(partsong: Partsong):
    found = partsong("eval", "mesh.yaml", *recorded(partsong, "cheap", "dear"), "--json").json
    assert (found["mesh"], found["pays"], found["rows"], found["covered"]) == ("mesh", "yes", 120, 120)
    best, mix = found["contenders"]
    assert best["about"].startswith("dear")
    assert best["saved"]["value"] == pytest.approx(0.45, abs=0.01)
    assert mix["cost_per_1000"]["value"] == pytest.approx(found["cost_per_1000"]["value"], rel=0.02)
    assert mix["gain"]["low"] > 0
    told = partsong("eval", "mesh.yaml", "cheap", "dear").out
    assert "Combining pays: mesh is right more often than a single model or a random mix of models at the same cost." in " ".join(
        told.split()
    )
    assert "Beside the best single model it is" in " ".join(told.split())
    assert "and it costs 45 % less (95 % interval " in " ".join(told.split())


def test_a_plan_that_asks_both_and_does_no_better_is_said_not_to_pay(partsong: Partsong):
    told = partsong("eval", "mesh.yaml", *recorded(partsong, "cheap", "dear"), "--plan", "duet")
    assert (told.code, "Combining does not pay here" in told.out) == (0, True)


def test_further_samples_are_compared_where_they_were_recorded_and_their_lack_is_said(partsong: Partsong):
    runs = recorded(partsong, "cheap", "dear")
    without = partsong("eval", "mesh.yaml", *runs, "--plan", "duet", "--json").json
    assert any("no further samples of dear were recorded" in doubt for doubt in without["doubts"])
    one_costs_as_much = partsong("eval", "mesh.yaml", *runs)  # no use in recording more of it, and it is said once
    assert "further samples" not in one_costs_as_much.out
    assert one_costs_as_much.out.count("not compared") == 1
    found = partsong("eval", "mesh.yaml", *runs, *recorded(partsong, "thrice"), "--plan", "thrice", "--json").json
    samples = next(one for one in found["contenders"] if one["name"] == "self-consistency")
    assert samples["cost_per_1000"]["value"] == pytest.approx(found["cost_per_1000"]["value"])
    assert samples["gain"]["value"] == pytest.approx(0.0, abs=0.02)
    assert found["pays"] != "yes"


def test_a_frugal_plan_is_drawn_at_several_levels(partsong: Partsong):
    found = partsong("eval", "mesh.yaml", *recorded(partsong, "cheap", "dear"), "--plan", "thrifty", "--json").json
    assert len(next(curve for curve in found["curves"] if curve["kind"] == "mesh")["points"]) > 3


def test_the_proof_is_written_as_a_page_with_its_plot(partsong: Partsong):
    assert partsong("eval", "mesh.yaml", *recorded(partsong, "cheap", "dear"), "-o", "proof.html").code == 0
    page = Path("proof.html").read_text()
    assert '<polyline class="curve mix"' in page
    assert "Combining pays" in page


def test_a_model_that_was_not_recorded_is_left_out_and_named(partsong: Partsong):
    found = partsong("eval", "mesh.yaml", *recorded(partsong, "dear"), "--plan", "dear", "--json").json
    assert [curve["name"] for curve in found["curves"] if curve["kind"] == "single"] == ["dear"]
    assert any(doubt.startswith("Left out, as recorded calls cover too few of the rows: cheap (0 %)") for doubt in found["doubts"])


def refusal(partsong: Partsong, *arguments: str) -> str:
    done = partsong("eval", "mesh.yaml", *arguments)
    assert done.code == 2
    assert not done.out
    return done.err


def test_rows_without_labels_prove_nothing(partsong: Partsong):
    ask(40, expected=None)
    assert "no-labels" in refusal(partsong, *recorded(partsong, "cheap", "dear"))


def test_three_rows_prove_nothing(partsong: Partsong):
    ask(3)
    assert "too-few-rows" in refusal(partsong, *recorded(partsong, "cheap", "dear"))


def test_answers_that_are_all_right_prove_nothing(partsong: Partsong):
    ask(40, always="yes")
    assert "one-class" in refusal(partsong, *recorded(partsong, "cheap", "dear"))


def test_questions_that_stand_again_and_labels_that_contradict_are_doubts_of_every_comparison(partsong: Partsong):
    lines = Path("in.jsonl").read_text()
    rows = [json.loads(line) for line in lines.splitlines()[:10]]
    asked = [*rows, *({**row, "id": f"again-{row['id']}", "expected": "no 0"} for row in rows)]
    answers = [
        {"id": row["id"], "model": model, "answer": "yes", "out_chars": 40, "in_chars": 40} for row in asked for model in ("cheap", "dear")
    ]
    Path("in.jsonl").write_text(lines + "".join(json.dumps(row) + "\n" for row in asked[10:]))
    Path("outcomes.jsonl").write_text(Path("outcomes.jsonl").read_text() + "".join(json.dumps(one) + "\n" for one in answers[20:]))
    runs = recorded(partsong, "duet")
    for command in (["eval", "mesh.yaml", *runs, "--plan", "duet"], ["replay", *runs, "--mesh", "mesh.yaml", "--plan", "duet"]):
        doubts = partsong(*command, "--json").json["doubts"]
        assert "Labels contradict each other on 10 questions: no answer is right to all rows of such a one." in doubts
        assert any(doubt.startswith("In 10 rows a question stands again") for doubt in doubts)


def test_calls_without_a_price_prove_nothing_about_money(partsong: Partsong):
    Path("mesh.yaml").write_text(
        MESH.replace("price: {input: 1, output: 1}", "retries: 0").replace("price: {input: 10, output: 10}", "retries: 1")
    )
    assert "no-prices" in refusal(partsong, *recorded(partsong, "cheap", "dear"))


def test_a_plan_that_was_never_recorded_is_no_mesh_to_prove(partsong: Partsong):
    assert "nothing-covered" in refusal(partsong, *recorded(partsong, "cheap"), "--plan", "dear")


def test_a_mesh_whose_routes_take_no_row_is_told_so(partsong: Partsong):
    Path("mesh.yaml").write_text(MESH.partition("routes:")[0])
    told = refusal(partsong, *recorded(partsong, "cheap", "dear"))
    assert "nothing-answered: mesh answers no row: no route takes this row" in told


def test_runs_over_other_rows_are_refused(partsong: Partsong):
    recorded(partsong, "cheap")
    ask(41)
    recorded(partsong, "dear")
    done = partsong("eval", "mesh.yaml", "cheap", "dear")
    assert (done.code, "runs-differ" in done.err) == (6, True)


def learned_from(partsong: Partsong, rows: int) -> str:
    """Learn from the first rows, record all 120, and return the mesh that goes by it."""
    ask(rows)
    runs = [str(Path(run).rename(f"lesson-{run}")) for run in recorded(partsong, "cheap", "dear")]
    assert partsong("learn", "mesh.yaml", *runs).code == 0
    ask(120)
    recorded(partsong, "cheap", "dear")
    Path("learned.yaml").write_text(MESH.replace("routes:", "learned: learned/\nroutes:"))
    return "learned.yaml"


def test_rows_that_a_mesh_was_learned_from_prove_nothing_of_it(partsong: Partsong):
    mesh = learned_from(partsong, 80)
    found = partsong("eval", mesh, "cheap", "dear", "--json").json
    assert found["rows"] == 40
    assert "80 of 120 rows were learned from, and figures on them would be memory: all that is told is of the other 40." in found["doubts"]
    assert partsong("eval", mesh, "cheap", "dear", "--plan", "dear", "--json").json["rows"] == 120


def test_a_mesh_is_not_judged_on_what_it_was_learned_from_alone(partsong: Partsong):
    done = partsong("eval", learned_from(partsong, 110), "cheap", "dear")
    assert (done.code, done.out) == (2, "")
    assert "learned-from: nothing can be proved of this mesh here: 110 of 120 rows were learned from" in done.err
    assert "the other 10 are too few to say anything" in done.err
