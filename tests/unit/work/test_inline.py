"""The inline engine's workers: one that does not start is no reason to fail while another may."""

import pytest

from partsong.errors import MeshError
from partsong.journal.sqlite import SqliteStore
from partsong.mesh import load_mesh
from partsong.opened import inline_engine, open_mesh
from partsong.telemetry import Telemetry

HALF = """
import itertools
import time

made = itertools.count()

class Half:
    def __init__(self):
        if next(made) == 0:
            raise RuntimeError("no room")
        time.sleep(0.1)

    async def complete(self, task):
        return "from the second"
"""
MESH = 'version: 1\nmodels:\n  half: {{adapter: python, target: "{target}", workers: {{min: 2, max: 2}}}}\n'


@pytest.fixture
def mesh(tmp_path):
    def write(target):
        (tmp_path / "half.py").write_text(HALF)
        path = tmp_path / "mesh.yaml"
        path.write_text(MESH.format(target=target))
        return path

    return write


async def test_a_worker_that_starts_answers_though_another_could_not(mesh):
    async with open_mesh(mesh("half:Half"), env={}) as opened:
        assert [(await opened.ask("Hello")).text for _ in range(3)] == ["from the second"] * 3


async def test_a_model_that_is_asked_directly_and_cannot_start_raises_what_to_do(mesh):
    async with open_mesh(mesh("half:Whole"), env={}) as opened:
        for _ in range(2):
            with pytest.raises(MeshError, match="Whole") as caught:
                await opened.ask("Hello")
            assert caught.value.problems[0].remedy


async def test_a_journal_is_free_again_when_telemetry_could_not_start(mesh, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no room for traces")

    monkeypatch.setattr(Telemetry, "start", refuse)
    with pytest.raises(OSError, match="no room"):
        async with inline_engine(load_mesh(mesh("half:Half"), env={}), tmp_path, secrets={}):
            raise AssertionError("it has not started")
    SqliteStore.open(tmp_path / "journal.db").close()
