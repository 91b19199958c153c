"""Decisions: written into the mesh file, whose comments stay, and kept beside it."""

import json

import pytest
from partsong_cluster.decisions import decide, decisions_beside, keep_stop, stops_beside

from partsong.errors import InputError, MeshError
from partsong.evaluation.guardrails import Guard
from partsong.mesh import load_mesh
from partsong.routing.rollout import Stopped

MESH = """\
version: 1
models:
    mini: {adapter: recorded, file: "mini.jsonl"}   # small
    maxi:
        adapter: recorded
        file: 'maxi.jsonl'
        price: {input: 1, output: 2}
experiments:
    # which of the two?
    trial:
        split:
            champion: mini
            challenger: maxi    # the new one
            share: 0.1
    other: {shadow: {champion: mini, challenger: maxi, usd_per_run: 0}}
routes:
    -   when: {longer_than: 10}
        use: trial
    -   use: mini
"""
WHEN = {"who": "ann", "at": "2026-11-30T10:00:00+00:00"}


@pytest.fixture
def mesh(tmp_path):
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH)
    return path


def decided(mesh, name="trial"):
    return load_mesh(mesh, env={}).mesh.experiments[name].decided


def test_a_decision_is_one_line_of_the_file_and_all_else_stays(mesh):
    before = mesh.read_text()
    decide(mesh, "trial", "challenger", reason="better", **WHEN)
    assert decided(mesh) == "challenger"
    assert [line for line in mesh.read_text().splitlines() if line not in before.splitlines()] == ["            decided: challenger"]
    assert set(before.splitlines()) <= set(mesh.read_text().splitlines())


def test_a_decision_is_kept_with_who_when_and_why(mesh):
    decide(mesh, "trial", "challenger", reason="better", **WHEN)
    decide(mesh, "trial", "champion", reason="complaints", **WHEN)
    first, second = decisions_beside(mesh)
    assert (first.who, first.at, first.reason, first.arm, first.use, first.before) == (
        "ann",
        WHEN["at"],
        "better",
        "challenger",
        "maxi",
        None,
    )
    assert (second.arm, second.use, second.before) == ("champion", "mini", "challenger")
    assert decided(mesh) == "champion"
    assert len((mesh.parent / "experiments.jsonl").read_text().splitlines()) == 2


def test_an_entry_on_one_line_is_written_into(mesh):
    decide(mesh, "other", "champion", reason="dear", **WHEN)
    assert decided(mesh, "other") == "champion"
    assert "other: {shadow: {champion: mini, decided: champion, challenger: maxi, usd_per_run: 0}}" in mesh.read_text()


def test_decisions_of_other_mesh_files_are_theirs(mesh):
    decide(mesh, "trial", "challenger", reason="better", **WHEN)
    assert decisions_beside(mesh.with_name("another.yaml")) == []


def test_an_unknown_experiment_is_an_error_with_the_nearest_and_decides_nothing(mesh):
    with pytest.raises(MeshError, match="there is no experiment 'trail'") as found:
        decide(mesh, "trail", "champion", reason="x", **WHEN)
    assert "did you mean 'trial'?" in str(found.value.problems[0].remedy)
    assert decisions_beside(mesh) == []


def test_an_experiment_of_an_extended_file_is_decided_there(mesh):
    over = mesh.with_name("over.yaml")
    over.write_text("extends: mesh.yaml\n")
    before = over.read_text()
    with pytest.raises(MeshError, match="is not written in this file"):
        decide(over, "trial", "champion", reason="x", **WHEN)
    assert over.read_text() == before
    assert decisions_beside(over) == []


def test_a_link_to_a_mesh_file_stays_one(mesh, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "mesh.yaml"
    link.symlink_to(mesh)
    decide(link, "trial", "challenger", reason="x", **WHEN)
    assert link.is_symlink()
    assert decided(mesh) == "challenger"


def test_a_broken_mesh_file_is_refused(mesh):
    mesh.write_text("version: 1\nmodels: []\n")
    with pytest.raises(MeshError):
        decide(mesh, "trial", "champion", reason="x", **WHEN)


@pytest.mark.parametrize("line", ["{", "[]", json.dumps({"who": "ann"}), "\xff"])
def test_a_line_that_is_no_decision_is_named(mesh, line):
    decide(mesh, "trial", "champion", reason="x", **WHEN)
    with (mesh.parent / "experiments.jsonl").open("ab") as kept:
        kept.write(line.encode("latin-1") + b"\n")
    with pytest.raises(InputError) as found:
        decisions_beside(mesh)
    assert (found.value.problems[0].code, found.value.problems[0].at.line) == ("bad-decision", 2)


STOPPED = Stopped("trial", Guard(name="failure_rise", limit=0.05, value=0.5, e_value=90.0, state="broken"))


@pytest.fixture
def rollout(mesh):
    split = "split:\n            champion: mini\n            challenger: maxi    # the new one\n            share: 0.1"
    mesh.write_text(MESH.replace(split, "rollout: {champion: mini, challenger: maxi, stages: [{share: 0.1}]}"))
    return mesh


def test_a_stop_is_kept_among_the_decisions_until_something_is_decided(rollout):
    before = rollout.read_text()
    keep_stop(rollout, load_mesh(rollout, env={}), STOPPED, run="out", **WHEN)
    [kept] = decisions_beside(rollout)
    assert (kept.stopped, kept.arm, kept.use, kept.runs) == (True, "champion", "mini", ("out",))
    assert kept.reason == "the rollout stopped itself: failed rows +50.0 points, the limit is +5.0 points (surely beyond)"
    assert rollout.read_text() == before
    assert list(stops_beside(rollout, load_mesh(rollout, env={}))) == [kept]
    decide(rollout, "trial", "champion", reason="it stopped", **WHEN)
    assert stops_beside(rollout, load_mesh(rollout, env={})) == []


def test_a_stop_holds_when_the_rollout_was_decided_and_taken_up_again_and_not_under_another_name(rollout):
    keep_stop(rollout, load_mesh(rollout, env={}), STOPPED, run="out", **WHEN)
    before = rollout.read_text()
    decide(rollout, "trial", "champion", reason="it stopped", **WHEN)
    rollout.write_text(before)
    assert [stop.experiment for stop in stops_beside(rollout, load_mesh(rollout, env={}))] == ["trial"]
    rollout.write_text(before.replace("trial", "trial-2"))
    assert stops_beside(rollout, load_mesh(rollout, env={})) == []


@pytest.mark.parametrize("arms", ["champion: midi, challenger: maxi", "champion: mini, challenger: midi"])
def test_a_stop_does_not_hold_for_a_rollout_of_other_arms(rollout, arms):
    keep_stop(rollout, load_mesh(rollout, env={}), STOPPED, run="out", **WHEN)
    text = rollout.read_text().replace("rollout: {champion: mini, challenger: maxi", f"rollout: {{{arms}")
    rollout.write_text(text.replace("models:\n", 'models:\n    midi: {adapter: recorded, file: "midi.jsonl"}\n'))
    assert stops_beside(rollout, load_mesh(rollout, env={})) == []
