"""`partsong submit MESH INPUT -o URL`: a run becomes a job of a cluster, which goes on without this machine."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from partsong_cluster.address import DASHBOARD
from partsong_cluster.batch.run import Limits
from partsong_cluster.cli.allow import Allow, allowed_by
from partsong_cluster.cli.jobs import Address, followed
from partsong_cluster.cli.run import (
    Budget,
    Concurrency,
    Deadline,
    Grace,
    IdColumn,
    Input,
    InputFormat,
    Limit,
    MaxRow,
    Mesh,
    OutputFormat,
    PromptColumn,
    Use,
)
from partsong_cluster.cli.stops import stops_told
from partsong_cluster.jobs.cluster import Cluster
from partsong_cluster.jobs.submission import Submission, Wish

__all__ = ["EXAMPLES", "submit"]

EXAMPLES = (
    "Examples:  partsong submit mesh.yaml questions.jsonl -o s3://bucket/out --deploy deploy.yaml --address http://head:8265  |  "
    "partsong submit mesh.yaml 's3://bucket/in/*.parquet' -o s3://bucket/out --deploy deploy.yaml --tenant research --follow"
)

Output = Annotated[str, typer.Option("--output", "-o", help="URL of the folder for the results, or a path all nodes share.", metavar="URL")]
DeployFile = Annotated[Path | None, typer.Option("--deploy", help="The deploy file: system, store, tenants.", metavar="FILE")]
JobName = Annotated[str | None, typer.Option("--name", help="What to call the job; default: the mesh file's name.", metavar="NAME")]
Tenant = Annotated[str, typer.Option(help="For whom it is, as the deploy file names them.", metavar="NAME")]
Priority = Annotated[
    int | None, typer.Option(min=-3, max=3, help="Each step is four times the share; not above the tenant's own.", metavar="N")
]
Weight = Annotated[float, typer.Option(min=0.01, help="Share beside other jobs of the tenant.", metavar="SHARE")]
SharedInput = Annotated[bool, typer.Option("--shared-input", help="INPUT is on storage that all nodes share: it does not travel.")]
NoPackage = Annotated[bool, typer.Option("--no-package", help="The cluster has this version of Partsong: it need not travel.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show its progress until it is over; Ctrl-C leaves it alone.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was submitted as JSON.")]


def submit(
    mesh: Mesh,
    input: Input,
    output: Output,
    deploy: DeployFile = None,
    address: Address = DASHBOARD,
    name: JobName = None,
    tenant: Tenant = "default",
    priority: Priority = None,
    weight: Weight = 1.0,
    use: Use = None,
    limit: Limit = None,
    budget: Budget = None,
    deadline: Deadline = None,
    concurrency: Concurrency = None,
    input_format: InputFormat = None,
    shared_input: SharedInput = False,
    id_column: IdColumn = "id",
    prompt_column: PromptColumn = "prompt",
    max_row: MaxRow = 10_000_000,
    output_format: OutputFormat = "jsonl",
    grace: Grace = 30.0,
    package: NoPackage = False,
    follow: Follow = False,
    as_json: AsJson = False,
    allow: Allow = None,
) -> None:
    """Have a cluster answer every row of INPUT, and write the results to a URL; this machine may be switched off meanwhile.

    Mesh, deploy file and input are checked before anything is sent. Keys are not sent: workers read them on their nodes, by the names that
    the mesh file gives. `partsong jobs` shows, follows, stops and resumes it.

    Exit code 0: submitted (with --follow: the run's own, as `partsong run` has them); 2: command line, mesh, deploy file or input cannot be
    used; 7: no cluster answers, or it refuses the token.
    """
    wish = Wish(
        mesh=mesh,
        input=input,
        output=output,
        deploy=deploy,
        name=name,
        tenant=tenant,
        weight=weight,
        priority=priority,
        use=use,
        input_kind=input_format,
        shared_input=shared_input,
        id_column=id_column,
        prompt_column=prompt_column,
        longest_row_bytes=max_row,
        output_format=output_format,
        limits=Limits(limit, budget, deadline, concurrency, grace),
        allowed=allowed_by(allow),
    )
    ready = Submission.of(wish, os.environ)
    stops_told(mesh, ready.loaded, partial(typer.echo, err=True))
    cluster = Cluster(address)
    cluster.check()
    ready.check_place()
    job = ready.send(cluster, os.environ, package=not package)
    order = ready.order
    if as_json:
        typer.echo(json.dumps({"run": order.run, "job": job, "output": order.output, "address": cluster.address}, indent=2))
    else:
        typer.echo(f"submitted {order.run} ({order.name}); results will be at {order.output}")
    if follow:
        raise typer.Exit(followed(cluster, order.run, as_json=as_json))
    if not as_json:
        where = "" if address == DASHBOARD else f" --address {cluster.address}"
        typer.echo(f"To watch it:  partsong jobs follow {order.run}{where}", err=True)
