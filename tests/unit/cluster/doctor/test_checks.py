"""What the doctor says of a machine and a cluster, each finding with what to do about it."""

import socket
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.deploy.load import load_deploy_text
from partsong_cluster.doctor import CHECKS, Finding, Patient
from partsong_cluster.doctor.finding import merged, ok, warn
from partsong_cluster.doctor.on_node import health_of
from partsong_cluster.doctor.patient import Clock, ModelHealth, Node
from partsong_cluster.doctor.probe import Facts, Wanted, probed

from partsong.contracts.allowed import NOTHING
from partsong.mesh import load_text

GB = 10**9
TOKEN = "s3cret" * 8


def facts(where: str = "10.0.0.1", **fields) -> Facts:
    sound = Facts(
        where=where,
        hostname="host",
        python="3.11.7",
        ray="2.60.0",
        partsong="0.1.0",
        clock_s=0.0,
        listens={},
        disk_free=50 * GB,
        disk_total=100 * GB,
        shm_total=4 * GB,
        shm_free=4 * GB,
        open_files=65_536,
        token_file="~/.ray/auth_token",
        token_mode=None,
        auth_mode="token",
        tls=True,
        certificate_days=None,
        variables={},
        reaches={},
    )
    return sound._replace(**fields)


def node(where: str = "10.0.0.1", *, clock: Clock | None = None, models=None, ports=None, store: int = GB, **fields) -> Node:
    return Node(facts(where, **fields), where, ports or {}, clock, models, store)


def found(check: str, *nodes: Node, here: Facts | None = None, **fields) -> list[Finding]:
    [run] = [one.run for one in CHECKS if one.name == check]
    return list(run(Patient(here=here or facts("here"), nodes=nodes, **fields)))


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def test_each_check_asks_a_question_and_has_a_name_of_its_own():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert [check.name for check in CHECKS if "?" not in check.question] == []


def test_a_sound_cluster_has_nothing_wrong():
    clock = Clock(offset_s=0.001, round_trip_s=0.004)
    patient = Patient(here=facts("here"), nodes=(node("a", clock=clock), node("b", clock=clock)))
    findings = [finding for check in CHECKS for finding in check.run(patient)]
    assert {finding.level for finding in findings} == {"ok"}


def test_what_is_wrong_always_has_a_remedy():
    bad = facts("a", partsong="", disk_free=GB, open_files=1024, token_mode=0o644, auth_mode="", tls=False, reaches={"db:5432": "refused"})
    sick = Node(
        bad, "a", {8265: "dashboard"}, Clock(offset_s=3.0, round_trip_s=0.01), [ModelHealth(model="m", key="not set", asked="auth: no")], 0
    )
    patient = Patient(here=facts("here"), nodes=(sick, Node(None, "b")))
    wrong = [finding for check in CHECKS for finding in check.run(patient) if finding.level != "ok"]
    assert len(wrong) >= 10
    assert [finding for finding in wrong if not finding.remedy] == []


def test_several_nodes_that_fare_alike_are_told_together():
    assert merged([ok("a", "fine"), warn("b", "hm", "do"), ok("c", "fine")]) == [ok("a, c", "fine"), warn("b", "hm", "do")]


@pytest.mark.parametrize(("other", "level"), [({"partsong": "0.2.0"}, "fail"), ({"partsong": ""}, "warn"), ({"ray": "2.59.0"}, "fail")])
def test_another_version_is_told_with_both(other, level):
    finding = only(found("versions", node(**other)))
    assert finding.level == level
    assert next(iter(other.values())) in finding.what


def test_a_patch_of_python_is_no_other_version():
    assert only(found("versions", node(python="3.11.9"))).level == "ok"
    assert only(found("versions", node(python="3.12.1"))).level == "fail"


def test_a_clock_is_off_only_when_the_round_trip_does_not_explain_it():
    assert only(found("clocks", node(clock=Clock(offset_s=-0.8, round_trip_s=0.01)))).what == "its clock is 0.80 s behind the one here"
    assert only(found("clocks", node(clock=Clock(offset_s=0.8, round_trip_s=2.0)))).level == "ok"


def test_ports_on_all_addresses_are_named_and_those_that_ask_for_no_token():
    ports = {9100: "metrics", 8265: "dashboard, job API", 6379: "GCS"}
    listens = {9100: ("0.0.0.0",), 8265: ("127.0.0.1",), 6379: ("10.0.0.1",)}
    outside, inside = found("ports", node(ports=ports, listens=listens))
    assert (outside.level, outside.what) == ("warn", "on all addresses: 9100 (metrics); 9100 without a token")
    assert inside.what == "Ray's ports: 1 on a private address, 1 on this machine alone"
    assert found("ports", node(ports=ports, listens=listens, auth_mode=""))[0].level == "fail"
    assert found("ports", node(ports=ports, listens={6379: ("::",)}))[0].level == "warn"


def test_a_token_that_others_can_read_is_wrong():
    assert only(found("token file", here=facts("here", token_mode=0o644))).remedy == "chmod 600 ~/.ray/auth_token"
    assert only(found("token file", here=facts("here", token_mode=0o600))).level == "ok"
    named = only(found("token file", here=facts("here", token_file="/etc/partsong/token", token_mode=0o644)))
    assert named.what.startswith("/etc/partsong/token has mode 0644")
    assert named.remedy == "chmod 600 /etc/partsong/token"


def test_the_token_file_that_is_looked_at_is_the_one_that_ray_reads(tmp_path, monkeypatch):
    def looked_at() -> tuple[str, int | None]:
        told = Facts(*probed("here", tuple(Wanted())))
        return told.token_file, told.token_mode

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert looked_at() == ("~/.ray/auth_token", None)
    for name, mode in ((".ray/auth_token", 0o644), ("named", 0o600)):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        file.chmod(mode)
    assert looked_at() == ("~/.ray/auth_token", 0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert looked_at() == (str(tmp_path / "named"), 0o600)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "held by the variable")
    assert looked_at() == ("", None)


def test_certificates_are_told_before_they_end():
    levels = [only(found("tls", node(certificate_days=days))).level for days in (300, 5, -1)]
    assert levels == ["ok", "warn", "fail"]


def test_clear_text_is_wrong_where_the_deploy_file_wants_tls():
    deploy = load_deploy_text("version: 1\nname: night\nsecurity: {tls: on}\n")
    assert only(found("tls", node(tls=False), deploy=deploy)).level == "fail"
    assert {finding.level for finding in found("tls", node("a", tls=False), node("b", tls=False))} == {"warn"}


def test_a_store_of_one_machine_is_doubtful_for_several(tmp_path):
    deploy = load_deploy_text(f"version: 1\nname: night\nstore: {{url: 'sqlite:///{tmp_path}/j.db', segments: 'file://{tmp_path}'}}\n")
    assert only(found("store", node("a"), node("b"), deploy=deploy)).level == "warn"
    assert only(found("store", node("a"), deploy=deploy)).level == "ok"
    assert only(found("segments", deploy=deploy)).what == "written, read and deleted"
    assert list(tmp_path.iterdir()) == []


def test_a_place_of_segments_that_cannot_be_written_says_why():
    deploy = load_deploy_text("version: 1\nname: night\nstore: {segments: 'nowhere://bucket'}\n")
    finding = only(found("segments", deploy=deploy))
    assert (finding.level, "nowhere" in finding.what) == ("fail", True)


def test_a_store_that_is_away_is_told_without_its_password():
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        deploy = load_deploy_text(f"version: 1\nname: night\nstore: {{url: 'postgresql://me@127.0.0.1:{unused.getsockname()[1]}/db'}}\n")
        finding = only(found("store", deploy=deploy))
    assert finding.level == "fail"
    assert "me@" not in finding.where


def test_keys_are_told_by_name():
    models = [
        ModelHealth(model="mini", key="", key_name="UPSTREAM_KEY"),
        ModelHealth(model="other", key="environment variable K is not set"),
    ]
    there, missing = found("keys", node(models=models))
    assert (there.what, missing.level) == ("mini: UPSTREAM_KEY can be read", "fail")


class Head(BaseHTTPRequestHandler):
    """A job API that asks for a token, unless `open` is set."""

    def do_GET(self) -> None:
        known = self.server.open or self.headers.get("authorization") == f"Bearer {TOKEN}"
        self.send_response(200 if known else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def head(*, open_to_all: bool):
    with ThreadingHTTPServer(("127.0.0.1", 0), Head) as server:
        server.open = open_to_all
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("open_to_all", "token", "words"),
    [(False, TOKEN, "refuses who has"), (True, TOKEN, "answers without"), (False, None, "refuses the token")],
)
def test_the_job_api_is_asked_with_and_without_the_token(open_to_all, token, words):
    with head(open_to_all=open_to_all) as url:
        assert words in only(found("auth", dashboard=Dashboard(url, token))).what


def test_the_probe_finds_what_listens_here_and_what_can_be_reached(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "not to be read")
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        told = Facts(*probed("here", tuple(Wanted(("SOME_KEY", "OTHER_KEY"), (("127.0.0.1", port), ("127.0.0.1", 1))))))
    assert told.listens[port] == ("127.0.0.1",)
    assert told.variables == {"SOME_KEY": True, "OTHER_KEY": False}
    assert told.reaches[f"127.0.0.1:{port}"] == ""
    assert told.reaches["127.0.0.1:1"] == "Connection refused"
    assert "not to be read" not in repr(told)


def test_a_node_that_runs_no_python_code_is_not_asked_to(tmp_path, monkeypatch):
    (tmp_path / "workers.py").write_text("raise SystemExit('it was run')\n")
    text = "version: 1\nmodels: {shout: {adapter: python, target: 'workers:shout'}}\nroutes: [{use: shout}]\n"
    monkeypatch.setenv("PARTSONG_PYTHON_ADAPTER", "off")
    packed = load_text(text, tmp_path, env={}, check_secrets=False).mesh.pack()
    (shout,) = health_of(packed, str(tmp_path), NOTHING, ask=True)
    assert "runs none (PARTSONG_PYTHON_ADAPTER=off)" in (shout.asked or "")
