"""`partsong learn tree`: from a run to a tree that can be run by."""

import json
from pathlib import Path

import pytest
from partsong_cluster.cli import main

from partsong.contracts import Task
from partsong.mesh import load_mesh

MESH = """\
version: 1
models:
  mini: {adapter: recorded, file: said.jsonl, price: {input: 1, output: 1}}
  large: {adapter: recorded, file: said.jsonl, price: {input: 30, output: 30}}
plans:
  all: {ensemble: {members: [mini, large], early: false}}
"""


def partsong(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Mini is wrong on every request of the law; both are right on others."""
    monkeypatch.chdir(tmp_path)
    said, asked = [], []
    for n in range(120):
        law = n % 3 == 0
        said += [{"id": f"q{n}", "model": "mini", "answer": "no" if law else "yes"}, {"id": f"q{n}", "model": "large", "answer": "yes"}]
        asked.append({"id": f"q{n}", "prompt": f"Is it so, case {n}?", "metadata": {"field": "law" if law else "art", "expected": "yes"}})
    for name, lines in (("said.jsonl", said), ("in.jsonl", asked)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "mesh.yaml").write_text(MESH)
    assert partsong("run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", "inline", "-q") == 0
    capsys.readouterr()
    return tmp_path


def test_a_tree_is_written_as_a_mesh_file_that_routes_by_it(home, capsys):
    assert partsong("learn", "tree", "mesh.yaml", "out") == 0
    told = capsys.readouterr().out
    assert "if: {metadata: {field: law}}" in told
    assert "use: large  # 40 rows: large right on 100.0 % of 40, 91 % to 100 %, at" in told
    assert "On rows not grown from: the tree right on 100.0 % of 120, 97 % to 100 %, at" in told
    router = load_mesh(home / "tree.yaml", env={}).mesh.router()
    law = Task.of("Is it so?").model_copy(update={"metadata": {"field": "law"}})
    assert [router.decide(task).use for task in (law, Task.of("Is it so?"))] == ["large", "mini"]


def test_the_same_facts_as_json(home, capsys):
    assert partsong("learn", "tree", "mesh.yaml", "out", "--json", "--depth", "1") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tree"] == {"if": {"metadata": {"field": "law"}}, "then": {"use": "large"}, "else": {"use": "mini"}}
    assert (facts["rows"], facts["source"], facts["judged"]["accuracy"], facts["single"]["use"]) == (
        120,
        "labels",
        1.0,
        "one model for all",
    )


def test_a_tree_elsewhere_says_where_it_belongs(home, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tree.yaml"
    assert partsong("learn", "tree", "mesh.yaml", "out", "-o", str(elsewhere)) == 0
    assert "extends" not in elsewhere.read_text()
    assert "it is to stand in mesh.yaml" in elsewhere.read_text()


def test_a_file_that_is_there_is_kept_unless_forced(home, capsys):
    (home / "tree.yaml").write_text("mine")
    assert partsong("learn", "tree", "mesh.yaml", "out") == 2
    assert "file-exists" in capsys.readouterr().err
    assert (home / "tree.yaml").read_text() == "mine"
    assert partsong("learn", "tree", "mesh.yaml", "out", "--force") == 0


@pytest.mark.parametrize(("arguments", "said"), [(["mesh.yaml", "nowhere"], "nowhere"), (["absent.yaml", "out"], "absent.yaml")])
def test_what_cannot_be_read_is_told(home, capsys, arguments, said):
    assert partsong("learn", "tree", *arguments) in (2, 6)
    assert said in capsys.readouterr().err


def test_outcomes_that_are_all_right_grow_no_tree(home, capsys):
    (home / "said.jsonl").write_text((home / "said.jsonl").read_text().replace('"no"', '"yes"'))
    assert partsong("run", "mesh.yaml", "in.jsonl", "-o", "alike", "--engine", "inline", "-q") == 0
    assert partsong("learn", "tree", "mesh.yaml", "alike") == 2
    assert "one-class" in capsys.readouterr().err
