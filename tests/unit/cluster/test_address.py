"""`--address` means one thing in all commands: a wrong form is a mistake in the command line, silence there is the cluster's."""

import re

import pytest
from partsong_cluster.address import dashboard_url, joinable
from partsong_cluster.cli import main

from partsong.errors import InputError

BY_DASHBOARD = [["jobs", "ls"], *(["jobs", verb, "r1"] for verb in ("show", "logs", "follow", "stop", "resume", "forget"))]
BY_DASHBOARD += [
    ["jobs", "results", "r1", "-o", "out"],
    ["top", "--once"],
    ["submit", "mesh.yaml", "rows.jsonl", "-o", "s3://bucket/out", "--deploy", "deploy.yaml"],
]
BY_RAY = [["run", "mesh.yaml", "rows.jsonl", "-o", "out"], ["deploy", "show"], ["deploy", "end", "support", "--yes"], ["doctor"]]
BY_RAY += [["deploy", "check", "deploy.yaml"], ["deploy", "plan", "deploy.yaml", "--mesh", "mesh.yaml"]]
BY_RAY += [["deploy", "apply", "deploy.yaml", "--mesh", "mesh.yaml", "--yes"]]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    (tmp_path / "mesh.yaml").write_text("version: 1\nmodels: {mini: {adapter: openai, model: mini, base_url: http://127.0.0.1:1}}\n")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Hello"}\n')
    (tmp_path / "deploy.yaml").write_text("version: 1\nname: support\nstore: {url: 'postgresql://db/journal'}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)


def refused(command: list[str], address: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code, and the first word of the error."""
    with pytest.raises(SystemExit) as ended:
        main([*command, "--address", address])
    return int(ended.value.code or 0), next(iter(re.findall(r"^([a-z-]+): ", capsys.readouterr().err, re.MULTILINE)), "")


@pytest.mark.parametrize("command", BY_DASHBOARD, ids=" ".join)
@pytest.mark.parametrize("address", ["head:6379", "auto", "ftp://head"])
def test_what_is_no_address_of_the_dashboard_is_a_mistake_in_the_command_line(command, address, capsys):
    assert refused(command, address, capsys) == (2, "bad-address")


@pytest.mark.parametrize("command", BY_DASHBOARD, ids=" ".join)
def test_a_dashboard_that_does_not_answer_is_the_clusters_fault(command, capsys):
    code, told = refused(command, "http://127.0.0.1:1", capsys)
    assert code == 7
    assert told in ("no-cluster", "ray-unreachable")


@pytest.mark.parametrize("command", BY_RAY, ids=" ".join)
def test_what_is_no_address_of_a_ray_is_a_mistake_in_the_command_line(command, capsys):
    assert refused(command, "head", capsys) == (2, "bad-address")


@pytest.mark.parametrize("command", [["run", "mesh.yaml", "rows.jsonl", "-o", "out"], ["deploy", "show"], ["deploy", "end", "support"]])
def test_a_dashboard_cannot_be_joined(command, capsys):
    assert refused(command, "http://head:8265", capsys) == (2, "not-joinable")


@pytest.mark.parametrize("address", ["auto", "10.0.0.10:6379", "[fd00::1]:6379"])
def test_an_address_of_a_ray_is_taken_as_it_is(address):
    assert joinable(address) == address


def test_the_dashboards_url_is_taken_without_its_last_slash_and_with_no_credential():
    assert dashboard_url("https://head:8265/") == "https://head:8265"
    with pytest.raises(InputError, match="literal-secret"):
        dashboard_url("https://me:hidden@head:8265")
