"""Decisions: which arm of an experiment it shall be: written into the mesh file, and kept with who, when, why in a file beside it.

A rollout that stops itself is kept there too, and stays stopped: the store of its run may be that run's alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from partsong.contracts import Arm, Frozen
from partsong.errors import InputError, MeshError, Place
from partsong.evaluation.standing import Standing
from partsong.mesh import LoadedMesh, load_mesh
from partsong.mesh.edit import with_word
from partsong.mesh.explain import nearest
from partsong.routing.experiments import Rollout
from partsong.routing.rollout import Stopped
from partsong_cluster.batch.disk import replace_file

__all__ = ["DECISIONS", "Decision", "decide", "decisions_beside", "keep_stop", "stops_beside"]

DECISIONS = "experiments.jsonl"
"""The file beside the mesh file; a decision a line, only ever added to."""


class Decision(Frozen):
    """One decision, as it is kept."""

    at: str
    """When, as ISO 8601 in UTC."""
    who: str
    mesh: str
    """The mesh file's name."""
    mesh_hash: str
    """Of the mesh that was decided about."""
    experiment: str
    arm: Arm
    use: str
    """The model or plan that answers from then on."""
    before: Arm | None
    """What was decided until then."""
    reason: str
    runs: tuple[str, ...] = ()
    evidence: Standing | None = None
    """How the experiment stood."""
    stopped: bool = False
    """A rollout stopped itself: the mesh file is as it was."""
    challenger: str = ""
    """Whom it stopped; empty where a person decided."""


def decide(
    mesh: Path, name: str, arm: Arm, *, who: str, at: str, reason: str, evidence: Standing | None = None, runs: Sequence[Path] = ()
) -> Decision:
    """Write the decision into the mesh file, and keep it; MeshError when the file cannot be used, or has no such experiment.

    It is kept before the file is changed: what the file says has always a reason on record.
    """
    loaded = load_mesh(mesh, env=os.environ, check_secrets=False)
    if (experiment := loaded.mesh.experiments.get(name)) is None:
        remedy = nearest(name, list(loaded.mesh.experiments), "write it under `experiments:`")
        raise MeshError("unknown-experiment", f"there is no experiment {name!r}", at=Place(str(mesh)), remedy=remedy)
    decision = Decision(
        at=at,
        who=who,
        mesh=mesh.name,
        mesh_hash=loaded.hash,
        experiment=name,
        arm=arm,
        use=experiment.challenger if arm == "challenger" else experiment.champion,
        before=experiment.decided,
        reason=reason,
        runs=tuple(map(str, runs)),
        evidence=evidence,
    )
    place = ("experiments", name, experiment.kind)
    written = with_word(mesh.read_bytes().decode("utf-8-sig"), str(mesh), place, "decided", arm, beside="champion").encode()
    if not os.access(mesh.parent, os.W_OK):
        raise MeshError("mesh-not-writable", "its folder cannot be written", at=Place(str(mesh)), remedy="nothing was decided; make it so")
    _keep(mesh.with_name(DECISIONS), decision)
    replace_file(mesh.resolve(), written)
    return decision


def decisions_beside(mesh: Path) -> Sequence[Decision]:
    """Return what was decided, the earliest first; InputError names a line that is no decision."""
    path = mesh.with_name(DECISIONS)
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            found.append(Decision.model_validate_json(line))
        except ValidationError:
            remedy = "put it right, or take it out"
            raise InputError("bad-decision", "the line is no decision", at=Place(str(path), number), remedy=remedy) from None
    return [one for one in found if one.mesh == mesh.name]


def keep_stop(mesh: Path, loaded: LoadedMesh, stop: Stopped, *, who: str, at: str, run: str) -> None:
    """Keep that a rollout stopped itself in this run; OSError where the file beside the mesh file cannot be written."""
    experiment = loaded.mesh.experiments[stop.name]
    kept = Decision(
        at=at,
        who=who,
        mesh=mesh.name,
        mesh_hash=loaded.hash,
        experiment=stop.name,
        arm="champion",
        use=experiment.champion,
        before=experiment.decided,
        reason=f"the rollout stopped itself: {stop.guard}",
        runs=(run,),
        stopped=True,
        challenger=experiment.challenger,
    )
    _keep(mesh.with_name(DECISIONS), kept)


def stops_beside(mesh: Path, loaded: LoadedMesh) -> Sequence[Decision]:
    """Return the latest stop of each of the mesh's rollouts that nobody has decided; InputError as decisions_beside."""
    going = {name: one for name, one in loaded.mesh.experiments.items() if isinstance(one, Rollout) and one.decided is None}
    stops = [one for one in decisions_beside(mesh) if one.stopped] if going else []
    latest = {one.experiment: one for one in stops if one.experiment in going and _is_of(one, going[one.experiment])}
    return list(latest.values())


def _is_of(stop: Decision, rollout: Rollout) -> bool:
    """Return whether it stopped this one: with other arms it is another rollout. Stops of before may not name the challenger."""
    return stop.use == rollout.champion and stop.challenger in ("", rollout.challenger)


def _keep(path: Path, decision: Decision) -> None:
    with path.open("ab") as kept:
        kept.write(decision.model_dump_json().encode() + b"\n")
        kept.flush()
        os.fsync(kept.fileno())
