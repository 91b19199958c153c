"""Which Ray is joined: a file that a killed cluster left behind leads nowhere, and that is found out at once."""

import socket

from partsong_cluster.ray_runtime import _somebody_listens


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
