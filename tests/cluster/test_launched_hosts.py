"""Hosts started by the very commands of the rendered launcher file, with the certificates of the script: what is open, and what is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hosts.cluster import TOKEN
from hosts.host import DISK, Host
from hosts.namespaces import why_not
from hosts.network import Network
from hosts.services import DATABASE_PASSWORD, PostgresHost, UpstreamHost
from manifests import documents
from partsong_cluster.deploy.launcher import launcher_files
from partsong_cluster.deploy.load import load_deploy_text

pytestmark = [pytest.mark.skipif(why_not() is not None, reason=why_not() or ""), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
DEPLOY = f"""\
version: 1
name: support
autoscaling: {{node_types: {{host: {{resources: {{cpu: 2, memory: 2GiB}}, labels: {{rack: a}}, min: 1, max: 1}}}}}}
security: {{tls: on, tls_folder: {DISK}/tls, dashboard_host: HEAD}}
launcher:
  head: HEAD
  workers: [WORKER]
  python: {Path(sys.executable).parent}
  token_path: {DISK}/token
  keys: {DISK}/keys
  state: {DISK}/gcs
"""
MESH = """\
version: 1
models:
  mini: {adapter: openai, model: mini, base_url: URL, api_key: {env: UPSTREAM_KEY}, resources: {cpu: 1}}
routes: [{use: mini}]
store: {url: STORE}
"""
NODES = """\
import json, ray
ray.init("auto", logging_level="ERROR")
print(json.dumps(sorted([n["NodeManagerAddress"], n["Resources"].get("CPU", 0), n["Labels"].get("rack")] for n in ray.nodes())))
"""
LEAVING = """\
import json, ray
from ray._raylet import GcsClient
ray.init("auto", logging_level="ERROR")
leaving = GcsClient(address=ray.get_runtime_context().gcs_address).get_draining_nodes()
print(json.dumps([n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] in leaving or not n["Alive"]]))
"""
TOKENS = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{DISK}/token"}
TLS = {
    "RAY_USE_TLS": "1",
    "RAY_TLS_SERVER_CERT": f"{DISK}/tls/tls.crt",
    "RAY_TLS_SERVER_KEY": f"{DISK}/tls/tls.key",
    "RAY_TLS_CA_CERT": f"{DISK}/tls/ca.crt",
}


@pytest.fixture(scope="module")
def network():
    with Network() as made:
        yield made


@pytest.fixture(scope="module")
def hosts(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    made = [Host(network, "head", 1, folder), Host(network, "worker", 2, folder)]
    head, worker = made
    subprocess.run([ROOT / "deploy/certificates.sh", folder / "tls", head.address, worker.address], check=True)
    (rendered,) = documents(
        launcher_files(load_deploy_text(DEPLOY.replace("HEAD", head.address).replace("WORKER", worker.address)))["cluster.yaml"]
    )
    commands = {head: rendered["head_start_ray_commands"][1], worker: rendered["worker_start_ray_commands"][1]}
    for host in made:
        host.disk.mkdir(parents=True)
        (host.disk / "token").write_text(TOKEN)
        (host.disk / "token").chmod(0o600)
        (host.disk / "keys").write_text(f"UPSTREAM_KEY=k\nPGPASSWORD={DATABASE_PASSWORD}\n")
        (folder / "tls" / host.address).rename(host.disk / "tls")
        host.start()
        # `ray up` puts the autoscaler's file there, and reaches hosts by SSH, which these have not
        command = commands[host].replace("--autoscaling-config=~/ray_bootstrap_config.yaml", "")
        host.run("bash", "-c", command, environment={"RAY_HEAD_IP": head.address}, timeout_s=120)
    yield made
    for host in reversed(made):
        host.kill()


def asked(host, url):
    """Return what a request without a token comes to on the host."""
    return host.run("wget", "-q", "-T", "4", "-O", "-", url, check=False)


def test_hosts_join_with_their_labels_and_the_head_offers_no_processor(hosts):
    head, worker = hosts
    said = head.run("python", "-c", NODES, environment=TOKENS | TLS, timeout_s=60).stdout
    assert json.loads(said.splitlines()[-1]) == [[head.address, 0, None], [worker.address, 2.0, "a"]]


def test_a_run_goes_over_encrypted_machines(hosts, network, tmp_path):
    head, _ = hosts
    with UpstreamHost(network, tmp_path) as upstream, PostgresHost(network, tmp_path) as store:
        (head.disk / "mesh.yaml").write_text(MESH.replace("URL", upstream.url).replace("STORE", store.url))
        (head.disk / "rows.jsonl").write_text("".join(f'{{"prompt": "question {n}"}}\n' for n in range(20)))
        environment = TOKENS | TLS | store.environment | {"UPSTREAM_KEY": "k", "RAY_ADDRESS": f"{head.address}:6379"}
        head.run("partsong", "run", "mesh.yaml", "rows.jsonl", "-o", "out", environment=environment, timeout_s=120)
        assert len((head.disk / "out/output.jsonl").read_text().splitlines()) == 20
        assert len(upstream.server.arrivals()) == 20


def test_a_deploy_file_is_applied_on_the_head_and_ended(hosts, network, tmp_path):
    head, _ = hosts
    with PostgresHost(network, tmp_path, 204) as store:
        (head.disk / "mesh.yaml").write_text(MESH.replace("URL", "http://127.0.0.1:1/v1").replace("STORE", store.url))
        (head.disk / "deploy.yaml").write_text("version: 1\nname: support\n")
        environment = TOKENS | TLS | {"RAY_ADDRESS": f"{head.address}:6379"}
        apply = ["partsong", "deploy", "apply", "deploy.yaml", "--mesh", "mesh.yaml", "--yes", "--wait", "90"]
        assert "support: applied" in head.run(*apply, environment=environment, timeout_s=120).stdout
        assert "nothing to do" in head.run(*apply, environment=environment, timeout_s=60).stdout
        assert "ended" in head.run("partsong", "deploy", "end", "support", "--yes", environment=environment, timeout_s=60).stdout


def test_without_tls_nobody_is_heard(hosts):
    head, _ = hosts
    done = head.run("timeout", "20", "ray", "status", f"--address={head.address}:6379", environment=TOKENS, check=False, timeout_s=40)
    assert done.returncode != 0


def test_health_is_told_without_a_token_as_containers_and_kubernetes_ask(hosts):
    head, worker = hosts
    assert asked(head, f"http://{head.address}:8265/api/gcs_healthz").stdout == "success"
    for host in (head, worker):
        assert asked(host, f"http://{host.address}:52365/api/local_raylet_healthz").stdout == "success"


def test_jobs_are_refused_without_a_token_and_metrics_are_not(hosts):
    head, worker = hosts
    assert asked(head, f"http://{head.address}:8265/api/jobs/").returncode != 0
    assert "ray_" in asked(worker, f"http://{worker.address}:8080/metrics").stdout


def test_the_dashboard_listens_on_the_private_address_alone(hosts):
    head, _ = hosts
    assert asked(head, "http://127.0.0.1:8265/api/gcs_healthz").returncode != 0


def test_what_listens_beyond_the_private_address_is_what_the_page_says(hosts):
    """Ports of Ray's own choice ask for the token; of the fixed ones only metrics and the client's listen where nobody said so."""
    for host, fixed in zip(hosts, ({6379, 8080, 44217, 44227}, {8080}), strict=True):
        lines = [line.split() for line in host.run("ss", "-H", "-l", "-t", "-n", "-p").stdout.splitlines()]
        everywhere = {int(line[3].rpartition(":")[2]): line[-1].split('"')[1] for line in lines if line[3].startswith(("*:", "0.0.0.0:"))}
        chosen = {program for port, program in everywhere.items() if port not in fixed}
        assert fixed <= set(everywhere)
        assert chosen <= {"raylet", "ray::DashboardA"}


def test_a_machine_that_is_about_to_go_says_so(hosts):
    """One with nothing to do, as here, is then let go by Ray at once."""
    head, worker = hosts
    worker.run("python", "-m", "partsong_cluster.deploy.leave", "--within", "20", environment=TOKENS | TLS, timeout_s=60)
    said = head.run("python", "-c", LEAVING, environment=TOKENS | TLS, timeout_s=60).stdout
    assert json.loads(said.splitlines()[-1]) == [worker.address]
