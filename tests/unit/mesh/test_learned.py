"""What was learned becomes part of a mesh: read from its folder, sent with it, shown by its fingerprint, refused where it does not fit."""

import pickle
from pathlib import Path

import pytest
from knowledge_builders import EASY, HARD, MODELS, knowledge, saved
from unit.learning.made import IN_A_MESH, made

from partsong.contracts import Task
from partsong.errors import InputError, MeshError
from partsong.evaluation.reading import Kind, Label, Number
from partsong.learning.learned import fit_learned
from partsong.learning.saved import save_learned
from partsong.learning.settings import Settings
from partsong.mesh import Mesh, load_mesh
from partsong.mesh.show import shown
from partsong.testing.scripted import ScriptedPort

TEXT = (
    IN_A_MESH
    + """\
learned: learned/
plans:
  f: {frugal: {goal: best, kind: label}}
"""
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    saved(tmp_path)
    (tmp_path / "w.py").write_text("async def f(task): return 'x'\n")
    return tmp_path


def load(home: Path, text: str = TEXT):
    (home / "mesh.yaml").write_text(text)
    return load_mesh(home / "mesh.yaml", env={})


def codes(home: Path, text: str) -> list[str]:
    with pytest.raises(MeshError) as caught:
        load(home, text)
    return [problem.code for problem in caught.value.problems]


async def test_a_frugal_plan_goes_by_what_was_learned(home):
    plan = load(home).mesh.plans["f"]
    assert set(plan.asks()) <= set(MODELS)
    port = ScriptedPort(dict.fromkeys(MODELS, "right"))
    answer = await port.answer(plan, EASY)
    assert port.names == list(plan.asks())[: len(port.names)]
    assert answer.text == "right"
    assert answer.confidence == pytest.approx(knowledge().honest("best", answer.tiers[-1].confidence))


def test_it_travels_in_the_packed_mesh_and_workers_are_spared_it(home):
    mesh = load(home).mesh
    there = Mesh.unpack(mesh.pack())
    assert there == mesh
    assert list(there.plans["f"].asks()) == list(mesh.plans["f"].asks())
    assert len(mesh.lean().pack()) < 5_000 < len(mesh.pack())
    assert Mesh.unpack(mesh.lean().pack()).plans["f"].goal == "best"


def test_it_is_shown_by_its_fingerprint(home):
    loaded = load(home)
    assert shown(loaded)["learned"] == "learned/"
    assert shown(loaded, defaults=True)["learned"] == {"folder": "learned/", "fingerprint": knowledge().fingerprint}


def test_another_artefact_makes_another_mesh(home):
    one = load(home)
    without = load(home, TEXT.replace("learned: learned/\n", "").replace("goal: best", "models: {m0: {accuracy: 0.9, cost_usd: 0.1}}"))
    assert one.hash == load(home).hash != without.hash


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("learned: learned/\n", ""), ["not-learned"]),
        (("goal: best", "goal: promised"), ["goal-not-learned"]),
        (("learned: learned/", "learned: nowhere/"), ["learned-unreadable"]),
        (("learned: learned/", "learned: ../x"), ["outside-folder"]),
        (("learned: learned/", "learned: 5"), ["wrong-value"]),
        (("learned: learned/", "learned: {folder: x}"), ["missing-field"]),
    ],
)
def test_what_does_not_fit_is_refused(home, change, expected):
    assert codes(home, TEXT.replace(*change)) == expected


def read_as(home: Path, kind: Kind | None) -> None:
    save_learned(fit_learned(made(60), Settings(), date="2026-11-30", answer_kind=kind), home / "learned")


def test_answers_are_counted_as_they_were_read_when_it_was_learned(home):
    bare = TEXT.replace("{goal: best, kind: label}", "best")
    assert load(home, bare).mesh.plans["f"].counted == Label()
    read_as(home, Label(among=("right", "wrong")))
    mesh = load(home, bare).mesh
    assert mesh.plans["f"].counted == Mesh.unpack(mesh.pack()).plans["f"].counted == Label(among=("right", "wrong"))
    assert load(home).mesh.plans["f"].counted == Label()


def test_another_kind_of_answers_than_it_was_learned_with_is_refused(home):
    read_as(home, Number())
    assert codes(home, TEXT) == ["kind-not-learned"]
    read_as(home, None)
    assert load(home).mesh.plans["f"].counted == Label()


def test_what_is_learned_of_other_models_is_refused(home):
    assert "learned-other-models" in codes(home, TEXT.replace("  m3:", "  other:"))


def test_a_damaged_artefact_is_refused(home):
    path = home / "learned" / "learned.msgpack"
    path.write_bytes(path.read_bytes()[:-100])
    assert codes(home, TEXT) == ["learned-unreadable"]


def test_knowledge_is_its_bytes():
    known = knowledge()
    copy = pickle.loads(pickle.dumps(known))
    assert (copy, hash(copy), copy.fingerprint) == (known, hash(known), known.fingerprint)
    with pytest.raises(InputError) as caught:
        _ = type(known)(b"no").learned
    assert caught.value.problems[0].code == "learned-unreadable"


def test_the_level_and_the_price_may_be_given_in_place_of_what_was_learned():
    given = knowledge().inquiry("best", HARD, enough=0.5, value_usd=0.2)
    assert (given.enough, given.value_usd) == (0.5, 0.2)
    assert knowledge().inquiry("best", HARD).value_usd is None
    assert all(voice.cost_usd > 0 for voice in given.voices)


GATED = f"{TEXT}gate: {{among: [m0, m3, f], value_of_correct_usd: 0.01}}\n"


def test_the_gate_chooses_among_models_and_plans_of_known_worth(home):
    mesh = load(home, GATED).mesh
    assert mesh.router().decide(Task.of(HARD)).reason == "gate"
    assert Mesh.unpack(mesh.pack()).router().decide(Task.of(HARD)) == mesh.router().decide(Task.of(HARD))
    assert load(home, GATED.replace("among: [m0, m3, f], ", "")).mesh.router().decide(Task.of(EASY)).use in MODELS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("among: [m0, m3, f]", "among: [m0, m9]"), ["unknown-name"]),
        (("among: [m0, m3, f]", "among: [m0]"), ["nothing-to-choose"]),
        (("frugal: {goal: best, kind: label}", "direct: m0"), ["not-learned"]),
        (("learned: learned/\n", ""), ["not-learned", "not-learned"]),
    ],
)
def test_a_gate_that_could_not_choose_is_refused(home, change, expected):
    assert codes(home, GATED.replace(*change)) == expected
