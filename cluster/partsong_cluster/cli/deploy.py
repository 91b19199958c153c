"""`partsong deploy`: check a deploy file, render it for Kubernetes or hosts, plan and apply it to a cluster that runs."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from partsong.contracts import Notice
from partsong.errors import MeshError, Problem
from partsong.mesh import LoadedMesh, Mesh, load_mesh
from partsong_cluster.address import is_dashboard
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.findings import block, counted, fact
from partsong_cluster.deploy import LoadedDeploy, load_deploy
from partsong_cluster.deploy.applied import Running, running
from partsong_cluster.deploy.apply import UP_WITHIN_S, plan_for
from partsong_cluster.deploy.apply import apply as carry_out
from partsong_cluster.deploy.apply import end as end_in_order
from partsong_cluster.deploy.check import Examined, examined
from partsong_cluster.deploy.handed import Doing, Handed, hand_over
from partsong_cluster.deploy.kuberay import kuberay_files
from partsong_cluster.deploy.launcher import launcher_files
from partsong_cluster.deploy.nodes import cluster_machines
from partsong_cluster.deploy.placing import Machine
from partsong_cluster.deploy.plan import Plan
from partsong_cluster.deploy.plan_drawn import drawn
from partsong_cluster.deploy.rendered import write
from partsong_cluster.jobs.cluster import Cluster

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
AddressOrApi = Annotated[
    str | None,
    typer.Option("--address", help="A cluster that runs: http://HOST:8265 (job API), HOST:6379, or auto for the one on this machine."),
]
NeededMesh = Annotated[Path, typer.Option("--mesh", metavar="MESH", help="The mesh file that it is for.", show_default=False)]
SystemName = Annotated[str | None, typer.Argument(metavar="NAME", help="Only this one.", show_default=False)]
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


@app.command(epilog="Example:  partsong deploy plan deploy.yaml --mesh mesh.yaml --address auto")
def plan(file: DeployFile, mesh: NeededMesh, address: AddressOrApi = None, as_json: AsJson = False, allow: Allow = None) -> None:
    """Show what applying a deploy file would change in the system that runs, and whether it can be changed while it works.

    Exit code 0: shown, whether or not there is anything to do; 2: the files have problems; 7: no cluster answers.
    """
    found = asyncio.run(_planned(load_deploy(file), _loaded(mesh, allow), address))
    typer.echo(found.model_dump_json(indent=2) if as_json else drawn(found))


@app.command(
    epilog="Examples:  partsong deploy apply deploy.yaml --mesh mesh.yaml --address auto  |  "
    "partsong deploy apply deploy.yaml --mesh mesh.yaml --address 10.0.0.10:6379 --yes"
)
def apply(
    file: DeployFile,
    mesh: NeededMesh,
    address: AddressOrApi = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds until it has to be up: machines may have to come first.")] = UP_WITHIN_S,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Start the system that a deploy file describes, or change the one that runs, without losing a call.

    Pools grow, drain and replace their workers one by one. What cannot be changed at work (the mesh's answers, the store, the journal) ends
    the system and begins it anew, and is refused while jobs are at work on it.

    Exit code 0: it is so now; 1: you said no; 2: the files have problems; 7: no cluster answers, or jobs are at work.
    """
    asyncio.run(_applied(load_deploy(file), _loaded(mesh, allow), address, _Asking(yes, as_json, wait)))


@app.command(epilog="Examples:  partsong deploy show  |  partsong deploy show support --address auto --json")
def show(name: SystemName = None, address: Address = None, as_json: AsJson = False) -> None:
    """List the systems of a cluster: their actors, workers by model, jobs at work, and what was applied to them."""
    found = asyncio.run(_running(name, address))
    typer.echo(json.dumps([_system_facts(one) for one in found], indent=2) if as_json else "\n".join(map(_system_lines, found)) or "none")


@app.command(epilog="Example:  partsong deploy end support --address auto")
def end(
    name: Annotated[str, typer.Argument(help="The system.", show_default=False)],
    address: Address = None,
    namespace: Annotated[str, typer.Option(help="Ray's namespace of its actors.")] = "partsong",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also when jobs are at work.")] = False,
) -> None:
    """End a system: its jobs stop, rows under way are finished, then its actors end. What the store holds stays.

    Exit code 0: ended; 1: you said no; 7: no cluster answers, or no such system runs.
    """
    asyncio.run(_ended(name, namespace, address, yes))


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whether the user is asked, and how it is told."""

    yes: bool
    as_json: bool
    within_s: float

    def wants(self, plan: Plan) -> bool:
        """Show the plan; return whether there is anything to do and the user wants it. Ends the command when he does not."""
        typer.echo(plan.model_dump_json(indent=2) if self.as_json else drawn(plan))
        if not plan.nothing and not self.yes and not typer.confirm("Apply?", err=True):
            raise typer.Exit(PROBLEMS_FOUND)
        return not plan.nothing

    def done(self, plan: Plan) -> None:
        """Say so."""
        if not self.as_json:
            typer.echo(f"{plan.system}: applied")


async def _planned(deploy: LoadedDeploy, loaded: LoadedMesh, address: str | None) -> Plan:
    from partsong_cluster.ray_runtime import ray_runtime

    if address is not None and is_dashboard(address):
        return await _handed(address, _order("plan", deploy, loaded), loaded)
    async with ray_runtime(_joined(address)):
        return await plan_for(deploy, loaded)


async def _applied(deploy: LoadedDeploy, loaded: LoadedMesh, address: str | None, asking: _Asking) -> None:
    from partsong_cluster.ray_runtime import ray_runtime

    if address is not None and is_dashboard(address):
        order = _order("apply", deploy, loaded).model_copy(update={"may_restart": True, "within_s": asking.within_s})
        if not asking.yes:
            shown = await _planned(deploy, loaded, address)
            if not asking.wants(shown):
                return
            order = order.model_copy(update={"may_restart": shown.restarts})
        found = await _handed(address, order, loaded)
        if not asking.yes or asking.wants(found):
            asking.done(found)
        return
    async with ray_runtime(_joined(address)):
        found = await plan_for(deploy, loaded)
        if asking.wants(found):
            await carry_out(found, deploy, loaded, _tell, within_s=asking.within_s)
            asking.done(found)


def _order(doing: Doing, deploy: LoadedDeploy, loaded: LoadedMesh) -> Handed:
    """Return what the cluster is asked to do; MeshError before anything is sent when the deploy file asks for what cannot be."""
    examined(deploy, loaded.mesh).check()
    text = Path(deploy.file).read_text(encoding="utf-8")
    mesh = loaded.mesh.pack().decode()
    return Handed(doing=doing, deploy=text, deploy_file=deploy.file, mesh=mesh, mesh_hash=loaded.hash, allowed=loaded.allowed)


async def _handed(address: str, order: Handed, loaded: LoadedMesh) -> Plan:
    """Have the cluster do it; return the plan that it made."""
    found: list[Plan] = []
    async for line in hand_over(Cluster(address), order, loaded):
        if line.notice is not None:
            _tell(line.notice)
        found += [] if line.plan is None else [line.plan]
    return found[-1]


def _tell(notice: Notice) -> None:
    typer.echo(f"{notice.where}: {notice.what}; {notice.doing}", err=True)


async def _running(name: str | None, address: str | None) -> list[Running]:
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(_joined(address)):
        return await running(name)


async def _ended(name: str, namespace: str, address: str | None, yes: bool) -> None:
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(_joined(address)):
        found = await running(name, namespace)
        jobs = found[0].of("job/") if found else []
        at_work = f" {counted(len(jobs), 'job')} at work on it will stop." if jobs else ""
        if found and not yes and not typer.confirm(f"End {name}?{at_work}", err=True):
            raise typer.Exit(PROBLEMS_FOUND)
        count = await end_in_order(name, namespace)
    typer.echo(f"{name}: {counted(count, 'actor')} ended")


def _joined(address: str | None) -> str:
    """Return the address of a cluster that runs: none is started for a system that is to last."""
    return address or os.environ.get("RAY_ADDRESS") or "auto"


def _system_facts(one: Running) -> dict[str, Any]:
    applied = None if one.applied is None else {"version": one.applied.version, "mesh_hash": one.applied.mesh_hash}
    actors = {kind: len(one.of(f"{kind}-")) for kind in ("journal", "coordinator", "synthesizer")}
    jobs = [job.removeprefix("job/") for job in one.of("job/")]
    return {"name": one.name, "namespace": one.namespace, **actors, "workers": one.workers, "jobs": jobs, "applied": applied}


def _system_lines(one: Running) -> str:
    facts = _system_facts(one)
    head = one.name if one.namespace == "partsong" else f"{one.name} (namespace {one.namespace})"
    applied = "no deploy file applied" if one.applied is None else f"applied by {one.applied.version}, mesh {one.applied.mesh_hash[:8]}"
    counts = ", ".join(counted(facts[kind], kind) for kind in ("journal", "coordinator", "synthesizer"))
    workers = ", ".join(f"{model} {count}" for model, count in one.workers.items()) or "none"
    jobs = ", ".join(facts["jobs"]) or "none"
    return f"{head}: {applied}\n  {counts}\n  workers  {workers}\n  jobs     {jobs}"


def _loaded(file: Path, allow: list[str] | None) -> LoadedMesh:
    return load_mesh(file, env=os.environ, check_secrets=False, allowed=allowed_by(allow))


def _mesh_of(file: Path, allow: list[str] | None) -> Mesh:
    return _loaded(file, allow).mesh


def _examined(file: Path, mesh: Mesh | None, nodes: Sequence[Machine] | None) -> Examined:
    return examined(load_deploy(file), mesh, nodes)


def _print_problems(console: Console, subject: str, found: Examined) -> None:
    both: tuple[tuple[str, str, tuple[Problem, ...]], ...] = (("error", "red", found.errors), ("warning", "yellow", found.warnings))
    for severity, colour, problems in both:
        for problem in problems:
            console.print(block(severity, colour, problem))
    counts = " and ".join(counted(len(problems), severity) for severity, _, problems in both if problems)
    console.print(f"{subject}: {counts}" if found.errors else f"{subject}: good" + (f", with {counts}" if counts else ""))
