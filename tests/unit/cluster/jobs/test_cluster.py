"""The job API from a laptop: what does not answer, or refuses, is said with what to do, before anything hangs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from partsong_cluster.jobs.cluster import Cluster

from partsong.errors import EngineError

TOKEN = "0123456789abcdef" * 4


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def code_of(address: str, env: dict[str, str]) -> str:
    with pytest.raises(EngineError) as error:
        Cluster(address, env).check()
    assert error.value.problems[0].remedy
    return error.value.code


def test_a_cluster_that_answers_says_its_version(tmp_path: Path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with answering(200, json.dumps({"ray_version": "2.60.0"}).encode()) as (address, asked):
        assert Cluster(f"{address}/", {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}).check() == "2.60.0"
        assert asked == [f"Bearer {TOKEN}"]


def test_a_token_is_found_where_ray_finds_it(tmp_path: Path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    with answering(200, b'{"ray_version": "2.60.0"}') as (address, asked):
        Cluster(address, {"HOME": str(tmp_path)}).check()
        Cluster(address, {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": "another"}).check()
        Cluster(address, {"HOME": str(tmp_path / "nobody")}).check()
        assert asked == [f"Bearer {TOKEN}", "Bearer another", ""]


@pytest.mark.parametrize(
    ("status", "token", "code"),
    [
        (401, "", "token-missing"),
        (401, TOKEN, "token-wrong"),
        (403, TOKEN, "token-wrong"),
        (404, "", "no-job-api"),
        (500, "", "no-job-api"),
    ],
)
def test_a_refusal_is_told_apart(status: int, token: str, code: str, tmp_path: Path):
    with answering(status, b"no") as (address, _):
        assert code_of(address, {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": token}) == code


def test_nobody_and_nonsense_are_told_apart(tmp_path: Path):
    env = {"HOME": str(tmp_path)}
    assert code_of("http://127.0.0.1:1", env) == "no-cluster"
    with answering(200, b"<html>") as (address, _):
        assert code_of(address, env) == "no-cluster"
    with pytest.raises(EngineError, match="no address of a job API"):
        Cluster("head:6379", env)
    with pytest.raises(EngineError, match="literal-secret"):
        Cluster("http://user:hidden@head:8265", env)
