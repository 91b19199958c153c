"""The job API from a laptop: what does not answer, or refuses, is said with what to do, before anything hangs."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from partsong_cluster.cli import main
from partsong_cluster.jobs.cluster import Cluster, Job

from partsong.errors import EngineError, RunError

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


@pytest.mark.parametrize("source", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token"])
def test_a_wrong_token_is_told_by_where_it_was_read(source: str, tmp_path: Path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
    given = {"RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_TOKEN_PATH": str(tmp_path / ".ray" / "auth_token")}
    env = {"HOME": str(tmp_path)} | {name: value for name, value in given.items() if name == source}
    told = env["RAY_AUTH_TOKEN_PATH"] if source == "RAY_AUTH_TOKEN_PATH" else source
    with answering(401, b"no") as (address, _), pytest.raises(EngineError, match=f"(?m)token of {re.escape(told)}$"):
        Cluster(address, env).check()


def cluster_of(monkeypatch: pytest.MonkeyPatch, *runs: str) -> Cluster:
    """Return a cluster that knows these runs, all of one name."""

    def job(number: int, run: str) -> Job:
        told = {"partsong.name": "mixed", "partsong.output": f"s3://bucket/{'long/' * 40}{run}"}
        return Job(run, [SimpleNamespace(submission_id=f"partsong-{run}", metadata=told, status="RUNNING", start_time=number * 60_000)])

    jobs = [job(number, run) for number, run in enumerate(runs)]
    monkeypatch.setattr(Cluster, "jobs", lambda _: jobs)
    return Cluster("http://head:8265", {})


def test_a_name_that_several_jobs_have_is_an_error_that_lists_them(monkeypatch: pytest.MonkeyPatch):
    cluster = cluster_of(monkeypatch, "aa11", "ab22")
    assert cluster.job("aa").run == "aa11"
    for named in ("mixed", "a"):
        with pytest.raises(RunError) as error:
            cluster.job(named)
        assert error.value.code == "ambiguous-job"
        assert "aa11 (running, 1970-01-01T00:00:00+00:00), ab22 (running, 1970-01-01T00:01:00+00:00)" in error.value.problems[0].what
        assert error.value.problems[0].remedy == "name one by its run"
    with pytest.raises(RunError, match="no job is called"):
        cluster.job("nobody")


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_list_that_no_terminal_shows_has_whole_lines(columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", columns)
    jobs = cluster_of(monkeypatch, "aa11", "ab22").jobs()
    with pytest.raises(SystemExit, match="0"):
        main(["jobs", "ls"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [job.told["output"] for job in reversed(jobs)]


def test_nobody_and_nonsense_are_told_apart(tmp_path: Path):
    env = {"HOME": str(tmp_path)}
    assert code_of("http://127.0.0.1:1", env) == "no-cluster"
    with answering(200, b"<html>") as (address, _):
        assert code_of(address, env) == "no-cluster"
