"""What a deploy file asks for that no machine has is found before anything is started."""

import json

import pytest
from partsong_cluster.cli.deploy import app
from partsong_cluster.deploy.check import examined
from partsong_cluster.deploy.load import load_deploy_text
from partsong_cluster.deploy.nodes import as_machines
from partsong_cluster.deploy.placing import Machine, Wanted, capacity, matches, misfit, selector_problem
from typer.testing import CliRunner

from partsong.errors import MeshError
from partsong.mesh import load_text

MESH = """
version: 1
models:
  cheap: {adapter: openai, base_url: "http://127.0.0.1:1/v1", model: m, api_key: {env: OPENAI_API_KEY}}
  llama: {adapter: recorded, file: outcomes.jsonl}
plans:
  careful: {cascade: {tiers: [{ask: cheap, trust: {python: "mine:trusts"}}, {ask: llama}]}}
"""
HEAD = "version: 1\nname: support\nstore: {url: 'postgresql://p@db/p'}\n"
MACHINES = "autoscaling: {node_types: {small: {resources: {cpu: 4, memory: 8GiB}, labels: {zone: a}, min: 1, max: 3}}}\n"
SEVEN = "pools: {llama: {resources: {cpu: 2}, workers: {min: 7, max: 7}}}\n"
FEW = MACHINES.replace("{node", "{max_nodes: 1, node").replace("min: 1", "min: 2")


def found(text, *, nodes=None, with_mesh=True, tmp_path=None):
    mesh = load_text(MESH, tmp_path, env={}, check_secrets=False).mesh if with_mesh else None
    result = examined(load_deploy_text(text, "d.yaml"), mesh, nodes)
    return [p.code for p in result.errors], [p.code for p in result.warnings], result


@pytest.fixture
def check(tmp_path):
    (tmp_path / "outcomes.jsonl").touch()
    return lambda text, **how: found(text, tmp_path=tmp_path, **how)


def test_a_good_file_has_nothing_wrong(check):
    assert check(HEAD + MACHINES)[:2] == ([], [])


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        (HEAD + "pools: {chap: {}}\n", "unknown-model", "d.yaml:4:9 pools.chap"),
        (HEAD + MACHINES + "pools: {llama: {resources: {gpu: 1}}}\n", "not-placeable", "d.yaml:5:9 pools.llama"),
        (HEAD + MACHINES + "pools: {llama: {resources: {cpu: 8}}}\n", "not-placeable", "d.yaml:5:9 pools.llama"),
        (HEAD + MACHINES + "pools: {llama: {labels: {zone: b}}}\n", "not-placeable", "d.yaml:5:9 pools.llama"),
        (HEAD + MACHINES + "pools: {llama: {labels: {zone: 'in('}}}\n", "bad-selector", "d.yaml:5:32 pools.llama.labels.zone"),
        (HEAD + MACHINES + "coordinators: {count: 2, resources: {custom: {disk: 1}}}\n", "not-placeable", "d.yaml:5:1 coordinators"),
        (
            HEAD + MACHINES + "pools: {llama: {resources: {cpu: 2}, workers: {min: 7, max: 7}}}\n",
            "too-few-nodes",
            "d.yaml:5:38 pools.llama.workers",
        ),
        (
            HEAD + MACHINES.replace("{node", "{max_nodes: 1, node").replace("min: 1", "min: 2"),
            "too-few-nodes",
            "d.yaml:4:26 autoscaling.max_nodes",
        ),
        (HEAD.replace("postgresql://p@db/p", "sqlite:///a.db") + MACHINES, "store-not-shared", "d.yaml:3:14 store.url"),
        (HEAD.replace("postgresql://p@db/p", "sqlite:///a.db") + "journal: {shards: 2}\n", "journal-shards", "d.yaml:4:19 journal.shards"),
        (HEAD.replace("p@db", "p:hidden@db"), "literal-secret", "d.yaml:3:14 store.url"),
        (HEAD.replace("'}", "', segments: 's3://K:hidden@b'}"), "literal-secret", "d.yaml:3:47 store.segments"),
        (HEAD + "security: {python_adapter: off}\n", "python-off", "d.yaml:4:28 security.python_adapter"),
        (HEAD + "security: {auth: off, dashboard_host: 10.0.0.4}\n", "open-cluster", "d.yaml:4:18 security.auth"),
        (HEAD + "launcher: {head: 10.0.0.1, workers: [10.0.0.2]}\nsecurity: {auth: off}\n", "open-cluster", "d.yaml:5:18 security.auth"),
    ],
)
def test_what_cannot_be_is_an_error_with_its_place_and_a_remedy(check, text, code, at):
    errors, _, result = check(text)
    assert errors[:1] == [code]
    assert str(result.errors[0].at) == at
    assert result.errors[0].remedy


def test_what_holds_a_password_is_not_sent_to_a_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outcomes.jsonl").touch()
    (tmp_path / "mesh.yaml").write_text(MESH.partition("plans:")[0])
    (tmp_path / "d.yaml").write_text(HEAD.replace("p@db", "p:hidden@db"))
    result = CliRunner().invoke(app, ["plan", "d.yaml", "--mesh", "mesh.yaml", "--address", "http://127.0.0.1:1"])
    assert isinstance(result.exception, MeshError)
    assert result.exception.code == "literal-secret"


def test_no_password_is_shown(check):
    _, _, result = check(HEAD.replace("p@db", "p:hidden@db"))
    assert "hidden" not in str(result)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (MACHINES + "pools: {llama: {resources: {cpu: 2}, workers: {min: 1, max: 9}}}\n", "max-out-of-reach"),
        ("security: {auth: off}\n", "auth-off"),
        ("security: {dashboard_host: 0.0.0.0}\n", "dashboard-public"),
        ("kubernetes: {image: 'partsong:0.1.0'}\n", "image-not-pinned"),
        ("kubernetes: {image: 'partsong:0.1.0', gcs_storage: off}\n", "head-not-kept"),
        ("kubernetes: {image: 'partsong:0.1.0', gcs_storage: rocksdb}\n", "gcs-alpha"),
        ("kubernetes: {image: 'partsong:0.1.0'}\n", "keys-missing"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(check, text, code):
    errors, warnings, _ = check(HEAD + text)
    assert errors == []
    assert code in warnings


def test_pools_that_cannot_all_grow_at_once_are_told_together(check):
    text = HEAD + MACHINES + "defaults: {resources: {cpu: 2}, workers: {min: 1, max: 4}}\n"
    assert check(text)[1] == ["max-out-of-reach"]
    assert check(text.replace("min: 1, max: 4", "min: 4, max: 4"))[0] == ["too-few-nodes"]


def test_the_nodes_of_a_cluster_count_where_the_file_names_no_machines(check):
    node = {"Alive": True, "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0, "memory": 4e9, "node:10.0.0.1": 1.0}, "Labels": {}}
    nodes = as_machines([node, {**node, "Alive": False}])
    assert [machine.amounts for machine in nodes] == [{"CPU": 2.0, "memory": 4e9}]
    assert check(HEAD + "defaults: {resources: {cpu: 4}}\n", nodes=nodes)[0] == ["not-placeable", "not-placeable"]
    assert check(HEAD + MACHINES + "defaults: {resources: {cpu: 4}}\n", nodes=nodes)[1][:1] == ["not-yet-placeable"]


@pytest.mark.parametrize(
    ("selector", "value", "fits"),
    [("a", "a", True), ("a", None, False), ("!a", None, True), ("!a", "a", False), ("in(a, b)", "b", True), ("!in(a, b)", "c", True)],
)
def test_label_selectors_are_read_as_ray_reads_them(selector, value, fits):
    from ray._private.label_utils import validate_label_selector_value

    assert validate_label_selector_value(selector) is None
    assert not selector_problem(selector)
    assert matches(selector, value) is fits


def test_room_is_counted_whole_actors_a_machine():
    wanted = Wanted("a worker", {"CPU": 3.0}, {}, 1, 9, ("pools", "a"))
    machines = [Machine("small", {"CPU": 4.0}, most=3), Machine("large", {"CPU": 9.0}, most=2), Machine("the head", {})]
    assert capacity(wanted, machines) == 3 + 6
    assert capacity(wanted, machines, max_nodes=2) == 6
    assert misfit(wanted, machines[2]) == "it has 0 CPU"


def test_the_command_prints_what_is_wrong_and_says_so_by_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.yaml").write_text(HEAD.replace("postgresql://p@db/p", "sqlite:///a.db") + MACHINES)
    result = CliRunner().invoke(app, ["check", "d.yaml"])
    assert result.exit_code == 1
    assert result.output == (
        "error SQLite is a file of one machine, and there are several  [store-not-shared]\n"
        "  d.yaml:3:14 store.url\n  use PostgreSQL: `postgresql://user@host/database`\n\nd.yaml: 1 error\n"
    )
    facts = json.loads(CliRunner().invoke(app, ["check", "d.yaml", "--json"]).output)
    assert (facts["ok"], facts["errors"][0]["line"]) == (False, 3)
    (tmp_path / "d.yaml").write_text(HEAD + MACHINES)
    assert CliRunner().invoke(app, ["check", "d.yaml"]).output == "d.yaml: good\n"
    (tmp_path / "d.yaml").write_text("version: 1\n")
    assert "lacks 'name'" in CliRunner().invoke(app, ["check", "d.yaml"]).output


def test_what_is_rendered_is_written_and_named(tmp_path):
    (tmp_path / "d.yaml").write_text(HEAD + "launcher: {head: 10.0.0.1, workers: [10.0.0.2]}\n")
    result = CliRunner().invoke(app, ["render", "launcher", str(tmp_path / "d.yaml"), "-o", str(tmp_path / "made")])
    assert (result.exit_code, result.output) == (0, f"{tmp_path}/made/cluster.yaml\n")
    assert (tmp_path / "made/cluster.yaml").read_text().startswith("# Written by `partsong deploy render`")
