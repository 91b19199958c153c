"""Evaluate: a mesh, its single models and more samples of them, all replayed on recorded rows, so that they can be compared by dollar."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from partsong.contracts import Failure
from partsong.errors import InputError
from partsong.evaluation.grading import Grader
from partsong.evaluation.lane import Lane, best_elsewhere
from partsong.evaluation.marked import covered, expected_of, grader_of
from partsong.evaluation.proof import Proof, Rivals, prove
from partsong.evaluation.reading import Exact, Kind
from partsong.evaluation.repeated import repeats_told
from partsong.learning.folds import folds
from partsong.learning.knowledge import Knowledge
from partsong.learning.outcomes import FEWEST_ROWS
from partsong.merging.majority import Majority
from partsong.mesh import LoadedMesh
from partsong.plans import Plan
from partsong.plans.ensemble import Ensemble, Member
from partsong.plans.frugal import Frugal
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.replay import Replay
from partsong_cluster.report.memory import memory_words
from partsong_cluster.report.runs import Marker

__all__ = ["Evaluated", "evaluate"]

_FOLDS = 5
_SEED = 1
_MOST_SAMPLES = 15
_LEAST_COVERED = 0.8
"""A model whose recorded calls cover less of the mesh's rows is left out: all ways are compared on the same rows, and few would be left."""
_SAMPLED, _LEVELLED = "eval-samples", "eval-level"
"""Plans that are tried and that no mesh file has."""
_LEVELS = (0.6, 0.8, 0.9, 0.97, 0.995)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A proof, and what keeps it from being stronger."""

    proof: Proof
    covered: int
    """Rows that recorded calls cover with the mesh."""
    finished: int
    """Rows of the run."""
    doubts: tuple[str, ...]


@dataclass(slots=True)
class _Way:
    """What a replay came to."""

    right: dict[int, float] = field(default_factory=dict)
    """By row, those that are covered and graded."""
    cost_usd: dict[int, float] = field(default_factory=dict)
    """By row, those that are covered."""
    prompts: dict[int, str] = field(default_factory=dict)
    labels: dict[int, object] = field(default_factory=dict)
    grader: Grader | None = None
    finished: int = 0
    failure: str = "it has no row"
    """Why its last failed row failed."""
    answered: int = 0

    def lane(self, rows: Sequence[int]) -> Lane:
        return Lane([self.right[row] for row in rows], [self.cost_usd[row] for row in rows])


@dataclass(frozen=True, slots=True)
class _Replays:
    """Works ways over the same runs, one after another."""

    runs: Sequence[Path]
    loaded: LoadedMesh
    mark: Marker
    told: Callable[[str], None]

    def way(self, name: str, use: str | None, plans: Mapping[str, Plan] | None = None) -> _Way:
        """Return what the plan came to; `plans` are some that the mesh does not have."""
        self.told(name)
        mesh = self.loaded.mesh.model_copy(update={"plans": {**self.loaded.mesh.plans, **(plans or {})}})
        with TemporaryDirectory(prefix="partsong-eval-") as scratch:
            folder = Path(scratch) / "replay"
            asyncio.run(Replay(self.runs, replace(self.loaded, mesh=mesh), name).work(folder, use, lambda _: None))
            return self._read(folder)

    def _read(self, folder: Path) -> _Way:
        found = _Way()
        for record in finished_rows(folder):
            found.finished += 1
            if record.task is None or not covered(record):
                continue
            if isinstance(record.reply, Failure):
                found.failure = record.reply.message
            else:
                found.answered += 1
            found.cost_usd[record.row] = sum(line.cost_usd for line in record.reply.bill)
            right = self.mark(record)
            if right is not None:
                found.right[record.row] = float(right)
                found.prompts[record.row] = record.task.text
                found.labels[record.row] = expected_of(record, self.mark.expected)
                found.grader = found.grader or self.mark.over_all or grader_of(record)
        return found


def evaluate(runs: Sequence[Path], loaded: LoadedMesh, name: str, use: str | None, mark: Marker, told: Callable[[str], None]) -> Evaluated:
    """Return the proof of a mesh, or of one of its plans; InputError when no honest one can be given. `told` hears what is replayed."""
    replays = _Replays(runs, loaded, mark, told)
    mesh = replays.way(use or name, use)
    _check_labels(mesh, use or name)
    doubts: list[str] = []
    singles = {model: replays.way(model, model) for model in loaded.mesh.models}
    singles = _kept(singles, mesh, doubts)
    graded = sorted(set(mesh.right).intersection(*(way.right for way in singles.values())))
    rows = _not_learned_from(graded, mesh, None if use in loaded.mesh.models else loaded.mesh.knowledge, doubts)
    _check_rows(rows, mesh, singles)
    doubts.extend(repeats_told((mesh.prompts[row], mesh.labels[row]) for row in rows))
    lanes = {model: way.lane(rows) for model, way in singles.items()}
    fold = [int(part) for part in folds([mesh.prompts[row] for row in rows], _FOLDS, salt="eval")]
    unsampled: list[str] = []
    samples = _samples(replays, lanes, rows, fold, mesh.grader, unsampled)
    rivals = Rivals(lanes, samples, _levels(replays, loaded, use, rows))
    if len(graded) < len(mesh.cost_usd):
        doubts.append(
            f"{len(mesh.cost_usd) - len(graded):,} covered rows are left out: some model has no recorded answer to them, or no label"
        )
    if len(mesh.cost_usd) < mesh.finished:
        doubts.append("Rows that recorded calls do not cover count for nothing, and those that they cover may not be like them.")
    if not any(any(lane.cost) for lane in lanes.values()):
        raise InputError("no-prices", "no call of these models costs anything", remedy="give the models a `price` before they are recorded")
    proof = prove(use or name, mesh.lane(rows), rivals, fold, Random(_SEED).random)  # noqa: S311  resampling, no secret
    affords_samples = proof.contenders[0].cost_per_1000.value < proof.cost_per_1000.value
    return Evaluated(proof, len(mesh.cost_usd), mesh.finished, (*doubts, *(unsampled if affords_samples else ())))


def _check_labels(mesh: _Way, name: str) -> None:
    if not mesh.cost_usd:
        remedy = "run the mesh once over these rows, or name further runs that asked the same"
        raise InputError("nothing-covered", f"the recorded runs hold none of the calls that {name} makes", remedy=remedy)
    if not mesh.answered:
        what = f"{name} answers no row: {mesh.failure}"
        raise InputError("nothing-answered", what, remedy="name one of its plans with --plan")
    if not mesh.right:
        remedy = "put the right answer into each row's `expected`, or name the field with --expected"
        raise InputError("no-labels", "no row says what is right, so nothing can be proved", remedy=remedy)


def _kept(singles: Mapping[str, _Way], mesh: _Way, doubts: list[str]) -> dict[str, _Way]:
    """Return the models that enough of the mesh's rows were recorded of."""
    covers = {model: len(set(way.right) & set(mesh.right)) / len(mesh.right) for model, way in singles.items()}
    kept = {model: way for model, way in singles.items() if covers[model] >= _LEAST_COVERED}
    if len(kept) < len(singles):
        out = ", ".join(f"{model} ({100 * covers[model]:.0f} %)" for model in singles if model not in kept)
        doubts.append(f"Left out, as recorded calls cover too few of the rows: {out}; record each alone to have it compared.")
    if not kept:
        remedy = "run each model alone over these rows (`partsong run MESH INPUT -o DIR --model NAME`), and name those runs too"
        raise InputError("no-baseline", "of no single model are enough calls recorded to compare the mesh with", remedy=remedy)
    return kept


def _not_learned_from(rows: Sequence[int], mesh: _Way, knowledge: Knowledge | None, doubts: list[str]) -> list[int]:
    """Return the rows that the mesh was not learned from; InputError where they are too few to prove anything."""
    left = [row for row in rows if knowledge is None or not knowledge.remembers(mesh.prompts[row])]
    if len(left) < len(rows):
        told = memory_words(len(rows) - len(left), len(rows))
        if len(left) < FEWEST_ROWS:
            remedy = "record a run over other rows, and prove it on those; or name a plan in a mesh without `learned`"
            raise InputError("learned-from", f"nothing can be proved of this mesh here: {told}", remedy=remedy)
        doubts.append(told)
    return left


def _check_rows(rows: Sequence[int], mesh: _Way, singles: Mapping[str, _Way]) -> None:
    if len(rows) < FEWEST_ROWS:
        what = f"{len(rows)} rows that all ways have a graded answer to prove nothing: any difference would be chance"
        raise InputError("too-few-rows", what, remedy=f"label and record at least {FEWEST_ROWS}")
    if len({way.right[row] for way in (mesh, *singles.values()) for row in rows}) == 1:
        verdict = "right" if mesh.right[rows[0]] else "wrong"
        remedy = "check `expected` and the grader, or add rows that some model fails"
        raise InputError("one-class", f"every answer of every way is {verdict}: there is nothing to tell apart", remedy=remedy)


def _samples(
    replays: _Replays, lanes: Mapping[str, Lane], rows: Sequence[int], fold: Sequence[int], grader: Grader | None, doubts: list[str]
) -> dict[str, dict[int, Lane]]:
    """Return the majority of several samples of each model that is the best of some fold, as far as they were recorded."""
    merge = Majority(answer_kind=grader if isinstance(grader, Kind) else Exact())
    found: dict[str, dict[int, Lane]] = {}
    for model in sorted(set(best_elsewhere(lanes, fold))):
        for count in range(2, _MOST_SAMPLES + 1):
            plan = Ensemble(members=(Member(ask=model),) * count, merge=merge, early=False)
            way = replays.way(f"{model} x {count}", _SAMPLED, {_SAMPLED: plan})
            if not set(rows) <= set(way.right):
                break
            found.setdefault(model, {})[count] = way.lane(rows)
        if model not in found:
            ways = f"a plan {{ensemble: {{members: [{model}, {model}, {model}], early: false}}}}"
            doubts.append(f"Self-consistency is not compared: no further samples of {model} were recorded; {ways} records them.")
    return found


def _levels(replays: _Replays, loaded: LoadedMesh, use: str | None, rows: Sequence[int]) -> list[Lane]:
    """Return the lanes of a frugal plan at other levels to stop at, those that recorded calls cover."""
    plan = loaded.mesh.plans.get(use or "")
    if not isinstance(plan, Frugal):
        return []
    ways = [replays.way(f"{use} at {sure:g}", _LEVELLED, {_LEVELLED: plan.model_copy(update={"sure": sure})}) for sure in _LEVELS]
    return [way.lane(rows) for way in ways if set(rows) <= set(way.right)]
