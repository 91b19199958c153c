"""The ready meshes: each is sound, explains itself, and refuses to start without its keys."""

from pathlib import Path

import pytest

import partsong
from partsong.errors import MeshError
from partsong.mesh import load_mesh

MESHES = sorted((Path(__file__).resolve().parents[3] / "deploy/meshes").glob("*.yaml"))
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "k"}


VENDORS = [path for path in MESHES if path.stem not in ("mixed", "mood")]


@pytest.mark.parametrize("path", MESHES, ids=lambda path: path.stem)
def test_a_ready_mesh_is_sound(path: Path):
    assert load_mesh(path, env=KEYS).mesh.plans


@pytest.mark.parametrize("path", VENDORS, ids=lambda path: path.stem)
def test_a_vendors_model_has_a_price(path: Path):
    assert all(spec.price for spec in load_mesh(path, env=KEYS).mesh.models.values())


async def test_the_mood_mesh_asks_no_language_model_where_the_lexicon_is_sure():
    async with partsong.open(Path(MESHES[0]).parent / "mood.yaml", env={}) as mesh:
        answer = await mesh.ask("I love this phone, best purchase of the year!")
    assert answer.text == "positive"
    assert [line.model for line in answer.bill] == ["lexicon"]


@pytest.mark.parametrize("path", VENDORS, ids=lambda path: path.stem)
def test_a_ready_mesh_names_every_missing_key(path: Path):
    with pytest.raises(MeshError, match="_API_KEY"):
        load_mesh(path, env={})


def test_the_common_needs_are_there():
    assert {path.stem for path in MESHES} == {
        "assembly-line",
        "cost-saver",
        "customer-feedback",
        "faq-cascade",
        "mixed",
        "mood",
        "vote-of-three",
        "weekend",
    }
