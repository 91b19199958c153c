"""Routes of another mesh, estimated from rows that a run routed by chance."""

from pathlib import Path
from random import Random

from partsong_cluster.batch.folder import JOURNAL, Manifest, RunFolder
from partsong_cluster.report.memory import Memory
from partsong_cluster.report.randomised import estimated

from partsong.contracts import Answer, BillLine, Route, RowRecord, Task
from partsong.evaluation.marked import marked
from partsong.journal.sqlite import SqliteStore
from partsong.mesh import load_text
from partsong.mesh.schema import Mesh

MESH = """\
version: 1
models:
  mini: {{adapter: python, target: "m:mini", model: {model}, concurrency: {concurrency}}}
  large: {{adapter: python, target: "m:large"}}
routes:
  - {{when: {{metadata: {{kind: hard}}}}, use: large}}
  - {{use: mini}}
"""
RIGHT = {("mini", "easy"): 0.9, ("mini", "hard"): 0.3, ("large", "easy"): 0.95, ("large", "hard"): 0.8}
COST_USD = {"mini": 0.001, "large": 0.01}


def mesh(folder: Path, model: str = "v1", concurrency: int = 64) -> Mesh:
    return load_text(MESH.format(model=model, concurrency=concurrency), folder, env={}).mesh


def row(number: int, dice: Random, *, by_chance: bool, certain: bool = False) -> RowRecord:
    kind = "easy" if dice.random() < 0.5 else "hard"
    p_mini = 0.7 if kind == "easy" else 0.3
    use = "mini" if dice.random() < p_mini else "large"
    p_use = 1.0 if certain else p_mini if use == "mini" else 1 - p_mini
    route = Route(use=use, reason="drawn", propensity=p_use if by_chance else None)
    text = "yes" if dice.random() < RIGHT[use, kind] else "no"
    task = Task.of("?", id=str(number)).model_copy(update={"metadata": {"kind": kind, "expected": "yes"}})
    reply = Answer(text=text, route=route, bill=(BillLine(step=use, model=use, cost_usd=COST_USD[use]),))
    return RowRecord(run="r", row=number, custom_id=str(number), task=task, reply=reply)


def recorded(folder: Path, *, by_chance: bool = True, rows: int = 1500, certain: int = 0) -> Path:
    """A run whose routes were drawn by chance, oftener `mini` for easy rows; the first ones were `certain`, as those of a shadow are."""
    at = folder / "out"
    manifest = Manifest(run="r", mesh="mesh.yaml", mesh_hash="m", input="in.jsonl", input_hash="i", started_s=0.0, partsong="0")
    claimed = RunFolder.claim(at)
    claimed.begin(manifest, mesh(folder).model_dump_json(by_alias=True, exclude_defaults=True))
    dice = Random(11)
    store = SqliteStore.open(at / JOURNAL)
    store.append([row(number, dice, by_chance=by_chance, certain=number < certain) for number in range(rows)])
    store.close()
    claimed.release()
    return at


def test_the_other_routes_accuracy_and_cost_lie_within_the_intervals(tmp_path: Path):
    found = estimated(recorded(tmp_path), mesh(tmp_path), None, marked, Memory())
    assert found is not None
    assert found.rows == 1500
    for figure, truth in (
        (found.accuracy.weighted, 0.85),
        (found.accuracy.doubly_robust, 0.85),
        (found.usd_per_1000.weighted, 5.5),
        (found.usd_per_1000.doubly_robust, 5.5),
    ):
        assert figure.low < truth < figure.high
        assert figure.high - figure.low < 0.15 * figure.value


def test_one_model_for_all_rows_is_estimated_too(tmp_path: Path):
    found = estimated(recorded(tmp_path), mesh(tmp_path), "large", marked, Memory())
    assert found is not None
    assert found.accuracy.weighted.low < (0.95 + 0.8) / 2 < found.accuracy.weighted.high


def test_nothing_is_estimated_where_chance_decided_nothing(tmp_path: Path):
    assert estimated(recorded(tmp_path, by_chance=False, rows=20), mesh(tmp_path), None, marked, Memory()) is None


def test_a_model_that_is_another_one_now_was_never_chosen(tmp_path: Path):
    found = estimated(recorded(tmp_path, rows=50), mesh(tmp_path, model="v2"), "mini", marked, Memory())
    assert found is not None
    assert (found.accuracy, found.usd_per_1000) == (None, None)


def test_a_model_that_is_called_otherwise_often_is_the_same(tmp_path: Path):
    found = estimated(recorded(tmp_path, rows=120), mesh(tmp_path, concurrency=8), "mini", marked, Memory())
    assert found is not None
    assert found.accuracy is not None


def test_rows_that_could_not_have_gone_elsewhere_are_none_that_chance_routed(tmp_path: Path):
    found = estimated(recorded(tmp_path, rows=300, certain=100), mesh(tmp_path), None, marked, Memory())
    assert found is not None
    assert (found.rows, found.of) == (200, 300)


def test_a_run_of_such_rows_alone_has_no_estimate(tmp_path: Path):
    assert estimated(recorded(tmp_path, rows=50, certain=50), mesh(tmp_path), None, marked, Memory()) is None
