"""`partsong experiment`: what a user types, sees and gets back."""

import json
from pathlib import Path

import pytest
from partsong_cluster.cli import main

MESH = """\
version: 1
models:
  old: {adapter: recorded, file: outcomes.jsonl}
  new: {adapter: recorded, file: outcomes.jsonl}
experiments:
  trial: {split: {champion: old, challenger: new}}   # which?
routes: [{use: trial}]
"""
ROLLOUT = MESH.replace(
    "split: {champion: old, challenger: new}",
    "rollout: {champion: new, challenger: old, stages: [{share: 0.5, rows: 500}, {share: 1}], guardrails: {accuracy_drop: 0.01}}",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    lines, outcomes = [], []
    for n in range(120):
        lines.append({"id": f"q{n}", "prompt": "yes or no?", "expected": "yes"})
        outcomes += [{"id": f"q{n}", "model": "old", "answer": "yes" if n % 2 else "no"}, {"id": f"q{n}", "model": "new", "answer": "yes"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "outcomes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in outcomes))
    return tmp_path


@pytest.fixture
def partsong(capsys: pytest.CaptureFixture[str]):
    def typed(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return typed


@pytest.fixture
def ran(home, partsong):
    assert partsong("run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline", "-q")[0] == 0
    return home


def test_show_says_who_leads_and_json_says_the_same(ran, partsong):
    code, out, _ = partsong("experiment", "show", "out")
    assert code == 0
    assert "The challenger leads" in out
    code, out, _ = partsong("experiment", "show", "out", "--json")
    [standing] = json.loads(out)
    assert (code, standing["name"], standing["leads"], standing["tested"]) == (0, "trial", "challenger", 120)
    assert standing["words"][0].startswith("The challenger leads")
    assert {guard["name"]: guard["state"] for guard in standing["guards"]} == {"accuracy_drop": "within", "failure_rise": "within"}


def test_promote_keeps_the_evidence_and_the_next_run_obeys(ran, partsong):
    code, out, _ = partsong("experiment", "promote", "mesh.yaml", "trial", "--run", "out", "--json")
    decision = json.loads(out)
    assert (code, decision["arm"], decision["use"], decision["evidence"]["leads"]) == (0, "challenger", "new", "challenger")
    assert "# which?" in (ran / "mesh.yaml").read_text()
    assert partsong("run", "mesh.yaml", "in.jsonl", "-o", "later", "--engine", "inline", "-q")[0] == 0
    routes = {json.loads(line)["partsong"]["route"]["use"] for line in (ran / "later/output.jsonl").read_text().splitlines()}
    assert routes == {"new"}


def test_rollback_undoes_it_and_decisions_lists_both(ran, partsong):
    partsong("experiment", "promote", "mesh.yaml", "trial", "--reason", "better")
    code, out, _ = partsong("experiment", "rollback", "mesh.yaml", "trial", "--reason", "complaints")
    assert code == 0
    assert "trial: old (champion) answers every row from now on." in out
    _, out, _ = partsong("experiment", "decisions", "mesh.yaml", "--json")
    assert [(one["arm"], one["reason"]) for one in json.loads(out)] == [("challenger", "better"), ("champion", "complaints")]
    _, out, _ = partsong("experiment", "decisions", "mesh.yaml")
    assert "complaints" in out


def test_a_rollout_that_stopped_itself_stays_so_in_the_next_run_which_is_told(home, partsong):
    (home / "mesh.yaml").write_text(ROLLOUT)
    outcomes = [
        {"id": f"q{n}", "model": model, "answer": "yes" if model == "new" else "no"} for n in range(120) for model in ("old", "new")
    ]
    (home / "outcomes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in outcomes))
    _, _, err = partsong("run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline")
    assert "trial is stopped" in " ".join(err.split())
    assert "was stopped at" not in err
    [kept] = json.loads(partsong("experiment", "decisions", "mesh.yaml", "--json")[1])
    assert (kept["stopped"], kept["experiment"], kept["use"], kept["runs"]) == (True, "trial", "new", ["out"])
    assert "decided" not in (home / "mesh.yaml").read_text()
    _, _, err = partsong("run", "mesh.yaml", "in.jsonl", "-o", "later", "--engine", "inline", "--limit", "5")
    told = " ".join(err.split())
    assert "trial was stopped at" in told
    assert "partsong experiment rollback mesh.yaml trial --run=out" in told
    routes = {json.loads(line)["partsong"]["route"]["reason"] for line in (home / "later/output.jsonl").read_text().splitlines()}
    assert routes == {"rule 1: default; trial at 0 %: champion"}


def test_show_tells_that_a_rollout_stopped_itself_and_why_and_advises_nothing_more(home, partsong):
    (home / "mesh.yaml").write_text(ROLLOUT)
    wrong = (home / "outcomes.jsonl").read_text().replace('"old", "answer": "yes"', '"old", "answer": "no"')
    (home / "outcomes.jsonl").write_text(wrong)
    for out in ("out", "later"):
        partsong("run", "mesh.yaml", "in.jsonl", "-o", out, "--engine", "inline", "-q")
    shown = " ".join(partsong("experiment", "show", "out")[1].split())
    assert "The rollout stopped itself: trial is stopped, the champion answers every row from now on: accuracy -" in shown
    assert "one may stop" not in shown
    assert "with their waiting in the queue" in shown
    [standing] = json.loads(partsong("experiment", "show", "out", "--json")[1])
    assert standing["rollout"]["share"] == 0.0
    assert standing["rollout"]["stopped"].startswith("trial is stopped")
    later = " ".join(partsong("experiment", "show", "later")[1].split())
    assert "The rollout stopped itself: in an earlier run, as `partsong experiment decisions MESH` tells." in later
    assert "accuracy: cannot be measured, chance chose between the arms on no row" in later


def test_nothing_decided_is_said_and_a_run_without_experiments_is_an_error(home, partsong):
    assert partsong("experiment", "decisions", "mesh.yaml")[1] == "Nothing was decided yet.\n"
    (home / "plain.yaml").write_text("version: 1\nmodels:\n  old: {adapter: recorded, file: outcomes.jsonl}\n")
    partsong("run", "plain.yaml", "in.jsonl", "-o", "plain", "--engine", "inline", "-q")
    code, out, err = partsong("experiment", "show", "plain", "--json")
    assert (code, out) == (6, "")
    assert "no-experiment: the mesh of these runs has no `experiments`" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("promote", "mesh.yaml", "trial"), 2, "--reason"),
        (("promote", "mesh.yaml", "trial", "--reason", "  "), 2, "--reason"),
        (("promote", "mesh.yaml", "trail", "--reason", "x"), 2, "did you mean 'trial'?"),
        (("rollback", "nowhere.yaml", "trial", "--reason", "x"), 2, "no-such-file"),
        (("promote", "mesh.yaml", "trial", "--run", "nowhere"), 6, "no-run"),
        (("show", "nowhere"), 6, "no-run"),
        (("show",), 2, "RUN"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(home, partsong, arguments, code, says):
    found, _, err = partsong("experiment", *arguments)
    assert (found, says in err) == (code, True), err
    assert (home / "mesh.yaml").read_text() == MESH
    assert not (home / "experiments.jsonl").exists()


def test_a_name_that_no_run_has_is_an_error(ran, partsong):
    code, _, err = partsong("experiment", "show", "out", "--name", "trail")
    assert code == 6
    assert "no run has an experiment 'trail'" in err
