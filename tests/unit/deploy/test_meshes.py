"""The ready meshes: each is sound, explains itself, and refuses to start without its keys."""

from pathlib import Path

import pytest

from partsong.errors import MeshError
from partsong.mesh import load_mesh

MESHES = sorted((Path(__file__).resolve().parents[3] / "deploy/meshes").glob("*.yaml"))
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k"}


@pytest.mark.parametrize("path", MESHES, ids=lambda path: path.stem)
def test_a_ready_mesh_is_sound(path: Path):
    mesh = load_mesh(path, env=KEYS).mesh
    assert mesh.plans
    assert all(spec.price for spec in mesh.models.values())


@pytest.mark.parametrize("path", MESHES, ids=lambda path: path.stem)
def test_a_ready_mesh_names_every_missing_key(path: Path):
    with pytest.raises(MeshError, match="_API_KEY"):
        load_mesh(path, env={})


def test_the_common_needs_are_there():
    assert {path.stem for path in MESHES} == {"assembly-line", "cost-saver", "customer-feedback", "faq-cascade", "vote-of-three"}
