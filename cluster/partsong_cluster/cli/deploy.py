"""`partsong deploy`: check a deploy file, render it for Kubernetes or hosts, plan and apply it to a cluster that runs."""

import asyncio
import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from partsong.errors import MeshError, Problem
from partsong.mesh import Mesh, load_mesh
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.findings import block, counted, fact
from partsong_cluster.deploy import load_deploy
from partsong_cluster.deploy.check import Examined, examined
from partsong_cluster.deploy.kuberay import kuberay_files
from partsong_cluster.deploy.launcher import launcher_files
from partsong_cluster.deploy.nodes import cluster_machines
from partsong_cluster.deploy.placing import Machine
from partsong_cluster.deploy.rendered import write

__all__ = ["app"]

PROBLEMS_FOUND = 1

app = typer.Typer(
    name="deploy",
    help="Spread a mesh over machines: check a deploy file, render it, plan and apply it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DeployFile = Annotated[Path, typer.Argument(metavar="FILE", help="The deploy file.", show_default=False)]
MeshFile = Annotated[Path | None, typer.Option("--mesh", metavar="MESH", help="The mesh file that it is for.")]
Address = Annotated[str | None, typer.Option("--address", help="A cluster that runs: HOST:6379, or auto for the one on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON.")]


@app.command(
    epilog="Examples:  partsong deploy check deploy.yaml  |  partsong deploy check deploy.yaml --mesh mesh.yaml  |  "
    "partsong deploy check deploy.yaml --mesh mesh.yaml --address auto --json"
)
def check(
    file: DeployFile,
    mesh: MeshFile = None,
    address: Address = None,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Find what cannot be placed, and what is wrong or unsafe, in a deploy file: what, where, what to do.

    With --mesh also whether the pools are the mesh's models and its workers fit on the machines; with --address on the nodes there are.

    Exit code 0: it can be applied (there may be warnings); 1: it has problems; 2: wrong usage.
    """
    nodes = None if address is None else asyncio.run(cluster_machines(address))
    try:
        found = _examined(file, None if mesh is None else _mesh_of(mesh, allow), nodes)
    except MeshError as error:
        found = Examined(error.problems, ())
    if as_json:
        facts = {"errors": list(map(fact, found.errors)), "warnings": list(map(fact, found.warnings))}
        typer.echo(json.dumps({"file": str(file), "ok": not found.errors, **facts}, indent=2))
    else:
        _print_problems(Console(highlight=False, soft_wrap=True), str(file), found)
    if found.errors:
        raise typer.Exit(PROBLEMS_FOUND)


class Target(StrEnum):
    """What can be rendered."""

    KUBERAY = "kuberay"
    LAUNCHER = "launcher"


@app.command(
    epilog="Examples:  partsong deploy render kuberay deploy.yaml -o manifests  |  partsong deploy render launcher deploy.yaml -o ."
)
def render(
    target: Annotated[Target, typer.Argument(help="What for: KubeRay's objects, or Ray's cluster launcher.", show_default=False)],
    file: DeployFile,
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write to.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Write what starts the machines: objects for KubeRay with kustomize overlays, or a file for `ray up` on hosts of your own.

    Files in the folder that have their names are written anew; nothing else there is touched.

    Exit code 0: written; 2: the deploy file has problems, or wrong usage.
    """
    loaded = load_deploy(file)
    files = kuberay_files(loaded) if target is Target.KUBERAY else launcher_files(loaded)
    written = [str(path) for path in write(files, folder)]
    typer.echo(json.dumps({"written": written}, indent=2) if as_json else "\n".join(written))


def _mesh_of(file: Path, allow: list[str] | None) -> Mesh:
    return load_mesh(file, env=os.environ, check_secrets=False, allowed=allowed_by(allow)).mesh


def _examined(file: Path, mesh: Mesh | None, nodes: Sequence[Machine] | None) -> Examined:
    return examined(load_deploy(file), mesh, nodes)


def _print_problems(console: Console, subject: str, found: Examined) -> None:
    both: tuple[tuple[str, str, tuple[Problem, ...]], ...] = (("error", "red", found.errors), ("warning", "yellow", found.warnings))
    for severity, colour, problems in both:
        for problem in problems:
            console.print(block(severity, colour, problem))
    counts = " and ".join(counted(len(problems), severity) for severity, _, problems in both if problems)
    console.print(f"{subject}: {counts}" if found.errors else f"{subject}: good" + (f", with {counts}" if counts else ""))
