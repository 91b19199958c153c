"""`partsong learn`, `matrix` and `feedback` on recorded runs; nothing is asked."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from embedding_builders import embedding_model
from partsong_cluster import Verdict, rate
from partsong_cluster.cli import main

from partsong.errors import InputError
from partsong.learning.saved import load_learned

MESH = """\
version: 1
models:
  good: {adapter: python, target: "voices:good", price: {input: 0, output: 1000}, accepts: [text, image]}
  fair: {adapter: python, target: "voices:fair", price: {input: 0, output: 100}}
  free: {adapter: python, target: "voices:free"}
plans:
  duet: {ensemble: {members: [good, fair, free], merge: majority, early: false}}
routes: [{use: duet}]
"""
VOICES = """\
from partsong import Completion
from partsong.contracts import Timing

def said(right, cost_usd):
    return Completion(text="yes" if right else "no", model="m", cost_usd=cost_usd, timing=Timing(total_s=0.25))

def good(task): return said(int(task.id) % 10 != 0, 0.001)
def fair(task): return said(int(task.id) % 2, 0.0001)
def free(task): return said(int(task.id) % 3, 0.0)
"""
ROWS = 45


class Done(NamedTuple):
    code: int
    out: str
    err: str


Partsong = Callable[..., Done]


@pytest.fixture
def partsong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Partsong:
    monkeypatch.chdir(tmp_path)
    Path("mesh.yaml").write_text(MESH)
    Path("voices.py").write_text(VOICES)

    def partsong(*arguments: str) -> Done:
        capsys.readouterr()
        code = 0
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        return Done(code, *capsys.readouterr())

    return partsong


def ran(partsong: Partsong, folder: str = "out", rows: int = ROWS, **metadata: object) -> str:
    """Let the plan answer so many rows; each asks all three models."""
    lines = ({"id": str(n), "prompt": f"is {n} odd or even, and why?", **metadata} for n in range(rows))
    Path(f"{folder}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert partsong("run", "mesh.yaml", f"{folder}.jsonl", "-o", folder, "--engine", "inline", "-q").code == 0
    return folder


def test_learning_from_a_run_writes_what_a_mesh_can_name(partsong: Partsong):
    done = partsong("learn", "mesh.yaml", ran(partsong, expected="yes", kind="parity"), "-o", "learned", "--json")
    told = json.loads(done.out)
    assert (done.code, told["rows"], told["source"], told["best_single"]) == (0, ROWS, "labels", "good")
    assert told["kinds"] == ["parity"]
    assert told["figures"] == []
    assert any("too few to keep some back" in warning for warning in told["warnings"])
    assert load_learned(Path("learned")).policies.frugal
    Path("learned.yaml").write_text(MESH.replace("routes:", "  thrifty: {frugal: best}\nlearned: learned/\nroutes:"))
    assert partsong("ask", "learned.yaml", "is 3 odd?", "--use", "thrifty").out.strip() == "yes"


def test_of_models_that_cost_nothing_no_ensemble_is_learned_and_that_is_said(partsong: Partsong):
    Path("voices.py").write_text(VOICES.replace("0.001", "0.0"))
    told = json.loads(partsong("learn", "mesh.yaml", ran(partsong, expected="yes"), "--json").out)
    assert any("costs nothing" in warning for warning in told["warnings"])


def test_a_mesh_that_already_names_what_is_not_learned_yet_can_learn_and_is_told_in_words(partsong: Partsong):
    run = ran(partsong, expected="yes")
    Path("ahead.yaml").write_text(MESH.replace("routes:", "  thrifty: {frugal: best}\nlearned: learned/\nroutes:"))
    done = partsong("learn", "ahead.yaml", run)
    assert done.code == 0
    assert "Learned from 45 rows and 3 models; what is right: by labels" in done.out
    assert "learned: learned" in done.out


CLIMB = MESH.replace("routes:", "  climb: {cascade: [{ask: fair, trust: {confidence: learned}}, {ask: good}]}\nlearned: learned/\nroutes:")
SURE = VOICES.replace("cost_usd=cost_usd,", "cost_usd=cost_usd, confidence=0.9 if right else 0.4,")


def test_a_cascade_gets_the_thresholds_that_can_be_promised_and_says_so_of_each_answer(partsong: Partsong):
    Path("voices.py").write_text(SURE)
    run = ran(partsong, rows=200, expected="yes")
    Path("climb.yaml").write_text(CLIMB)
    told = json.loads(partsong("learn", "climb.yaml", run, "--max-loss", "10", "--json").out)["cascades"][0]
    assert (told["plan"], told["tiers"], told["kept"]) == ("climb", ["fair by confidence", "good"], True)
    assert 0.1 < told["levels"][0] < 0.9
    assert told["calibrations"][0]["ece"] < told["calibrations"][0]["stated_ece"]
    assert "trusted" in partsong("learn", "climb.yaml", run, "--max-loss", "10").out.replace("trusts", "trusted")
    assert partsong("run", "climb.yaml", "out.jsonl", "-o", "again", "--plan", "climb", "--engine", "inline", "-q").code == 0
    rows = [json.loads(line)["partsong"] for line in Path("again/output.jsonl").read_text().splitlines()]
    reasons = {row["row"]: row["tiers"][0]["reason"] for row in rows}
    assert reasons[3].startswith("confidence 0.90, calibrated 0.")
    assert f">= learned {told['levels'][0]:.3f} (promised)" in reasons[3]
    assert f"< learned {told['levels'][0]:.3f} (promised)" in reasons[4]


def test_a_cascade_that_nothing_can_be_promised_of_is_refused_with_what_it_takes(partsong: Partsong):
    Path("voices.py").write_text(SURE)
    run = ran(partsong, rows=120, expected="yes")
    Path("climb.yaml").write_text(CLIMB)
    assert "more labelled rows would do" in " ".join(partsong("learn", "climb.yaml", run).out.split())
    done = partsong("ask", "climb.yaml", "is 3 odd?", "--use", "climb")
    assert done.code != 0
    assert "threshold-not-learned" in done.err
    assert "more labelled rows would do" in " ".join(done.err.split())


NEW = '  new: {adapter: python, target: "voices:new", price: {input: 0, output: 500, request: 0.0002}}\nplans:'


def test_ctrl_c_leaves_nothing_behind_and_says_so(partsong: Partsong, monkeypatch: pytest.MonkeyPatch):
    run = ran(partsong, expected="yes")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("partsong_cluster.outcomes.learned.fit_learned", interrupted)
    done = partsong("learn", "mesh.yaml", run, "-o", "learned")
    assert (done.code, done.out, done.err.strip()) == (130, "", "stopped, nothing written")
    assert not Path("learned").exists()


def test_a_model_that_no_run_asked_enters_the_gate_by_its_card(partsong: Partsong):
    run = ran(partsong, expected="yes")
    Path("wider.yaml").write_text(MESH.replace("plans:", NEW))
    left_out = json.loads(partsong("learn", "wider.yaml", run, "--json").out)
    assert left_out["newcomers"] == []
    assert any("--card new=0.8" in warning for warning in left_out["warnings"])
    told = json.loads(partsong("learn", "wider.yaml", run, "--card", "new=0.999", "--json").out)
    assert [(new["model"], new["known"]) for new in told["newcomers"]] == [("new", "new: 0 probes")]
    assert "new: 0 probes" in partsong("learn", "wider.yaml", run, "--card", "new=0.999").out


@pytest.mark.parametrize(
    ("card", "code"), [("none=0.8", "unknown-name"), ("good", "bad-card"), ("good=much", "bad-card"), ("good=1.5", "bad-card")]
)
def test_a_card_that_makes_no_sense_is_refused(partsong: Partsong, card: str, code: str):
    done = partsong("learn", "mesh.yaml", ran(partsong, rows=2), "--card", card)
    assert (done.code, code in done.err) == (2, True)


JUDGE = """
from pathlib import Path
from partsong import Completion
from partsong.contracts import Timing

def judge(task):
    with Path("judged.txt").open("a") as judged:
        judged.write("x")
    first = task.text.split("[Answer A]")[1].split("[Answer B]")[0].strip()
    return Completion(text="A" if first == "yes" else "B", model="m", cost_usd=0.01, timing=Timing(total_s=0.1))
"""
JUDGED_MESH = MESH.replace("plans:", '  judge: {adapter: python, target: "judging:judge", price: {input: 1, output: 1}}\nplans:')


def test_a_judge_says_what_is_right_where_no_label_does_and_is_not_paid_twice(partsong: Partsong):
    run = ran(partsong)
    Path("judging.py").write_text(JUDGE)
    Path("judged.yaml").write_text(JUDGED_MESH)
    learn = ("learn", "judged.yaml", run, "--judge", "judge", "--json")
    told = json.loads(partsong(*learn).out)
    assert (told["source"], told["best_single"]) == ("judge", "good")
    assert any("relative" in warning for warning in told["warnings"])
    asked = len(Path("judged.txt").read_text())
    assert asked % 2 == 0
    assert partsong(*learn).code == 0
    assert len(Path("judged.txt").read_text()) == asked


def test_an_answer_that_one_model_alone_gave_is_not_right_for_want_of_a_rival_and_agreement_is_counted(partsong: Partsong):
    runs = [ran(partsong), "solo"]
    Path("solo.jsonl").write_text("".join(json.dumps({"id": str(n), "prompt": f"is {n} prime?"}) + "\n" for n in range(15)))
    assert partsong("run", "mesh.yaml", "solo.jsonl", "-o", "solo", "--engine", "inline", "--model", "free", "-q").code == 0
    Path("judging.py").write_text(JUDGE)
    Path("judged.yaml").write_text(JUDGED_MESH)
    told = json.loads(partsong("learn", "judged.yaml", *runs, "--judge", "judge", "--json").out)["warnings"]
    agreed = sum(len({n % 10 != 0, n % 2 != 0, n % 3 != 0}) == 1 for n in range(ROWS))
    assert any(one.startswith(f"{agreed} of 60 rows count by agreement") for one in told)
    assert any(one.startswith("15 of 60 rows have one model's answer alone") for one in told)
    assert any(one.startswith("15 of 60 rows have no label, feedback or verdict") for one in told)


def test_a_judge_that_is_no_model_or_would_cost_too_much_stops_the_command(partsong: Partsong):
    run = ran(partsong)
    Path("judging.py").write_text(JUDGE)
    Path("judged.yaml").write_text(JUDGED_MESH)
    assert "unknown-name" in partsong("learn", "mesh.yaml", run, "--judge", "judge").err
    assert partsong("learn", "judged.yaml", run, "--judge", "judge", "--judge-budget", "0").code == 4
    assert not Path("learned/learned.msgpack").exists()


@pytest.mark.parametrize(
    ("rows", "metadata", "code"),
    [(3, {"expected": "yes"}, "too-few-outcomes"), (ROWS, {"expected": "maybe"}, "one-class")],
)
def test_rows_that_nothing_can_be_learned_from_are_refused(partsong: Partsong, rows: int, metadata: dict, code: str):
    done = partsong("learn", "mesh.yaml", ran(partsong, rows=rows, **metadata))
    assert done.code == 2
    assert code in done.err
    assert not Path("learned").exists()


@pytest.mark.parametrize("command", [("learn", "mesh.yaml", "nowhere"), ("matrix", "nowhere")])
def test_a_folder_without_a_run_is_told(partsong: Partsong, command: tuple[str, ...]):
    done = partsong(*command)
    assert (done.code, "no-run" in done.err) == (6, True)


def test_runs_whose_models_are_asked_otherwise_by_the_mesh_hold_nothing_for_it(partsong: Partsong):
    run = ran(partsong, expected="yes")
    Path("other.yaml").write_text(MESH.replace("voices:", "voices:other_"))
    assert "no-outcomes" in partsong("learn", "other.yaml", run).err


def test_a_grader_of_ones_own_says_what_is_right(partsong: Partsong):
    Path("grading.py").write_text("def right(text, reference):\n    return text == 'no'\n")
    run = ran(partsong, expected="whatever")
    told = json.loads(partsong("matrix", run, "--grade", "python:grading:right", "--json").out)
    good = next(cell for cell in told["cells"] if cell["model"] == "good")
    assert good["accuracy"] < 0.2
    Path("broken.py").write_text("def right(text, reference):\n    return text / 2\n")
    assert "grader-failed" in partsong("matrix", run, "--grade", "python:broken:right").err


def test_the_matrix_names_models_kinds_and_gaps(partsong: Partsong):
    run = ran(partsong, expected="yes", kind="parity")
    told = json.loads(partsong("matrix", run, "--json").out)
    assert {(cell["model"], cell["kind"], cell["n"]) for cell in told["cells"]} == {(m, "parity", ROWS) for m in ("good", "fair", "free")}
    assert {gap["words"] for gap in told["gaps"]} == {"only good is above 70 % on parity", "only good reads images"}
    shown = partsong("matrix", run).out
    assert "Gap: only good reads images." in shown
    assert partsong("matrix", run, "--csv", "-o", "matrix.csv").code == 0
    lines = list(csv.DictReader(io.StringIO(Path("matrix.csv").read_text())))
    assert [line["model"] for line in lines] == ["good", "fair", "free"]
    assert [line["cost_usd"] != "" for line in lines] == [True, True, False]


def test_a_model_that_only_another_run_of_the_same_store_asked_is_not_in_the_matrix(partsong: Partsong):
    Path("mesh.yaml").write_text(f"{MESH}store: {{url: 'sqlite:///{Path.cwd()}/journal.db', cache: true}}\n")
    run = ran(partsong, expected="yes", kind="parity")
    assert partsong("run", "mesh.yaml", "out.jsonl", "-o", "out-fair", "--engine", "inline", "--model", "fair", "-q").code == 0
    models = [{cell["model"] for cell in json.loads(partsong("matrix", name, "--json").out)["cells"]} for name in (run, "out-fair")]
    assert models == [{"good", "fair", "free"}, {"fair"}]


def test_runs_of_one_store_that_asked_the_same_are_each_told_by_their_own_answers(partsong: Partsong):
    Path("mesh.yaml").write_text(f"{MESH}store: {{url: 'sqlite:///{Path.cwd()}/journal.db'}}\n")
    dated = VOICES.replace("int(task.id) % 10 != 0", 'Path("good").read_text() == "yes"')
    Path("voices.py").write_text(f"from pathlib import Path\n{dated}")
    for run, said in (("monday", "no"), ("tuesday", "yes")):
        Path("good").write_text(said)
        ran(partsong, run, expected="yes")
    right = {
        run: {cell["model"]: cell["accuracy"] for cell in json.loads(partsong("matrix", run, "--json").out)["cells"]}
        for run in ("monday", "tuesday")
    }
    assert right["monday"]["good"] < 0.1 < 0.9 < right["tuesday"]["good"]
    replayed = json.loads(partsong("replay", "tuesday", "--mesh", "mesh.yaml", "--plan", "good", "--json").out)["replayed"]
    assert replayed["accuracy"] == 1.0


def test_a_runs_report_says_what_its_models_are_good_at_where_its_rows_tell(partsong: Partsong):
    ran(partsong, "told", expected="yes")
    ran(partsong, "untold")
    assert "What each model is good at" in Path("told/report.html").read_text()
    assert "Only good reads images." in Path("told/report.html").read_text()
    assert "What each model is good at" not in Path("untold/report.html").read_text()


def test_a_matrix_of_rows_without_labels_says_that_it_is_an_estimate(partsong: Partsong):
    run = ran(partsong)
    shown = partsong("matrix", run).out
    assert "EVERY ACCURACY HERE IS AN ESTIMATE" in " ".join(shown.split())
    assert "kind (estimates)" in shown
    assert "right (estimate)" in partsong("learn", "mesh.yaml", run).out
    assert "(estimate" not in partsong("matrix", ran(partsong, "labelled", expected="yes")).out


def test_feedback_stands_in_for_labels_in_matrix_and_compare(partsong: Partsong):
    run = ran(partsong)
    assert partsong("feedback", run, "3", "--right", "--by", "ann").out == "kept 1 verdict\n"
    Path("said.jsonl").write_text('{"row": "4", "right": false}\n\n{"row": 6, "score": 0.2, "by": "bo", "comment": "no"}\n')
    assert json.loads(partsong("feedback", run, "--file", "said.jsonl", "--json").out) == {"kept": 2}
    told = json.loads(partsong("matrix", run, "--json").out)
    assert told["source"] == "feedback"
    assert {cell["n"] for cell in told["cells"]} <= {1, 2, 3}
    [line] = json.loads(partsong("compare", run, "--json").out)
    assert (line["graded"], line["right"], line["graded_by"]) == (3, 1, ["feedback"])


def test_what_people_made_of_answers_is_counted_and_is_no_verdict(partsong: Partsong):
    run = ran(partsong, rows=10)
    assert partsong("feedback", run, "0", "--edited", "a whole new text").out == "kept 1 verdict\n"
    Path("made.jsonl").write_text('{"row": 1, "edited": "and another", "right": false}\n{"row": 2, "edited": "a third", "by": "bo"}\n')
    assert partsong("feedback", run, "--file", "made.jsonl").code == 0
    [line] = json.loads(partsong("compare", run, "--json").out)
    assert (line["graded"], line["right"]) == (1, 0)  # what was said of row 1, and nothing of the others
    assert (line["edits"]["edited"]["value"], line["edits"]["edited"]["n"], line["edits"]["size"]["n"]) == (0.3, 10, 3)
    assert "edited" in partsong("compare", run).out
    assert [one["edits"] for one in json.loads(partsong("compare", ran(partsong, "other", rows=3), "--json").out)] == [None]


def test_the_latest_word_of_a_person_on_a_row_counts(partsong: Partsong):
    run = Path(ran(partsong, rows=3))
    rate(run, [Verdict("1", 1.0, by="ann")])
    rate(run, [Verdict("1", 0.0, by="ann"), Verdict("1", 0.0, by="bo")])
    [line] = json.loads(partsong("compare", str(run), "--json").out)
    assert (line["graded"], line["right"]) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("out", "no-such", "--right"), "no-such-row"),
        (("out", "1"), "--right"),
        (("out", "1", "--right", "--score", "0.5"), "say one of --right, --wrong and --score"),
        (("out", "--right"), "ROW"),
        (("out", "1", "--score", "7"), "--score"),
        (("out", "1", "--right", "--comment", "x" * 10_001), "bad-feedback"),
        (("out", "1", "--edited", "x" * 100_001), "bad-feedback"),
        (("out", "1", "--edited", "x", "--right", "--score", "0.5"), "--right"),
        (("out", "--file", "missing.jsonl"), "feedback-unreadable"),
        (("out", "--file", "bad.jsonl"), "bad.jsonl:2"),
        (("nowhere", "1", "--right"), "no-run"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(partsong: Partsong, arguments: tuple[str, ...], said: str):
    ran(partsong, rows=2)
    Path("bad.jsonl").write_text('{"row": "1", "right": true}\n{"row": "1", "right": "yes"}\n')
    done = partsong("feedback", *arguments)
    assert done.code in (2, 6)
    assert said in done.err


def test_of_feedback_with_an_unknown_row_nothing_is_kept(partsong: Partsong):
    run = Path(ran(partsong, rows=2))
    with pytest.raises(InputError, match="no-such-row"):
        rate(run, [Verdict("1", 1.0), Verdict("9", 1.0)])
    assert json.loads(partsong("compare", str(run), "--json").out)[0]["graded"] == 0


def test_what_is_learned_with_the_meshs_embeddings_decides_with_them(partsong: Partsong):
    embedding_model(Path("tiny"))
    Path("mesh.yaml").write_text(MESH + "embeddings: tiny\n")
    assert partsong("learn", "mesh.yaml", ran(partsong, expected="yes", grader="label"), "-o", "learned").code == 0
    assert len(json.loads(Path("learned/learned.json").read_text())["embeddings"]["model_sha256"]) == 64
    gated = MESH.replace("routes: [{use: duet}]", "embeddings: tiny\nlearned: learned\ngate: {value_of_correct_usd: 1}")
    Path("gated.yaml").write_text(gated)
    assert partsong("run", "gated.yaml", "out.jsonl", "-o", "gated", "--engine", "inline", "-q").code == 0
    routes = [json.loads(line)["partsong"]["route"] for line in Path("gated/output.jsonl").read_text().splitlines()]
    assert {route["reason"] for route in routes} == {"gate"}
