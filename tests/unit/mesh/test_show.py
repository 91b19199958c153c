"""What `config show` and `config schema` are made of."""

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from partsong.adapters.python import PythonAdapter
from partsong.adapters.recorded import RecordedAdapter
from partsong.mesh import load_text
from partsong.mesh.show import as_yaml, json_schema, shown

TEXT = """\
version: 1
models:
  a: {adapter: python, target: "workers:shout", args: {X-Api-Key: k1, nested: {password: k2}, list: ["http://me:k3@host/"], max_tokens: 3}}
  b: {adapter: recorded, file: x.jsonl, fallbacks: [a]}
plans:
  vote: {ensemble: {members: [a, b, {ask: b, weight: 2}], merge: weighted}}
  climb:
    cascade:
      - {ask: a, trust: {agrees_with: b}}
      - {ask: a, trust: {agrees_with: [b, a]}}
      - {ask: a, trust: {schema: {type: object, required: [x]}}}
      - {ask: a, trust: {samples: 5}}
      - {ask: a, trust: samples}
      - {ask: a, trust: {verifier: {model: b, prompt: "Is {{ answer }} right?"}}}
      - {ask: b}
routes:
  - {when: {contains: image, language: [de, en], urgency: high, schema: true}, use: a}
  - {use: vote}
tree: {if: {more_numbers_than: 3}, then: vote, else: {if: {code: true}, then: {use: climb}}}
telemetry: {rotate: {size: 64MB}}
"""


@pytest.fixture
def schema(monkeypatch):
    monkeypatch.setattr("partsong.mesh.schema.adapter_kinds", lambda: {"python": PythonAdapter, "recorded": RecordedAdapter})
    return jsonschema.Draft202012Validator(json_schema())


@pytest.fixture
def mesh(tmp_path):
    return load_text(TEXT, tmp_path, env={})


def test_what_looks_like_a_secret_is_masked_wherever_it_stands(mesh):
    for text in (as_yaml(shown(mesh)), as_yaml(shown(mesh, defaults=True))):
        assert not {"k1", "k2", "k3"} & set(text.replace("@", " ").replace(":", " ").split())
        assert "max_tokens: 3" in text


def test_what_is_shown_with_defaults_reads_as_the_same_plans(mesh, tmp_path):
    again = load_text(as_yaml(shown(mesh, defaults=True)), tmp_path, env={})
    assert (again.mesh.plans, again.mesh.routes) == (mesh.mesh.plans, mesh.mesh.routes)


def test_what_is_shown_without_defaults_is_what_was_written(mesh):
    assert shown(mesh)["plans"] == YAML(typ="safe").load(TEXT)["plans"]


def test_the_json_schema_takes_every_short_form_that_the_loader_takes(schema):
    schema.check_schema(schema.schema)
    assert not [error.json_path for error in schema.iter_errors(YAML(typ="safe").load(TEXT))]


def test_the_json_schema_takes_the_shown_file_with_defaults(schema, mesh):
    assert not [error.json_path for error in schema.iter_errors(shown(mesh, defaults=True))]


@pytest.mark.parametrize(
    "wrong",
    [
        {"plns": {}},
        {"version": 2},
        {"models": {}},
        {"models": {"a": {"adapter": "nobody"}}},
        {"models": {"a": {"adapter": "recorded"}}},
        {"models": {"a": {"adapter": "recorded", "file": "x", "timeot": 3}}},
        {"plans": {"p": {"cascad": []}}},
        {"routes": [{"when": {"contains": "text"}}]},
    ],
)
def test_the_json_schema_refuses_what_the_loader_refuses(schema, wrong):
    assert list(schema.iter_errors({**YAML(typ="safe").load(TEXT), **wrong}))


def test_a_file_that_extends_another_needs_no_models_of_its_own(schema):
    assert not list(schema.iter_errors({"extends": "base.yaml", "telemetry": {"sample": 0.1}}))


def test_the_ready_meshes_satisfy_the_json_schema_of_the_installed_adapters():
    schema = jsonschema.Draft202012Validator(json_schema())
    ready = sorted((Path(__file__).parents[3] / "deploy" / "meshes").rglob("*.yaml"))
    wrong = {path.name: [e.json_path for e in schema.iter_errors(YAML(typ="safe").load(path))] for path in ready}
    assert not {name: errors for name, errors in wrong.items() if errors}
