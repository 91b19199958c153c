"""Where a secret is read from, and what is no secret."""

import pytest

from partsong.contracts import SecretRef
from partsong.errors import MeshError
from partsong.mesh.secrets import resolve, secrets_of


def test_a_secret_comes_from_the_given_environment_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "from the process")
    assert resolve(SecretRef(env="KEY"), {"KEY": "given"}, tmp_path) == "given"


def test_a_secret_file_lies_relative_to_the_folder_and_its_last_line_end_is_left_out(tmp_path):
    (tmp_path / "a.key").write_text("sk-1\r\n")
    assert resolve(SecretRef(file="a.key"), {}, tmp_path) == "sk-1"
    assert resolve(SecretRef(file=str(tmp_path / "a.key")), {}, tmp_path) == "sk-1"


@pytest.mark.parametrize(
    ("value", "code"),
    [("", "missing-secret"), ("\n", "missing-secret"), (" sk-9", "bad-secret"), ("a\nb", "bad-secret"), ("schlüssel", "bad-secret")],
)
def test_what_no_header_can_carry_is_refused_without_being_shown(tmp_path, value, code):
    with pytest.raises(MeshError) as caught:
        resolve(SecretRef(env="KEY"), {"KEY": value}, tmp_path)
    assert caught.value.code == code
    assert not value.strip() or value.strip() not in str(caught.value)


@pytest.mark.parametrize("name", ["none.key", ".", "\0", "long.key", "binary.key"])
def test_an_unusable_secret_file_is_a_clear_error(tmp_path, name):
    (tmp_path / "long.key").write_text("x" * 100_000)
    (tmp_path / "binary.key").write_bytes(b"\xff\xfe")
    with pytest.raises(MeshError, match="secret file"):
        resolve(SecretRef(file=name), {}, tmp_path)


def test_every_models_secret_is_found_by_its_name(folder):
    mesh = folder.check(
        "version: 1\nmodels: {a: {adapter: wire, api_key: {env: A}}, b: {adapter: wire}, c: {adapter: echo}}\n", check_secrets=False
    ).mesh
    assert secrets_of(mesh.models, {"A": "k"}, folder.path) == {"a": "k"}
    with pytest.raises(MeshError, match=r"models\.a\.api_key"):
        secrets_of(mesh.models, {}, folder.path)
