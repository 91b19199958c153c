"""Stops: rollouts that stopped themselves in a run, kept beside the mesh file and told to whoever starts the next one."""

import getpass
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from partsong.errors import InputError
from partsong.mesh import LoadedMesh
from partsong.routing.rollout import Stopped
from partsong_cluster.decisions import DECISIONS, keep_stop, stops_beside

__all__ = ["stops_kept", "stops_told"]


def stops_told(mesh: Path, loaded: LoadedMesh) -> Iterator[str]:
    """Yield a line for each rollout that was stopped before, and would begin again."""
    try:
        for one in stops_beside(mesh, loaded):
            stay = shlex.join(["partsong", "experiment", "rollback", str(mesh), one.experiment, *(f"--run={run}" for run in one.runs)])
            yield (
                f"{one.experiment} was stopped at {one.at} in {', '.join(one.runs)}: {one.reason}. A new run begins with its first stage "
                f"all the same; to stay with {one.use}: {stay}"
            )
    except InputError as error:
        yield f"Whether a rollout was stopped before cannot be told: {error}."


def stops_kept(mesh: Path, loaded: LoadedMesh, run: Path, say: Callable[[str], None]) -> Callable[[Stopped], None]:
    """Return what keeps a stop beside the mesh file, and says so when it cannot: the run goes on."""

    def keep(stop: Stopped) -> None:
        try:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            keep_stop(mesh, loaded, stop, who=getpass.getuser(), at=at, run=str(run))
        except (OSError, KeyError) as error:  # KeyError: the machine has no name for this user
            say(f"{DECISIONS} beside {mesh} could not take that {stop.name} is stopped: {error}.")

    return keep
