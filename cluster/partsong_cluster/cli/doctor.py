"""`partsong doctor`: is this machine, or a cluster, fit for work; and what to do where it is not."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from partsong.mesh import LoadedMesh, load_mesh
from partsong_cluster.address import is_dashboard
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.dashboard import Dashboard
from partsong_cluster.deploy import LoadedDeploy, load_deploy
from partsong_cluster.doctor import Check, Finding, Level, Patient, examined
from partsong_cluster.doctor.gather import patient_here, patient_of_cluster
from partsong_cluster.ray_token import token_of
from partsong_cluster.terminal import in_json, plain

__all__ = ["DOCTOR_EXAMPLES", "doctor"]

DOCTOR_EXAMPLES = (
    "Examples:  partsong doctor  |  partsong doctor --address auto --mesh mesh.yaml --deploy deploy.yaml  |  "
    "partsong doctor --mesh mesh.yaml --ask --json"
)

NOT_FIT = 1

_COLOURS: dict[Level, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}

Found = Sequence[tuple[Check, Sequence[Finding]]]


def doctor(
    address: Annotated[
        str | None, typer.Option(help="A cluster: HOST:6379, auto, or only its dashboard: http://HEAD:8265.", metavar="ADDRESS")
    ] = None,
    mesh: Annotated[Path | None, typer.Option(help="A mesh file: its store, weights and keys are looked at.", metavar="MESH")] = None,
    deploy: Annotated[Path | None, typer.Option(help="A deploy file: its store and security are looked at.", metavar="FILE")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Make a call of one token to each model; it may cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow: Allow = None,
) -> None:
    """Check a machine or a cluster: versions, clocks, ports, tokens, TLS, store, weights, keys, disks; say what to do about what is wrong.

    Exit code 0: nothing is wrong (there may be warnings); 1: something is; 2: wrong usage.
    """
    if ask and mesh is None:
        raise typer.BadParameter("--ask needs --mesh: it says which models")
    loaded = None if mesh is None else load_mesh(mesh, env=os.environ, check_secrets=False, allowed=allowed_by(allow))
    found = examined(_patient(address, loaded, None if deploy is None else load_deploy(deploy), ask=ask))
    fit = all(finding.level != "fail" for _, findings in found for finding in findings)
    if as_json:
        typer.echo(in_json(json.dumps({"ok": fit, "checks": _facts(found)}, indent=2, ensure_ascii=False)))
    else:
        Console(highlight=False).print(_drawn(found))
    if not fit:
        raise typer.Exit(NOT_FIT)


def _patient(address: str | None, loaded: LoadedMesh | None, deploy: LoadedDeploy | None, *, ask: bool) -> Patient:
    if address is None or is_dashboard(address):
        dashboard = None if address is None else Dashboard(address, token_of().text)
        return patient_here(loaded, deploy, dashboard, ask=ask)
    return asyncio.run(_joined(address, loaded, deploy, ask=ask))


async def _joined(address: str, loaded: LoadedMesh | None, deploy: LoadedDeploy | None, *, ask: bool) -> Patient:
    from partsong_cluster.ray_runtime import ray_runtime

    async with ray_runtime(address):
        return await asyncio.to_thread(patient_of_cluster, loaded, deploy, ask=ask)


def _facts(found: Found) -> list[dict[str, object]]:
    return [{"check": check.name, **finding.model_dump()} for check, findings in found for finding in findings]


def _drawn(found: Found) -> Group:
    table = Table(box=None, pad_edge=False, show_header=False, show_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=30)
    table.add_column(overflow="fold")
    for check, findings in found:
        for number, finding in enumerate(findings):
            level = Text(finding.level, _COLOURS[finding.level])
            what = Text(plain(finding.what))
            if finding.remedy:
                what.append(f"\n→ {plain(finding.remedy)}", "dim")
            table.add_row(Text(check.name if number == 0 else "", "bold"), level, Text(plain(finding.where), "dim"), what)
    return Group(table, _summed(found))


def _summed(found: Found) -> Text:
    levels = [finding.level for _, findings in found for finding in findings]
    wrong, doubtful = levels.count("fail"), levels.count("warn")
    if not wrong and not doubtful:
        return Text("\nnothing is wrong", "green")
    return Text(f"\n{wrong} wrong, {doubtful} to look at", "bold red" if wrong else "yellow")
