"""Submission: a mesh, an input and a place for the results become a job in a cluster."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from partsong_actors.setup import SystemSpec

from partsong.adapters.python import imported
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.contracts.credentials import credential_in
from partsong.errors import InputError, MeshError, Place, RunError
from partsong.journal.postgres_address import PostgresAddress, is_postgres
from partsong.mesh import LoadedMesh, Mesh, StoreSpec, load_mesh
from partsong_cluster.batch.estimate import Estimator
from partsong_cluster.batch.places import FileKind
from partsong_cluster.batch.plain_url import check_plain
from partsong_cluster.batch.remote_results import RemoteResults, is_remote
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.state_folder import state_home
from partsong_cluster.decisions import stops_beside
from partsong_cluster.deploy import load_deploy
from partsong_cluster.deploy.check import examined
from partsong_cluster.deploy.overlay import overlaid, system_spec
from partsong_cluster.deploy.schema import Deploy
from partsong_cluster.jobs.bundle import CarriedInput, carried_input, write_bundle
from partsong_cluster.jobs.cluster import Cluster
from partsong_cluster.jobs.order import JobOrder, Tenancy
from partsong_cluster.jobs.wheel import write_wheel

__all__ = ["ENTRYPOINT", "Submission", "Wish", "environment_of", "kept_folder", "told_of"]

ENTRYPOINT = "exec python -m partsong_cluster.jobs.watch"
_STOPS_WITHIN_S = 86_400
"""How long Ray lets a watcher wait for its run to stop, before it kills the watcher."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks for."""

    mesh: Path
    input: str
    output: str
    deploy: Path | None = None
    name: str | None = None
    tenant: str = "default"
    weight: float = 1.0
    priority: int | None = None
    use: str | None = None
    input_kind: FileKind | None = None
    shared_input: bool = False
    id_column: str = "id"
    prompt_column: str = "prompt"
    longest_row_bytes: int = 10_000_000
    output_format: Literal["jsonl", "parquet"] = "jsonl"
    limits: Limits = field(default_factory=Limits)
    allowed: Allowed = NOTHING


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is ready to be sent: everything that can be found wrong before has been looked for."""

    order: JobOrder
    loaded: LoadedMesh
    carried: CarriedInput

    @classmethod
    def of(cls, wish: Wish, env: Mapping[str, str]) -> "Submission":
        """Return the submission; MeshError, InputError or RunError with all that stands against it."""
        find = partial(imported, folder=wish.mesh.parent, allowed=wish.allowed)
        loaded = load_mesh(wish.mesh, env=env, check_secrets=False, import_function=find, allowed=wish.allowed)
        deploy = None if wish.deploy is None else _deploy(wish.deploy, loaded.mesh)
        mesh = loaded.mesh if deploy is None else overlaid(loaded.mesh, deploy)
        _check_no_credentials(mesh.store, wish)
        _check_store(mesh.store.url, wish)
        names = frozenset(mesh.names)
        if wish.use is not None and wish.use not in names:
            raise MeshError("unknown-name", f"no model or plan is called {wish.use!r}", remedy=f"there are: {', '.join(sorted(names))}")
        if wish.limits.budget_usd is not None:
            Estimator(mesh, wish.use).check_priced()
        carried = carried_input(wish.input, wish.input_kind, shared=wish.shared_input)
        run = uuid.uuid4().hex[:12]
        order = JobOrder(
            run=run,
            name=wish.name or wish.mesh.stem,
            tenancy=_tenancy(wish, deploy),
            mesh=mesh.pack().decode(),
            mesh_file=str(wish.mesh),
            mesh_hash=loaded.hash,
            input=carried.named,
            input_kind=wish.input_kind,
            output=_output(wish.output),
            output_format=wish.output_format,
            names=names,
            id_column=wish.id_column,
            prompt_column=wish.prompt_column,
            longest_row_bytes=wish.longest_row_bytes,
            use=wish.use,
            rows=wish.limits.rows,
            budget_usd=wish.limits.budget_usd,
            deadline_s=wish.limits.deadline_s,
            concurrency=wish.limits.concurrency,
            grace_s=wish.limits.grace_s,
            weight=wish.weight,
            stops=frozenset(one.experiment for one in stops_beside(wish.mesh, loaded)),
            allowed=wish.allowed,
            system=SystemSpec(name=f"job-{run}", lasting=True) if deploy is None else system_spec(deploy),
            of_its_own=deploy is None,
        )
        return cls(order, loaded, carried)

    def check_place(self) -> None:
        """Raise InputError where another run's results stand; a place that cannot be read from here is the cluster's to judge."""
        try:
            owner = RemoteResults(self.order.output).owner()
        except RunError:
            return
        if owner:
            what = f"the results of another run stand here: {owner}"
            remedy = "name another place with -o, or delete what stands there"
            raise InputError("output-taken", what, at=Place(self.order.output), remedy=remedy)

    def send(self, cluster: Cluster, env: Mapping[str, str], *, package: bool) -> str:
        """Submit it and return Ray's name of the job; `package` lets this version travel with it."""
        order = self.order
        kept = kept_folder(order.run, env)
        kept.mkdir(parents=True, mode=0o700)
        write_bundle(kept, order, self.loaded, self.carried.files)
        told = told_of(order) | ({"partsong.input": str(self.carried.files[0])} if self.carried.files else {})
        try:
            with environment_of(kept, package=package) as environment:
                return cluster.submit(f"partsong-{order.run}", ENTRYPOINT, environment, told)
        except BaseException:
            shutil.rmtree(kept, ignore_errors=True)
            raise


def told_of(order: JobOrder) -> dict[str, str]:
    """Return what Ray tells everybody of the job."""
    return {
        "partsong.run": order.run,
        "partsong.name": order.name,
        "partsong.tenant": order.tenancy.name,
        "partsong.mesh": order.mesh_file,
        "partsong.input": order.input,
        "partsong.output": order.output,
        "partsong.system": order.system.name,
    }


@contextmanager
def environment_of(files: Path, *, package: bool) -> Iterator[Mapping[str, Any]]:
    """Yield what a job runs in: its files, and this version of Partsong. No variable in it holds a secret: everybody may read it."""
    with tempfile.TemporaryDirectory(prefix="partsong-package-") as scratch:
        environment: dict[str, Any] = {"working_dir": str(files), "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOPS_WITHIN_S)}}
        if package:
            environment["py_modules"] = [str(write_wheel(Path(scratch)))]
        yield environment


def kept_folder(run: str, env: Mapping[str, str]) -> Path:
    """Return where this machine keeps a job's files, to send them again."""
    return state_home(env) / "jobs" / run


def _deploy(file: Path, mesh: Mesh) -> Deploy:
    """Return what the file says; MeshError where `partsong deploy check` finds what cannot be."""
    loaded = load_deploy(file)
    examined(loaded, mesh).check()
    return loaded.deploy


def _tenancy(wish: Wish, deploy: Deploy | None) -> Tenancy:
    tenants = {} if deploy is None else deploy.tenants
    if tenants and wish.tenant not in tenants:
        known = ", ".join(sorted(tenants))
        raise RunError("unknown-tenant", f"the deploy file has no tenant {wish.tenant!r}", remedy=f"--tenant: one of {known}")
    tenant = tenants.get(wish.tenant)
    if tenant is None:
        return Tenancy(name=wish.tenant, priority=wish.priority or 0)
    return Tenancy(
        name=wish.tenant,
        weight=tenant.weight,
        priority=max(-3, min(3, tenant.priority if wish.priority is None else min(wish.priority, tenant.priority))),
        budget_usd_per_day=tenant.budget_usd_per_day,
        max_jobs=tenant.max_jobs,
    )


def _check_no_credentials(store: StoreSpec, wish: Wish) -> None:
    for name, address in (("url", store.url), ("segments", store.segments)):
        if found := credential_in(address or ""):
            remedy = "take it out and change it; nodes have it in their own environment: `?password_env=NAME`, AWS_PROFILE..."
            at = Place(str(wish.deploy or wish.mesh), field=f"store.{name}")
            raise MeshError("literal-secret", f"the address holds {found}, and would travel with the job", at=at, remedy=remedy)


def _check_store(url: str | None, wish: Wish) -> None:
    """A job's journal must be there for whichever node goes on with it."""
    if url is not None and is_postgres(url):
        parts = urlsplit(url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "password_env"]
        PostgresAddress.of(urlunsplit(parts._replace(query=urlencode(query))), {})
        return
    if url is not None and url.startswith("sqlite:////"):
        return
    what = "a cluster's nodes share no disk, and the journal of this mesh would stand on one of them"
    remedy = "say `store: {url: postgresql://...}` in the deploy file (or `sqlite:////path` on storage that all nodes share)"
    raise MeshError("store-needed", what, at=Place(str(wish.deploy or wish.mesh), field="store.url"), remedy=remedy)


def _output(given: str) -> str:
    if is_remote(given):
        check_plain(given, "the output")
        return given.rstrip("/")
    path = given.removeprefix("file://")
    if not path.startswith("/"):
        remedy = "name a URL (s3://bucket/folder), or an absolute path on storage that all nodes share"
        raise InputError("output-place", f"the cluster cannot write to {given!r} on this machine", remedy=remedy)
    return f"file://{path.rstrip('/')}"
