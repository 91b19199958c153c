"""The hosts that tests of many machines run on: cables that are cut, power that is lost, Ray nodes that join and leave."""

import subprocess
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hosts.cluster import Cluster
from hosts.host import Host
from hosts.namespaces import why_not
from hosts.network import Network
from hosts.services import PostgresHost, S3Host, UpstreamHost

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture(scope="module")
def network():
    with Network() as made:
        yield made


@pytest.fixture
def pair(network, tmp_path):
    hosts = [Host(network, "left", 11, tmp_path), Host(network, "right", 12, tmp_path)]
    for host in hosts:
        host.start()
    yield hosts
    for host in hosts:
        host.kill()


SERVER = """\
import socket, sys
server = socket.create_server((sys.argv[1], 7000))
print("listens", flush=True)
while True:
    server.accept()[0].sendall(b"x")
"""


def hears(one: Host, address: str) -> bool:
    """Whether a new connection from this host is answered."""
    ask = f"import socket; s=socket.create_connection(({address!r}, 7000), 1); s.settimeout(1); print(s.recv(1))"
    return one.run("python", "-c", ask, check=False).returncode == 0


def serving(host: Host, address: str) -> "subprocess.Popen[bytes]":
    process = host.spawn("python", "-u", "-c", SERVER, address, log=f"{address}.log")
    while "listens" not in host.said(f"{address}.log"):
        assert process.poll() is None, host.said(f"{address}.log")
    return process


def test_a_partition_cuts_and_healing_heals(pair):
    left, right = pair
    serving(right, right.address)
    assert hears(left, right.address)
    right.partition()
    assert not hears(left, right.address)
    right.heal()
    assert hears(left, right.address)


def test_a_host_can_lose_one_cable_and_keep_the_other(pair):
    left, right = pair
    serving(right, right.address)
    serving(right, right.services_address)
    right.partition("cluster")
    assert not hears(left, right.address)
    assert hears(left, right.services_address)


def test_a_killed_host_is_gone_with_all_its_processes_and_comes_back_with_its_disk(pair):
    left, right = pair
    process = serving(right, right.address)
    right.run("sh", "-c", "echo kept > kept; echo lost > /tmp/lost")
    right.kill()
    assert process.poll() is not None
    assert not hears(left, right.address)
    right.start()
    assert right.run("cat", "kept").stdout == "kept\n"
    assert right.run("ls", "/tmp").stdout == ""
    serving(right, right.address)
    assert hears(left, right.address)


def test_hosts_share_neither_files_nor_processes(pair):
    left, right = pair
    left.run("touch", "/mnt/mine", "/tmp/mine", "/dev/shm/mine")
    assert right.run("ls", "/mnt/mine", "/tmp/mine", "/dev/shm/mine", check=False).stdout == ""
    serving(left, left.address)
    assert left.address in str(left.processes())
    assert left.address not in str(right.processes())
    assert left.run("hostname").stdout == "left\n"


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_ray_notices_a_node_that_dies_and_takes_it_back_and_outlives_its_head(network, tmp_path):
    with Cluster(network, tmp_path, nodes=3) as cluster:
        cluster.nodes[2].kill()
        assert cluster.until(lambda: len(cluster.alive()) == 2, "the dead node is noticed") < 20
        cluster.nodes[2].start()
        cluster.join(cluster.nodes[2])
        cluster.until(lambda: len(cluster.alive()) == 3, "it is back")
        cluster.nodes[1].partition("cluster")
        cluster.until(lambda: len(cluster.alive()) == 2, "the cut off node is noticed")
        cluster.nodes[1].heal()
        cluster.restart(cluster.head)
        cluster.until(lambda: len(cluster.alive()) >= 2, "the head is back, and knows its nodes")


def test_services_have_hosts_of_their_own(network, tmp_path):
    with UpstreamHost(network, tmp_path) as upstream, S3Host(network, tmp_path) as s3, PostgresHost(network, tmp_path) as postgres:
        assert upstream.server.stats()["total"] == 0
        assert postgres.asked("select 1") == [["1"]]
        postgres.stop("immediate")
        postgres.start()
        assert postgres.asked("select current_user") == [["partsong"]]
        bucket = Request(f"{s3.url}/bucket", method="PUT")
        assert urlopen(bucket, timeout=10).status == 200
        s3.shut(0.5)
        with pytest.raises(HTTPError, match="503"):
            urlopen(bucket, timeout=10)
        assert s3.stats() == {"turned_away": 1, "let_in": 1}
