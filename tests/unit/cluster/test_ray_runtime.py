"""Which Ray is joined: a file that a killed cluster left behind leads nowhere, and that is found out at once; when its token is sent."""

import os
import socket
import sys

import pytest
from partsong_cluster.ray_runtime import _send_the_token, _somebody_listens


def test_a_cluster_that_listens_may_be_joined(tmp_path):
    current = tmp_path / "ray_current_cluster"
    with socket.create_server(("127.0.0.1", 0)) as server:
        current.write_text(f"127.0.0.1:{server.getsockname()[1]}")
        assert _somebody_listens(current)
    assert not _somebody_listens(current)


def test_without_a_cluster_or_with_nonsense_for_its_address_there_is_none_to_join(tmp_path):
    current = tmp_path / "ray_current_cluster"
    assert not _somebody_listens(current)
    for nonsense in ("", "here", "127.0.0.1:", "127.0.0.1:x"):
        current.write_text(nonsense)
        assert not _somebody_listens(current)


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    """A process that has not imported Ray, of a user without a token."""
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is as it was in the end
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return monkeypatch


@pytest.mark.parametrize("where", ["variable", "named file", "home"])
def test_a_token_is_sent_wherever_ray_finds_it(nothing_set, tmp_path, where):
    if where == "variable":
        nothing_set.setenv("RAY_AUTH_TOKEN", "t0ken")
    else:
        file = tmp_path / ("elsewhere" if where == "named file" else ".ray/auth_token")
        file.write_text("t0ken\n")
    if where == "named file":
        nothing_set.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    _send_the_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_without_a_token_none_is_asked_for_and_what_the_user_says_stays(nothing_set, tmp_path):
    _send_the_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray" / "auth_token").write_text("t0ken")
    nothing_set.setenv("RAY_AUTH_MODE", "disabled")
    _send_the_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
