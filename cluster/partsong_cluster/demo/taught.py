"""Taught: a part's lessons become what its mesh goes by, and the mesh with it."""

import json
from pathlib import Path

from partsong.contracts.allowed import Allowed
from partsong.errors import InputError
from partsong.learning.learned import Learned
from partsong.learning.saved import load_learned, save_learned
from partsong.learning.settings import Settings
from partsong.mesh import LoadedMesh, load_text
from partsong_cluster.demo.parts import Lessons
from partsong_cluster.outcomes.learned import learned_of_runs
from partsong_cluster.outcomes.runs import Reading

__all__ = ["can_promise", "is_learned", "learn", "learned_mesh", "promise_note"]

_NAMED = "learned: learned\n"
"""Stands in the mesh file, and is replaced by the demo's own folder."""
_STRICT = "strict"


def is_learned(folder: Path) -> bool:
    """Return whether the folder holds what this version of Partsong can go by."""
    try:
        load_learned(folder), load_learned(folder / _STRICT)
    except InputError:
        return False
    return True


def learn(run: Path, folder: Path) -> None:
    """Learn all that the run can teach, and keep it in the folder; beside it the same with the stricter promise."""
    for max_loss, place in ((0.03, folder), (0.01, folder / _STRICT)):
        save_learned(learned_of_runs([run], Reading(), Settings(max_loss)), place)


def learned_mesh(lessons: Lessons, folder: Path) -> tuple[LoadedMesh, Learned]:
    """Return the mesh that goes by what lies in the folder, and that itself."""
    learned = load_learned(folder)
    text = lessons.mesh.read_text(encoding="utf-8").replace(_NAMED, f"learned: {json.dumps(str(folder.resolve()))}\n")
    if can_promise(learned):
        text += f"  {lessons.promised.name}: {{frugal: {{goal: promised, kind: exact}}}}\n"
    return load_text(text, lessons.mesh.parent, env={}, allowed=Allowed(outside_files=True)), learned


def can_promise(learned: Learned) -> bool:
    """Return whether a policy cheaper than the best single model kept a promise when it was tested."""
    return learned.kept is not None and learned.kept.policy is not None


def promise_note(folder: Path, way: str) -> str:
    """Say what is promised of questions to come, by how many rows, and what of a stricter promise."""
    kept, strict = load_learned(folder).kept, load_learned(folder / _STRICT).kept
    if kept is None or strict is None:
        return "Nothing can be promised: too few rows could be kept back to test a promise on."
    tested = f"tested on {kept.rows:,} of the lessons that nothing had been learned from"
    if kept.policy is None:
        return f"No promise: {kept.words} ({tested})."
    promise = f'Promised of further questions like these: "{way}" is {kept.words}, at less cost ({tested}).'
    if strict.policy is None:
        return f"{promise} More cannot be promised: {strict.words}."
    wanted = f" To promise as much of a still cheaper one, about {strict.promise.more_rows:,} more labelled rows are needed."
    return f"{promise} A more careful setting of it, no cheaper, is {strict.words}.{wanted if strict.promise.more_rows else ''}"
