"""A provider as a process: counts and faults from outside, and an end when it is told to."""

import json
import subprocess
import sys
from math import inf
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from providers import process as process_module
from providers.process import RunningServer, running_server

TESTS = process_module.__file__.rpartition("/providers/")[0]


@pytest.fixture(scope="module")
def started():
    with running_server("providers.openai") as server:
        yield server


@pytest.fixture
def server(started):
    started.reset()
    return started


def said(server: RunningServer, prompt: str) -> str:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}).encode()
    asked = Request(f"{server.url}/chat/completions", body, {"authorization": "Bearer test-key"})
    with urlopen(asked, timeout=10) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def test_it_counts_what_it_is_asked_by_prompt(server):
    assert [said(server, prompt) for prompt in ("a", "b", "a")] == ["a", "b", "a"]
    assert server.stats()["calls"] == {"a": 2, "b": 1}


def test_a_summary_leaves_the_prompts_out(server):
    said(server, "a")
    summary = server.stats(summary=True)
    assert "calls" not in summary
    assert (summary["total"], summary["in_flight"], summary["most_in_flight"], summary["total_abandoned"]) == (1, 0, 1, 0)


def test_it_fails_as_it_is_told_from_outside(server):
    server.fault("status", status=429, headers=[["retry-after", "3"]])
    with pytest.raises(HTTPError) as failed:
        said(server, "a")
    with failed.value as error:
        assert (error.code, error.headers["retry-after"]) == (429, "3")
    assert said(server, "a") == "a"


def test_a_fault_that_hits_for_ever_can_be_told_from_outside(server):
    server.fault("status", status=500, times=inf, match="bad")
    for _ in range(3):
        with pytest.raises(HTTPError) as failed:
            said(server, "bad")
        failed.value.close()
    assert said(server, "good") == "good"


def test_several_faults_are_told_at_once_and_wrong_ones_are_refused(server):
    control = f"http://{urlsplit(server.url).netloc}/_faults"
    urlopen(Request(control, json.dumps([{"kind": "status", "status": 500}, {"kind": "empty"}]).encode()), timeout=10).close()
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(control, b'[{"kind": "empty"}, {"kind": "typo"}]'), timeout=10)
    with refused.value as error:
        assert error.code == 400
        assert "typo" in json.load(error)["error"]


def test_reset_it_has_forgotten_all(server):
    said(server, "a")
    server.fault("reset", times=inf)
    server.reset()
    assert said(server, "b") == "b"
    assert server.stats()["calls"] == {"b": 1}


@pytest.mark.parametrize("module", ["providers.openai", "providers.anthropic", "providers.gemini"])
def test_it_says_where_it_listens_and_ends_well_when_it_is_ended(module):
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert line.startswith("listening on http://127.0.0.1:")


def test_it_listens_on_the_port_it_is_given_and_answers_by_a_table(server, tmp_path):
    with running_server("providers.openai") as other:
        port = urlsplit(other.url).port
    table = tmp_path / "table.json"
    table.write_text('{"2+2?": "4"}')
    with running_server("providers.openai", "--port", str(port), "--table", str(table)) as again:
        assert urlsplit(again.url).port == port
        assert said(again, "2+2?") == "4"


def test_a_module_that_does_not_start_is_told():
    with pytest.raises(RuntimeError, match="ended with 2"), running_server("providers.openai", "--typo"):
        pass
