"""A job's order: everything that its actor must know to work it on any node, from the start or from where it stopped."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from partsong_actors.setup import SystemSpec
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from partsong.contracts import Frozen
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import Place
from partsong.mesh import LoadedMesh, Mesh
from partsong.mesh.document import Piece
from partsong_cluster.batch.as_task import Columns, Shape
from partsong_cluster.batch.ingest import InputRules
from partsong_cluster.batch.places import FileKind
from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.session import RunOrder
from partsong_cluster.jobs.notes import JobNote

__all__ = ["MESH_FOLDER", "JobOrder", "Tenancy"]

MESH_FOLDER = "mesh"
"""Within the job's files: what the mesh names relative to its own folder."""

_SHARE_OF_A_PRIORITY = 4.0


class Tenancy(Frozen):
    """For whom a job works, and what they may."""

    name: str = "default"
    weight: PositiveFloat = 1.0
    """Share of what is scarce, beside other tenants'; its jobs at work divide it."""
    priority: int = Field(default=0, ge=-3, le=3)
    """Each step is four times the share."""
    budget_usd_per_day: PositiveFloat | None = None
    """US dollars that all of its jobs together may spend in a day (UTC)."""
    max_jobs: PositiveInt | None = None
    """Jobs that may run at a time."""


class JobOrder(Frozen):
    """What was submitted; no secret is in it."""

    run: str
    """The run's name, in the journal too."""
    name: str
    """What its user calls it."""
    tenancy: Tenancy = Tenancy()
    mesh: str
    """The mesh, packed (Mesh.pack), the deploy file laid over it."""
    mesh_file: str
    """As it was named."""
    mesh_hash: str
    input: str
    """A URL, a path on shared storage, or a path within the job's files."""
    input_kind: FileKind | None = None
    output: str
    """URL of the folder that the results go to."""
    output_format: Literal["jsonl", "parquet"] = "jsonl"
    names: frozenset[str] = frozenset()
    """Models and plans that rows may name."""
    id_column: str = "id"
    prompt_column: str = "prompt"
    longest_row_bytes: PositiveInt = 10_000_000
    use: str | None = None
    rows: PositiveInt | None = None
    budget_usd: NonNegativeFloat | None = None
    deadline_s: PositiveFloat | None = None
    concurrency: PositiveInt | None = None
    grace_s: NonNegativeFloat = 30.0
    weight: PositiveFloat = 1.0
    """Its share beside other jobs of its tenant."""
    stops: frozenset[str] = frozenset()
    """Rollouts that stopped themselves, as it is kept beside the mesh file."""
    accept_changes: bool = False
    allowed: Allowed = NOTHING
    system: SystemSpec
    """The running system that works it."""
    of_its_own: bool = False
    """Whether the system was made for this job alone, and ends with it."""

    def pack(self) -> bytes:
        """Return the order as bytes that `unpack` reads."""
        return self.model_dump_json().encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Return the order that `pack` wrote."""
        return cls.model_validate_json(packed)

    @property
    def note(self) -> JobNote:
        """What others are told of it."""
        system = self.system
        return JobNote(run=self.run, tenant=self.tenancy.name, system=system.name, namespace=system.namespace, weight=self.weight, at_s=0.0)

    def share(self, at_work: Iterable[JobNote]) -> float:
        """Return its weight beside all other jobs of the system: its part of what its tenant has, however many jobs that has at work."""
        beside = {note.run: note.weight for note in at_work if (note.system, note.namespace) == (self.system.name, self.system.namespace)}
        of_tenant = self.tenancy.weight * _SHARE_OF_A_PRIORITY**self.tenancy.priority
        return of_tenant * self.weight / sum((beside | {self.run: self.weight}).values())

    def loaded(self) -> LoadedMesh:
        """Return the mesh, its files being where the job's files are."""
        mesh = Mesh.unpack(self.mesh.encode(), folder=Path(MESH_FOLDER))
        nowhere = Piece({}, Place(self.mesh_file))
        return LoadedMesh(mesh, Path(MESH_FOLDER), (), self.mesh_hash, nowhere, (), self.allowed)

    def session(self, scratch: Path) -> RunOrder:
        """Return what a session is to do, with what it keeps in the scratch folder."""
        return RunOrder(
            mesh=self.mesh_file,
            input=self.input,
            folder=scratch,
            output=self.output,
            run=self.run,
            input_kind=self.input_kind,
            rules=InputRules(Shape(Columns(self.id_column, self.prompt_column), self.names), self.longest_row_bytes),
            use=self.use,
            limits=Limits(self.rows, self.budget_usd, self.deadline_s, self.concurrency, self.grace_s),
            accept_changes=self.accept_changes,
            output_format=self.output_format,
        )
