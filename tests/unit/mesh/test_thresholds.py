"""Learned thresholds are taken only for the cascade that they were promised of, as it was then."""

from dataclasses import replace
from pathlib import Path

import pytest
from knowledge_builders import knowledge
from unit.learning.made import IN_A_MESH

from partsong.errors import MeshError
from partsong.learning.saved import save_learned
from partsong.learning.thresholds import Thresholds
from partsong.mesh import load_mesh
from partsong.mesh.thresholds import made_of

TEXT = (
    IN_A_MESH
    + """\
learned: learned/
plans:
  trio: {ensemble: {members: [m1, m2, m3], early: false}}
  climb: {cascade: [{ask: trio, trust: {agreement: learned}}, {ask: m0}]}
"""
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "w.py").write_text("async def f(task): return 'x'\n")
    return tmp_path


def load(home: Path, text: str = TEXT, *, learning: bool = False):
    (home / "mesh.yaml").write_text(text)
    return load_mesh(home / "mesh.yaml", env={}, learning=learning)


def teach(home: Path, *levels: float, words: str = "kept") -> None:
    """Write what was learned of the mesh's cascade."""
    plans = load(home, learning=True).mesh.plans
    learned = Thresholds("climb", plans["climb"].rungs, made_of(plans["climb"], plans), None, words, 100, levels, ())
    save_learned(replace(knowledge().learned, cascades=(learned,)), home / "learned")


def refused(home: Path, text: str = TEXT) -> list[tuple[str, str]]:
    with pytest.raises(MeshError) as caught:
        load(home, text)
    return [(problem.code, problem.what) for problem in caught.value.problems]


def test_thresholds_of_the_same_cascade_are_taken(home):
    teach(home, 0.8)
    assert load(home).mesh.plans["climb"].learned


def test_to_be_learned_a_mesh_needs_nothing_learned(home):
    assert load(home, learning=True).mesh.learned is None
    assert load(home, TEXT.replace("learned: learned/\n", ""), learning=True).mesh.plans["climb"].learned
    assert [code for code, _ in refused(home)] == ["learned-unreadable"]


def test_another_cascade_than_was_learned_of_is_refused(home):
    teach(home, 0.8)
    more = TEXT.replace(
        "{ask: trio, trust: {agreement: learned}}", "{ask: trio, trust: {agreement: learned}}, {ask: m1, trust: {logprob: learned}}"
    )
    said = "no thresholds are learned for 'climb' (trio by agreement > m1 by logprob > m0)"
    assert refused(home, more) == [("threshold-not-learned", said)]


def test_a_plan_within_that_was_changed_since_is_refused(home):
    teach(home, 0.8)
    assert refused(home, TEXT.replace("[m1, m2, m3]", "[m1, m2]")) == [
        ("threshold-not-learned", "a plan that 'climb' asks was changed after its thresholds were learned")
    ]


def test_where_nothing_could_be_promised_the_reason_is_told(home):
    teach(home, words="about 300 more labelled rows would do")
    assert refused(home) == [("threshold-not-learned", "no thresholds can be promised for 'climb': about 300 more labelled rows would do")]


def test_a_plan_within_that_goes_by_what_is_learned_too_is_refused_also_to_learn(home):
    inner = TEXT.replace("trio: {ensemble: {members: [m1, m2, m3], early: false}}", "trio: {frugal: best}")
    with pytest.raises(MeshError, match="'trio' within 'climb' goes by what is learned too"):
        load(home, inner, learning=True)
