"""The demo's data: labelled rows and recorded outcomes that fit together."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from partsong_cluster.batch.as_task import Shape, as_task
from partsong_cluster.demo.parts import local_part, recorded_part
from pydantic import TypeAdapter

from partsong.contracts import Answer
from partsong.evaluation.grading import Grader, GraderField, graded
from partsong.learning.folds import same_text
from partsong.mesh import load_mesh

DATA = local_part("default").input.parent
GRADER: TypeAdapter[Grader] = TypeAdapter(GraderField)
SETS = (None, "small", "default", "full")


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("name", "least"), [("mixed.jsonl", 150), ("questions.jsonl.gz", 300), ("lessons.jsonl.gz", 600)])
def test_every_row_is_a_task_whose_own_answer_is_right(name, least):
    found = rows(DATA / name)
    assert len({row["id"] for row in found}) == len(found) >= least
    for row in found:
        task = as_task(row, row["id"], Shape())
        assert graded(GRADER.validate_python(row["grader"]), Answer(text=task.metadata["expected"]), row["expected"])


def test_every_kind_of_local_row_is_there_with_its_answers_balanced():
    found = rows(DATA / "mixed.jsonl")
    assert set(Counter(row["kind"] for row in found)) == {"sentiment", "language", "topic"}
    assert Counter(row["expected"] for row in found if row["kind"] == "sentiment") == {"positive": 30, "negative": 30}


def test_every_expected_label_may_be_answered():
    assert all(row["expected"] in row["schema"]["enum"] for row in rows(DATA / "mixed.jsonl"))


def test_the_rows_at_the_start_need_no_language_model():
    part = local_part(None)
    assert "topic" not in {row["kind"] for row in rows(part.input)[: part.rows]}


def test_every_recorded_model_answered_every_question():
    outcomes = rows(DATA / "outcomes.jsonl.gz")
    asked = {row["id"] for name in ("questions.jsonl.gz", "lessons.jsonl.gz") for row in rows(DATA / name)}
    mesh = load_mesh(recorded_part().mesh, env={}).mesh
    answered = {(outcome["model"], outcome["id"]) for outcome in outcomes}
    assert answered == {(spec.model, question) for spec in mesh.models.values() for question in asked}
    assert len(mesh.models) >= 8


def test_no_lesson_is_among_the_questions_that_are_judged():
    judged, learned = ({same_text(row["prompt"]) for row in rows(DATA / name)} for name in ("questions.jsonl.gz", "lessons.jsonl.gz"))
    assert not judged & learned


@pytest.mark.parametrize("models", SETS)
def test_every_way_is_a_name_of_its_mesh_or_left_to_the_routes(models):
    for part in (local_part(models), recorded_part()):
        mesh = load_mesh(part.mesh, env={}).mesh
        names = {*mesh.models, *mesh.plans}
        assert {way.use for way in part.ways if way.use} <= names
        assert part.strong in {*names, ""}
        assert all(way.use or mesh.routes for way in part.ways)


def test_every_file_has_its_source_and_licence():
    told = (DATA / "ATTRIBUTION.md").read_text()
    assert all(f"`{path.name}`" in told for path in DATA.iterdir() if path.suffix != ".md" or path.name != "ATTRIBUTION.md")
