"""Stops: rollouts that stopped themselves in a run, kept beside the mesh file and told to whoever starts the next one."""

import getpass
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from partsong.mesh import LoadedMesh
from partsong.routing.rollout import Stopped
from partsong_cluster.decisions import DECISIONS, keep_stop, stops_beside

__all__ = ["stops_kept", "stops_told"]


def stops_told(mesh: Path, loaded: LoadedMesh, say: Callable[[str], None]) -> frozenset[str]:
    """Say which rollouts were stopped before, and return their names: they stay so. InputError where the file cannot be read."""
    stops = stops_beside(mesh, loaded)
    for one in stops:
        stay = shlex.join(["partsong", "experiment", "rollback", str(mesh), one.experiment, *(f"--run={run}" for run in one.runs)])
        say(
            f"{one.experiment} was stopped at {one.at} in {', '.join(one.runs)}: {one.reason}. {one.use} answers every row. "
            f"To decide it: {stay}. To begin anew: give it another name."
        )
    return frozenset(one.experiment for one in stops)


def stops_kept(mesh: Path, loaded: LoadedMesh, run: Path, say: Callable[[str], None]) -> Callable[[Stopped], None]:
    """Return what keeps a stop beside the mesh file, and says so when it cannot: the run goes on."""

    def keep(stop: Stopped) -> None:
        try:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            keep_stop(mesh, loaded, stop, who=getpass.getuser(), at=at, run=str(run))
        except (OSError, KeyError) as error:  # KeyError: the machine has no name for this user
            say(f"{DECISIONS} beside {mesh} could not take that {stop.name} is stopped: {error}.")

    return keep
