"""One mesh, one engine a session: inline, on a Ray of its own, or on one that is found by its address."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from partsong_actors.setup import SystemSpec
from partsong_cluster.engines import open_engine

from partsong.mesh import load_mesh

HERE = Path(__file__).parent


@contextmanager
def ray_at_an_address(log: Path):
    """Start `ray start --head` and stop exactly what was started."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--port=6399", "--include-dashboard=false", "--block"]
    with log.open("wb") as out:
        head = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            deadline = time.monotonic() + 60
            while b"Ray runtime started" not in log.read_bytes():
                assert head.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield "127.0.0.1:6399"
        finally:
            head.terminate()
            head.wait(30)


@pytest.fixture(scope="session")
def loaded():
    return load_mesh(HERE / "mesh.yaml", env=os.environ)


@pytest.fixture
def mesh(loaded):
    return loaded.mesh


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(request, loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    kind = request.config.getoption("--engine")
    if kind != "address":
        async with open_engine(kind, loaded, folder, secrets={}) as opened:
            yield opened
        return
    with ray_at_an_address(folder / "ray.log") as address:
        async with open_engine("ray", loaded, folder, secrets={}, address=address, system=SystemSpec.passing(coordinators=2)) as opened:
            yield opened
