"""`partsong top` as a user sees it, over real sockets."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from partsong_cluster.cli import main

from .test_view import PAGE

TOKEN = "s3cret" * 8


class Ray(BaseHTTPRequestHandler):
    """A head's dashboard and a node's metrics endpoint in one."""

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, PAGE.replace("OK", "1").replace("TIMEOUT", "0").replace("COST", "0").replace("{a,", '{system="night",'))
        elif self.headers.get("authorization") != f"Bearer {TOKEN}":
            self._answer(401, "Unauthorized")
        else:
            host, port = self.server.server_address[:2]
            self._answer(200, json.dumps([{"labels": {"job": "ray"}, "targets": [f"{host}:{port}", f"{host}:1"]}]))

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving():
    with ThreadingHTTPServer(("127.0.0.1", 0), Ray) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_token_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["top", "--interval", "0.1", *arguments])
    return int(ended.value.code or 0)


def test_the_dashboard_says_where_the_endpoints_are_and_one_that_is_silent_is_named(monkeypatch, capsys):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with serving() as url:
        assert run("--address", url, "--json") == 0
    view = json.loads(capsys.readouterr().out)
    assert [(model["model"], model["system"]) for model in view["models"]] == [("mini", "night")]
    assert view["unreachable"] == ["http://127.0.0.1:1/metrics"]


def test_without_the_token_it_says_that_one_is_wanted(capsys):
    with serving() as url:
        assert run("--address", url, "--once") == 7
    told = capsys.readouterr().err
    assert "it wants the cluster's token" in told
    assert "RAY_AUTH_TOKEN_PATH" in told


def test_endpoints_can_be_given(capsys):
    with serving() as url:
        assert run("--endpoint", url.removeprefix("http://"), "--once") == 0
    assert "mini" in capsys.readouterr().out


def test_endpoints_that_cannot_be_reached_are_an_error_that_says_what_else_there_is(capsys):
    assert run("--endpoint", "127.0.0.1:1", "--once") == 7
    told = capsys.readouterr().err
    assert "none of 1 metrics endpoints answers" in told
    assert "--prometheus" in told
