"""Handed: a deploy file planned and applied by nothing but the address of Ray's job API: a small job of the cluster does it.

What it starts has the files that the mesh names, as they travel with the job.
"""

import asyncio
import json
import logging
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from partsong.contracts import Frozen, Notice
from partsong.contracts.allowed import Allowed
from partsong.errors import EngineError, PartsongError, Place
from partsong.mesh import LoadedMesh, Mesh
from partsong.mesh.document import Piece
from partsong_cluster.deploy.apply import apply, plan_for
from partsong_cluster.deploy.load import LoadedDeploy, load_deploy_text
from partsong_cluster.deploy.plan import Plan
from partsong_cluster.jobs.bundle import mesh_files
from partsong_cluster.jobs.cluster import Cluster
from partsong_cluster.jobs.order import MESH_FOLDER
from partsong_cluster.jobs.retold import retold, told
from partsong_cluster.jobs.wheel import write_wheel

__all__ = ["Handed", "Line", "hand_over", "main"]

_ORDER = "deploy.json"
_ENTRYPOINT = "python -m partsong_cluster.deploy.handed"

Doing = Literal["plan", "apply"]


class Handed(Frozen):
    """What the job is told."""

    doing: Doing
    deploy: str
    """The deploy file's text."""
    deploy_file: str
    """What it is called."""
    mesh: str
    """The mesh, packed."""
    mesh_hash: str
    allowed: Allowed
    may_restart: bool = False
    """Whether the user has seen that the system ends and begins anew."""
    within_s: float = 600.0

    @property
    def loaded(self) -> LoadedMesh:
        """The mesh, where the job finds its files."""
        at = Path(MESH_FOLDER)
        return LoadedMesh(Mesh.unpack(self.mesh.encode(), folder=at), at, (), self.mesh_hash, Piece({}, Place("")), (), self.allowed)


class Line(Frozen):
    """One line of what the job prints."""

    plan: Plan | None = None
    notice: Notice | None = None
    problems: tuple[Mapping[str, str], ...] = ()
    """What it failed of."""
    kind: str = ""
    """Class of the error that it failed of."""

    @classmethod
    def of_error(cls, error: PartsongError) -> Self:
        """Return the line that tells the error."""
        return cls(problems=told(error), kind=type(error).__name__)

    @property
    def error(self) -> PartsongError | None:
        """The error that it tells."""
        return retold(self.kind, self.problems) if self.problems else None


async def hand_over(cluster: Cluster, handed: Handed, loaded: LoadedMesh, *, package: bool = True) -> AsyncIterator[Line]:
    """Have the cluster do it; yield what it tells. Raises what it failed of."""
    with _environment(handed, loaded, package=package) as environment:
        name = f"partsong-deploy-{uuid.uuid4().hex[:8]}"
        submission = await asyncio.to_thread(cluster.submit, name, _ENTRYPOINT, environment, {"partsong.deploys": handed.doing})
    said: list[str] = []
    finished = False
    async for text in cluster.lines(submission):
        if not text.startswith("{"):
            said.append(text)
            continue
        line = Line.model_validate_json(text)
        if line.error is not None:
            raise line.error
        finished = finished or line == Line()
        yield line
    if not finished:
        what = f"job {submission} ended without a word: {' '.join(said[-3:])}"[:500]
        raise EngineError("deploy-job", what, remedy="see the job's log in Ray's dashboard")


@contextmanager
def _environment(handed: Handed, loaded: LoadedMesh, *, package: bool) -> Iterator[Mapping[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="partsong-deploy-") as scratch:
        folder = Path(scratch) / "files"
        (folder / MESH_FOLDER).mkdir(parents=True)
        for path in mesh_files(loaded):
            target = folder / MESH_FOLDER / path.relative_to(loaded.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (folder / _ORDER).write_text(handed.model_dump_json())
        environment: dict[str, Any] = {"working_dir": str(folder)}
        if package:
            environment["py_modules"] = [str(write_wheel(Path(scratch)))]
        yield environment


def main() -> int:
    """Carry out what the job's files say; print lines of JSON."""
    import ray

    handed = Handed.model_validate_json(Path(_ORDER).read_text())
    try:
        deploy = load_deploy_text(handed.deploy, handed.deploy_file)
        ray.init(address="auto", namespace=deploy.deploy.namespace, log_to_driver=False, logging_level=logging.ERROR)
        asyncio.run(_carried_out(handed, deploy))
    except PartsongError as error:
        _print(Line.of_error(error))
        return 1
    _print(Line())
    return 0


async def _carried_out(handed: Handed, deploy: LoadedDeploy) -> None:
    plan = await plan_for(deploy, handed.loaded)
    _print(Line(plan=plan))
    if handed.doing == "plan" or plan.nothing:
        return
    if plan.restarts and not handed.may_restart:
        what = f"{plan.system} would have to end and begin anew now, which the plan that you saw did not say"
        raise EngineError("plan-changed", what, remedy="look at the plan again")
    await apply(plan, deploy, handed.loaded, lambda notice: _print(Line(notice=notice)), within_s=handed.within_s)


def _print(line: Line) -> None:
    sys.stdout.write(json.dumps(line.model_dump(mode="json", exclude_defaults=True)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
