"""A mesh names the model that embeds prompts; what was learned with it is refused without it, wherever the mesh is unpacked."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from threading import get_ident

import pytest
from embedding_builders import embedding_model
from unit.learning.made import IN_A_MESH, made

from partsong.contracts import Task
from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError, WeightsError
from partsong.learning.embedding import Embedder
from partsong.learning.learned import fit_learned
from partsong.learning.saved import save_learned
from partsong.learning.settings import Settings
from partsong.mesh import Mesh, load_mesh
from partsong.mesh.content import named_files
from partsong.testing.scripted import ScriptedPort

TEXT = (
    IN_A_MESH
    + """\
learned: learned/
embeddings: tiny
gate: {value_of_correct_usd: 0.02}
plans:
  f: {frugal: {goal: best, kind: label}}
"""
)
HARD = Task.of("question number 7 is hard and long to think about")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "w.py").write_text("async def f(task): return 'x'\n")
    embedding_model(folder / "other", seed=1)
    table = made(120)
    embedded = Embedder.of(embedding_model(folder / "tiny")).embedded(table.prompts, lambda done: None)
    save_learned(fit_learned(replace(table, embedded=embedded), Settings(), date="2026-11-30"), folder / "learned")
    return folder


def load(home: Path, text: str = TEXT) -> Mesh:
    (home / "mesh.yaml").write_text(text)
    return load_mesh(home / "mesh.yaml", env={}).mesh


async def test_gate_and_plans_embed_prompts_here_and_where_the_mesh_is_unpacked(home: Path):
    mesh = load(home)
    there = Mesh.unpack(mesh.pack(), folder=home)
    assert there == mesh
    assert there.router().decide(HARD) == mesh.router().decide(HARD)
    answer = await ScriptedPort(dict.fromkeys(("m0", "m1", "m2", "m3"), "right")).answer(there.plans["f"], HARD.text)
    assert answer.text == "right"


async def test_a_frugal_plan_embeds_in_a_thread_whatever_it_is_asked(home: Path, monkeypatch: pytest.MonkeyPatch):
    mesh, threads, own = load(home), [], Embedder._vectors
    monkeypatch.setattr(Embedder, "_vectors", lambda self, prompts: threads.append(get_ident()) or own(self, prompts))
    await ScriptedPort(dict.fromkeys(("m0", "m1", "m2", "m3"), "right")).answer(mesh.plans["f"], "what a stage before it made of the task")
    assert len(threads) == 1
    assert threads != [get_ident()]


def test_a_node_without_the_model_says_so_before_rows_come(home: Path, tmp_path: Path):
    with pytest.raises(WeightsError) as caught:
        Mesh.unpack(load(home).pack(), folder=tmp_path).router()
    assert caught.value.problems[0].code == "embeddings-unreadable"


def test_the_models_files_belong_to_the_mesh(home: Path):
    assert {home / "tiny" / "model.onnx", home / "tiny" / "tokenizer.json"} <= set(named_files(load(home), home))


def test_a_folder_of_the_users_own_is_found_by_its_tilde_once_that_is_allowed(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(home))
    inner = home / "inner"
    inner.mkdir()
    (inner / "learned").symlink_to(home / "learned")
    (inner / "w.py").write_text("async def f(task): return 'x'\n")
    (inner / "mesh.yaml").write_text(TEXT.replace("embeddings: tiny", "embeddings: ~/tiny"))
    with pytest.raises(MeshError, match="outside-folder"):
        load_mesh(inner / "mesh.yaml", env={})
    mesh = load_mesh(inner / "mesh.yaml", env={}, allowed=Allowed(outside_files=True)).mesh
    assert Mesh.unpack(mesh.pack(), folder=inner).router().decide(HARD) == load(home).router().decide(HARD)
    assert all(path.is_relative_to(inner) for path in named_files(mesh, inner))


@pytest.mark.parametrize(("folder", "file"), [("tiny", "model.onnx"), ("tiny", "tokenizer.json"), ("learned", "learned.msgpack")])
def test_a_link_within_a_folder_may_not_lead_out_unless_allowed(home: Path, tmp_path: Path, folder: str, file: str):
    for name in ("tiny", "learned"):
        copytree(home / name, tmp_path / name)
    (tmp_path / "w.py").write_text("async def f(task): return 'x'\n")
    (tmp_path / folder / file).unlink()
    (tmp_path / folder / file).symlink_to(home / folder / file)
    with pytest.raises(MeshError, match="outside-folder"):
        load(tmp_path)
    assert load_mesh(tmp_path / "mesh.yaml", env={}, allowed=Allowed(outside_files=True)).mesh.router().decide(HARD)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("embeddings: tiny\n", ""), ["embeddings-missing"]),
        (("embeddings: tiny", "embeddings: other"), ["embeddings-differ"]),
        (("embeddings: tiny", "embeddings: nowhere"), ["embeddings-unreadable"]),
        (("embeddings: tiny", "embeddings: ../x"), ["outside-folder"]),
        (("embeddings: tiny", "embeddings: ~nobody-of-this-name/x"), ["outside-folder"]),
        (("embeddings: tiny", "embeddings: 5"), ["wrong-type"]),
    ],
)
def test_what_cannot_embed_is_refused(home: Path, change: tuple[str, str], expected: list[str]):
    with pytest.raises(MeshError) as caught:
        load(home, TEXT.replace(*change))
    assert [problem.code for problem in caught.value.problems] == expected
