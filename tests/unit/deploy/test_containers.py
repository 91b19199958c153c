"""The image and the containers: what linters and schemas say of them, and what they must never do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from partsong_cluster.deploy import load_deploy
from ruamel.yaml import YAML

DEPLOY = Path(__file__).parents[3] / "deploy"
RAY = ("head", "worker")


def tool(name):
    found = shutil.which(name) or shutil.which(str(Path(sys.executable).parent / name))
    return found or pytest.skip(f"{name} is not installed")


def ran(*command):
    return subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load(DEPLOY / "compose.yaml")


def test_hadolint_has_nothing_to_say_of_the_image():
    done = ran(tool("hadolint"), "--no-color", "Containerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_say_something(tmp_path):
    (tmp_path / "Containerfile").write_text("FROM python:latest\nCMD partsong\n")
    assert "DL3025" in ran(tool("hadolint"), "--no-color", str(tmp_path / "Containerfile")).stdout


def test_the_image_runs_without_root_and_says_whether_it_is_well():
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 1000:1000"
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    assert "RAY_AUTH_MODE=token" in "\n".join(lines)


def test_the_lock_without_its_hashes_still_pins_every_version():
    lock = (DEPLOY.parent / "requirements.lock").read_text()
    done = subprocess.run(
        ["sed", "-e", "/--hash=/d", "-e", "/^ *#/d", "-e", r"s/ *\\$//"], input=lock, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line]
    assert len(lines) > 50
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^\s\\]+( ;.*)?", line) for line in lines), lines


def test_compose_takes_its_file():
    done = ran(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_every_container_says_whether_it_is_well_and_has_a_read_only_image(compose):
    for name, service in compose["services"].items():
        assert "healthcheck" in service, name
        assert service["read_only"] is True, name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_ports_are_open_on_this_machine_alone(compose):
    assert {port for service in compose["services"].values() for port in service.get("ports", [])} == {
        "127.0.0.1:8265:8265",
        "127.0.0.1:9090:9090",
    }


def test_ray_asks_for_a_token_that_comes_from_a_file_and_runs_no_python_of_meshes(compose):
    for name in RAY:
        service = compose["services"][name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["PARTSONG_PYTHON_ADAPTER"] == "off"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/auth_token"
        assert "auth_token" in service["secrets"]


def test_no_secret_stands_in_the_file(compose):
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for service in compose["services"].values():
        stated = service.get("environment", {})
        assert not [name for name in stated if re.search("PASSWORD|TOKEN|KEY", name) and not re.search("_FILE|_PATH", name)]
    assert "/deploy/secrets/" in (DEPLOY.parent / ".gitignore").read_text().splitlines()


def test_files_that_containers_are_given_are_there(compose):
    assert all((DEPLOY / config["file"]).is_file() for config in compose["configs"].values())


def test_prometheus_takes_its_file():
    assert ran(tool("promtool"), "check", "config", "prometheus.yaml").returncode == 0


@pytest.mark.parametrize("name", ["local", "containers", "onprem", "kubernetes"])
def test_every_deploy_file_to_copy_is_read_and_asks_for_a_token(name):
    deploy = load_deploy(DEPLOY / f"{name}.yaml").deploy
    assert deploy.security.auth == "token"
