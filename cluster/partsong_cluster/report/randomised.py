"""Randomised: what another mesh's routes would have come to, from rows that a run routed partly at random."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from partsong.contracts import NOT_THE_ANSWER, Frozen, Route
from partsong.evaluation.offpolicy import Logged, OffPolicy, off_policy
from partsong.mesh import Mesh
from partsong_cluster.batch.finished import finished_rows
from partsong_cluster.batch.folder import read_snapshot
from partsong_cluster.report.gather import Grade
from partsong_cluster.report.memory import Memory

__all__ = ["Randomised", "estimated"]

_SEED = 1


class Randomised(Frozen):
    """Estimates from rows whose route was drawn by chance, and how likely."""

    rows: int
    """Such rows: either way could have come of them."""
    of: int
    """All finished rows that were not learned from; of those that were routed without chance the estimates say nothing."""
    accuracy: OffPolicy | None
    """Share of right answers; None when graded rows that were routed as the other mesh would are too few, or none."""
    usd_per_1000: OffPolicy | None
    """None when rows that were routed as the other mesh would are too few, or none."""


class _Drawn(NamedTuple):
    chosen: Route
    propensity: float
    wanted: str
    right: bool | None
    cost_usd: float

    def logged(self, value: float) -> Logged:
        return Logged(self.chosen.use, self.propensity, self.wanted, value, self.chosen.experiment)


def estimated(folder: Path, mesh: Mesh, use: str | None, grade: Grade, memory: Memory) -> Randomised | None:
    """Return what the mesh's routes (or `use` for all rows) would have come to; None when the run drew no route by chance.

    Rows that `memory` has are left out. A model or plan that the run knew under this name, and that was another one then, counts as one
    that it never chose.
    """
    rows = list(_drawn(folder, mesh, use, grade, memory))
    if not rows:
        return None
    dice = Random(_SEED).random  # noqa: S311  resampling, no secret
    return Randomised(
        rows=len(rows),
        of=sum(not memory.has(record) for record in finished_rows(folder)),
        accuracy=off_policy([row.logged(float(row.right)) for row in rows if row.right is not None], dice),
        usd_per_1000=off_policy([row.logged(1000 * row.cost_usd) for row in rows], dice),
    )


def _drawn(folder: Path, mesh: Mesh, use: str | None, grade: Grade, memory: Memory) -> Iterator[_Drawn]:
    router, unchanged = mesh.router(), _unchanged(folder, mesh)
    for record in finished_rows(folder):
        route = record.reply.route
        if route is None or route.propensity is None or not 0.0 < route.propensity < 1.0 or record.task is None or memory.has(record):
            continue
        wanted = use or _wanted(router.decide(record.task.model_copy(update={"use": None})))
        cost_usd = sum(line.cost_usd for line in record.reply.bill)
        yield _Drawn(route, route.propensity, wanted if wanted in unchanged else f"{wanted} as it is now", grade(record), cost_usd)


def _wanted(decided: object) -> str:
    return decided.use if isinstance(decided, Route) else ""


def _unchanged(folder: Path, mesh: Mesh) -> frozenset[str]:
    """Return the models and plans that answered in the run as they would now."""
    then, now = read_snapshot(folder), mesh.facts(exclude_defaults=True)
    as_learned = then.get("learned") == now.get("learned")  # else plans may go another way than they did, unlike models
    kinds = ((now.get(kind, {}), then.get(kind, {})) for kind in (("models", "plans") if as_learned else ("models",)))
    return frozenset(name for entries, before in kinds for name, entry in entries.items() if _same(entry, before.get(name)))


def _same(now: Mapping[str, object], then: Mapping[str, object] | None) -> bool:
    return then is not None and all(now.get(key) == then.get(key) for key in {*now, *then} - NOT_THE_ANSWER)
