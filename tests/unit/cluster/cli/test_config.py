"""`partsong config`: what it prints and how it exits."""

import json

import jsonschema
import pytest
from partsong_cluster.cli.config import app
from ruamel.yaml import YAML
from typer.testing import CliRunner

from partsong.errors import MeshError

GOOD = """\
version: 1
models:
  a: {adapter: python, target: "partsong.specialists.sentiment:sentiment", args: {token: hidden, url: "https://me:hidden@host/x?api_key=hidden"}}
  b: {adapter: recorded, file: outcomes.jsonl}
plans:
  vote: {ensemble: {members: [a, b]}}
routes: [{when: {contains: image}, use: a}, {use: vote}]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outcomes.jsonl").touch()

    def run(*arguments, text=GOOD):
        (tmp_path / "mesh.yaml").write_text(text)
        return CliRunner().invoke(app, list(arguments))

    return run


def test_a_good_file_is_counted_in_a_line_and_exits_with_0(run):
    result = run("check", "mesh.yaml")
    assert (result.exit_code, result.output) == (0, "mesh.yaml: good (2 models, 1 plan, 2 routes)\n")


def test_problems_are_listed_with_place_and_remedy_and_exit_with_1(run):
    result = run("check", "mesh.yaml", text=GOOD.replace("members: [a, b]", "members: [a, bb]").replace("target:", "traget:"))
    assert result.exit_code == 1
    assert (
        result.output
        == """\
error models.a lacks 'target'  [missing-field]
  mesh.yaml:3:3 models.a.target
  add `target:`

error models.a has no key 'traget'  [unknown-key]
  mesh.yaml:3:24 models.a.traget
  did you mean 'target'?

error plan 'vote' asks for 'bb', which is no model or plan  [unknown-name]
  mesh.yaml:6:34 plans.vote.ensemble.members.1
  did you mean 'b'?

mesh.yaml: 3 errors
"""
    )


def test_warnings_are_listed_and_still_exit_with_0(run):
    result = run("check", "mesh.yaml", text=GOOD.replace("{use: vote}", "{use: vote}, {use: a}"))
    assert result.exit_code == 0
    assert result.output.startswith("warning route 3 takes no row")
    assert result.output.endswith("mesh.yaml: good (2 models, 1 plan, 3 routes), with 1 warning\n")


def test_json_says_the_same(run):
    result = run("check", "mesh.yaml", "--json", text=GOOD.replace("use: vote", "use: votes"))
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "file": "mesh.yaml",
        "ok": False,
        "errors": [
            {
                "code": "unknown-name",
                "what": "route 2 uses 'votes', which is no model, plan or experiment",
                "file": "mesh.yaml",
                "line": 7,
                "column": 51,
                "field": "routes.1.use",
                "remedy": "did you mean 'vote'?",
            }
        ],
        "warnings": [],
    }


def test_a_missing_file_exits_with_1_and_is_named(run):
    result = run("check", "none.yaml")
    assert result.exit_code == 1
    assert "there is no file none.yaml" in result.output


def test_wrong_usage_exits_with_2(run):
    assert run("check").exit_code == 2


def test_a_function_beside_the_mesh_is_found_while_it_is_checked(run, tmp_path):
    (tmp_path / "rules.py").write_text("def fine(task, answer):\n    return True\n")
    text = GOOD
    cascade = "plans:\n  c: {cascade: [{ask: a, trust: {python: 'rules:NAME'}}, {ask: b}]}\n"
    assert run("check", "mesh.yaml", text=text.replace("plans:\n", cascade.replace("NAME", "fine"))).exit_code == 0
    assert "rules:good" in run("check", "mesh.yaml", text=text.replace("plans:\n", cascade.replace("NAME", "good"))).output


def test_show_prints_the_composed_file_with_secrets_masked(run, tmp_path):
    (tmp_path / "more.yaml").write_text("models: {c: {adapter: recorded, file: c.jsonl}}\n")
    result = run("show", "mesh.yaml", text=GOOD + "include: more.yaml\n")
    assert result.exit_code == 0
    shown = YAML(typ="safe").load(result.output)
    assert list(shown["models"]) == ["a", "b", "c"]
    assert shown["models"]["a"]["args"] == {"token": "***", "url": "https://***@host/x?api_key=***"}
    assert "hidden" not in result.output
    assert "timeout" not in result.output


def test_show_with_defaults_says_all_there_is(run):
    shown = json.loads(run("show", "mesh.yaml", "--defaults", "--json").output)
    assert shown["models"]["b"]["timeout"] == 60
    assert shown["plans"]["vote"]["ensemble"]["quorum"] == 1


def test_show_of_a_file_with_problems_prints_nothing_and_raises_them_all(run):
    result = run("show", "mesh.yaml", text=GOOD.replace("use: vote", "use: votes").replace("ask:", "aks:"))
    assert result.stdout == ""
    assert isinstance(result.exception, MeshError)
    assert result.exception.problems[0].remedy == "did you mean 'vote'?"


def test_the_json_schema_takes_good_files_and_refuses_wrong_ones(run):
    schema = json.loads(run("schema").output)
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    mesh = YAML(typ="safe").load(GOOD)
    assert not list(check.iter_errors(mesh))
    assert list(check.iter_errors({**mesh, "plns": {}}))
    assert list(check.iter_errors({**mesh, "plans": {"p": {"cascad": []}}}))
    assert list(check.iter_errors({**mesh, "models": {"a": {"adapter": "recorded"}}}))
    assert list(check.iter_errors({**mesh, "models": {"a": {"adapter": "nobody"}}}))


def test_the_json_schema_describes_its_fields(run):
    shown = run("schema").output
    assert json.loads(shown)["properties"]["routes"]["description"]
    assert '"description": "Outcomes, JSON Lines' in shown


@pytest.mark.parametrize("command", ["check", "show", "schema"])
def test_help_gives_examples(run, command):
    assert "partsong config " + command in " ".join(run(command, "--help").output.split())


@pytest.mark.parametrize(
    ("model", "field", "told"),
    [
        ('{adapter: python, target: "partsong.specialists.sentiment:squirt"}', "models.a.target", "not 'squirt'"),
        ('{adapter: python, target: "nowhere:worker"}', "models.a.target", "put nowhere.py into"),
        ("{adapter: recorded, file: gone.jsonl}", "models.a.file", "there is no file gone.jsonl"),
        ("{adapter: local, weights: smollm2-135n}", "models.a.weights", "did you mean 'smollm2-135m'?"),
        ("{adapter: local, weights: own.gguf}", "models.a.weights", "neither a file nor weights with a known name"),
    ],
)
def test_what_models_name_is_looked_for(run, model, field, told):
    result = run("check", "mesh.yaml", text=f"version: 1\nmodels:\n  a: {model}\nroutes: [{{use: a}}]\n")
    assert result.exit_code == 1
    assert field in result.output
    assert told in result.output
