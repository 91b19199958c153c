"""Gate check: what keeps the gate of a mesh from choosing."""

from collections.abc import Iterator

from partsong.errors import Problem
from partsong.learning.knowledge import Knowledge
from partsong.mesh.explain import nearest
from partsong.mesh.gated import choices
from partsong.mesh.sound import Sound
from partsong.routing.gate import GateSpec

__all__ = ["gate_errors"]

_LEARN = "name models, or frugal plans with a goal, that runs which it was learned from had asked at a known price"


def gate_errors(sound: Sound, spec: GateSpec | None, knowledge: Knowledge | None) -> Iterator[Problem]:
    """Yield what keeps the gate from choosing."""
    if spec is None or knowledge is None:
        return
    known = choices(knowledge, sound.plans)
    for number, name in enumerate(spec.among):
        if name not in sound.names:
            what = f"the gate chooses {name!r}, which is no model or plan"
            yield Problem("unknown-name", what, sound.place("gate", "among", number), nearest(name, sound.names))
        elif name not in known:
            what = f"nothing is learned of what {name!r} is worth and costs"
            yield Problem("not-learned", what, sound.place("gate", "among", number), _LEARN)
    if len(spec.among or known) < 2:
        yield Problem("nothing-to-choose", "the gate has fewer than two to choose from", sound.place("gate", "among"), _LEARN)
