"""Schema: what a deploy file may say. Pools, the other actors, store, nodes, security, tenants, Kubernetes, hosts."""

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from partsong.contracts import Duration, Frozen, Name, Scale, Size, WorkerRange

__all__ = [
    "Actors",
    "Amounts",
    "Autoscaling",
    "Control",
    "Deploy",
    "HeadNode",
    "Journal",
    "Kubernetes",
    "Launcher",
    "NodeType",
    "Pool",
    "Reserved",
    "SecretKey",
    "Security",
    "Store",
    "Tenant",
]


def _on(value: Any) -> Any:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


OnOff = Annotated[bool, BeforeValidator(_on, json_schema_input_type=bool | Literal["on", "off"])]
"""`on` or `off`."""

SystemName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""A name that Kubernetes takes too: a small letter, then small letters, digits and `-`; at most 40 characters."""

KubeName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""The name of an object of Kubernetes."""

Labels = dict[str, str]


def _ordered(value: WorkerRange) -> WorkerRange:
    if value.max < value.min:
        raise ValueError(f"max {value.max} is below min {value.min}")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is no network; write an address and the length of its prefix: 10.0.0.0/8") from None


Network = Annotated[str, AfterValidator(_network)]
"""A network: `10.0.0.0/8`."""


class Reserved(Frozen):
    """What Ray counts when it places an actor, or what a node has; it places by these numbers and enforces none of them."""

    cpu: NonNegativeFloat = 0.0
    """Processors."""
    memory: Size | None = None
    """Memory; None: not counted."""
    custom: dict[str, NonNegativeFloat] = {}
    """Amounts of resources of your own, by name, as nodes declare them."""


class Amounts(Reserved):
    """What Ray counts of processors, memory, graphics processors and resources of your own."""

    gpu: NonNegativeFloat = 0.0
    """Graphics processors; a part of one is shared."""


class Pool(Frozen):
    """One model's pool; what is not said stays as `defaults`, else as the mesh file says."""

    workers: Annotated[WorkerRange, AfterValidator(_ordered)] | None = None
    """How many workers: `min` are kept, up to `max` are started while calls wait. `min: 0` lets the last one go when the model is idle."""
    concurrency: PositiveInt | None = None
    """Calls in flight per worker."""
    resources: Amounts | None = None
    """What Ray reserves for each worker."""
    labels: Labels | None = None
    """Labels that a worker's node must have, as Ray's label selectors write them: `zone: in(a, b)`, `spot: "!true"`."""
    scale: Scale | None = None
    """When workers are started and let go."""
    generation: NonNegativeInt | None = None
    """Counted up, it has the workers replaced one by one, though nothing else has changed: for a key whose file has other content."""


class Actors(Frozen):
    """Several actors of one kind."""

    count: PositiveInt = 1
    """How many."""
    resources: Reserved = Reserved()
    """What Ray reserves for each."""
    labels: Labels = {}
    """Labels that its node must have."""


class Journal(Frozen):
    """The actors that write the journal."""

    shards: PositiveInt = 1
    """How many; each row's records always go to the same one. More than one needs a PostgreSQL store."""
    resources: Reserved = Reserved()
    """What Ray reserves for each."""
    labels: Labels = {}
    """Labels that its node must have."""


class Control(Frozen):
    """The actors of which there is one: the pools' (limits, breakers, scaling), the one that starts workers, and one for each job."""

    resources: Reserved = Reserved()
    """What Ray reserves for each."""
    labels: Labels = {}
    """Labels that its node must have: keep them off nodes that may be taken away."""


class Store(Frozen):
    """Where the journal is kept."""

    url: str | None = Field(default=None, examples=["postgresql://partsong@db.internal/partsong", "sqlite:///journal.db"])
    """Address of the store; None: as the mesh file says. No password stands here: `?password_env=NAME`, `PGPASSWORD` or `.pgpass`."""
    segments: str | None = Field(default=None, examples=["s3://bucket/partsong"])
    """Where records go that are too large for the database; None: into the database."""


class NodeType(Frozen):
    """Machines of one kind."""

    resources: Amounts
    """What one machine has."""
    labels: Labels = {}
    """Labels that Ray gives it."""
    min: NonNegativeInt = 0
    """Machines that are there always."""
    max: PositiveInt = 1
    """Machines that there may be."""

    @model_validator(mode="after")
    def _in_order(self) -> "NodeType":
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}")
        return self


class HeadNode(Frozen):
    """The machine of Ray's head. Its processors are offered to no worker, so that nothing disturbs it, unless `works` is on."""

    resources: Amounts = Amounts(cpu=2.0, memory=8 * 2**30)
    """What the machine has."""
    labels: Labels = {}
    """Labels that Ray gives it."""
    works: OnOff = False
    """Whether workers that reserve processors may be placed on it."""


class Autoscaling(Frozen):
    """The machines. Without node types there is one, the head, which then works."""

    head: HeadNode = HeadNode()
    """The machine of Ray's head."""
    node_types: dict[Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")], NodeType] = {}
    """The other machines, by the name of their kind."""
    max_nodes: PositiveInt | None = None
    """Machines of all kinds together, beside the head; None: as many as their kinds' `max` come to."""
    idle: Duration = 300.0
    """How long a machine may have nothing to do before it is given back."""


class Security(Frozen):
    """Who may talk to the cluster, and what may run on it."""

    auth: Literal["token", "off"] = "token"
    """Whether Ray asks everybody for a token (`RAY_AUTH_MODE`). Without it whoever reaches a port runs code on every machine."""
    tls: OnOff = False
    """Whether traffic between the machines is encrypted (`RAY_USE_TLS`)."""
    tls_folder: str = "/etc/partsong/tls"
    """Where each machine has `tls.crt`, `tls.key` and `ca.crt`."""
    python_adapter: OnOff = True
    """Whether the mesh may run Python code of its own: models of adapter `python`, and functions that plans name."""
    dashboard_host: str = "127.0.0.1"
    """Address that the dashboard and the job API listen on, on the head. `0.0.0.0` is every address; with `auth: token` only."""


class Tenant(Frozen):
    """What one user of the cluster may do: an agreement that Partsong's own jobs keep; whoever has the token can go around it."""

    weight: PositiveFloat = 1.0
    """Share of what is scarce, beside the other tenants' weights; its jobs at work divide it among themselves."""
    priority: Annotated[int, Field(ge=-3, le=3)] = 0
    """Each step is four times the share where calls have to wait; nobody is shut out."""
    budget_usd_per_day: PositiveFloat | None = None
    """US dollars that all of its jobs on one store may spend in a day (UTC); None: no limit."""
    max_jobs: PositiveInt | None = None
    """Jobs that may run at a time; None: no limit."""


class SecretKey(Frozen):
    """One key of a Secret that is there already; the deploy file holds its name only."""

    name: KubeName
    """The Secret."""
    key: str
    """The key in it."""


class Kubernetes(Frozen):
    """What `deploy render kuberay` needs to know."""

    image: str = Field(examples=["registry.example/partsong:0.1.0@sha256:..."])
    """The image of all pods, as `deploy/Containerfile` builds it; by digest is best."""
    namespace: KubeName = "partsong"
    """Namespace of all objects."""
    image_pull_secret: KubeName | None = None
    """The Secret to pull the image with."""
    service_account: KubeName | None = None
    """The service account of all pods but the head's: how a cloud lets them reach its storage without keys. None: one that may nothing."""
    auth_secret: KubeName = "partsong-auth"  # noqa: S105  a name
    """The Secret with Ray's token, under its key `auth_token`."""
    key_secrets: tuple[KubeName, ...] = ()
    """Secrets whose keys become environment variables of all pods: those that the mesh file's `{env: NAME}` and the store name."""
    gcs_storage: Literal["redis", "rocksdb", "off"] = "redis"
    """What keeps Ray's own state when the head is lost: a Redis, a volume of the head (a feature gate of KubeRay 1.7), or nothing."""
    redis: str = "redis:6379"
    """Address of that Redis."""
    redis_password: SecretKey | None = None
    """Where its password is."""
    egress: tuple[Network, ...] = ("0.0.0.0/0",)
    """Networks (CIDR) that pods may open connections to, beside each other: providers, database, storage. Link-local ones stay shut."""
    clients: dict[str, str] = {"partsong.dev/client": "true"}
    """Labels of the pods, in the same namespace, that may talk to the dashboard and the job API."""
    operator_namespace: KubeName = "kuberay-operator"
    """Namespace of KubeRay's operator, which asks the job API."""
    monitoring_namespace: KubeName = "monitoring"
    """Namespace of Prometheus, which reads the metrics ports."""
    files: KubeName = "partsong-files"
    """The ConfigMap with the mesh file, what it names and the deploy file; all pods have it in `/etc/partsong/files` if it is there."""
    user: PositiveInt = 1000
    """User and group of all processes, the one of the image."""
    node_selectors: dict[str, dict[str, str]] = {}
    """Labels of Kubernetes' own nodes that the pods of a node type are put on, by node type (`head` for the head)."""
    tolerations: dict[str, tuple[dict[str, str], ...]] = {}
    """Tolerations of the pods of a node type."""


class Launcher(Frozen):
    """What `deploy render launcher` needs to know: hosts of your own, reached by SSH."""

    head: str
    """Address of the head's host, in the private network of all hosts."""
    workers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Addresses of the other hosts."""
    ssh_user: str = "partsong"
    """User on all hosts."""
    ssh_private_key: str | None = None
    """Path of the key on the machine from which `ray up` runs; None: as SSH finds it."""
    python: str = "/opt/partsong/bin"
    """Folder on all hosts with `ray` and `partsong`: a virtual environment's `bin`."""
    token_path: str = "/etc/partsong/auth_token"  # noqa: S105  a path
    """File on all hosts that holds Ray's token and nothing else, for this user alone to read."""
    keys: str = "/etc/partsong/keys"
    """File on all hosts, for this user alone to read: `NAME=value` of each variable that the mesh file and the store name."""
    port: PositiveInt = 6379
    """Port of the head that the others join."""
    state: str | None = "/var/lib/partsong/gcs"
    """Folder of the head that keeps Ray's own state, so that the cluster outlives the head's process; None: it does not."""


class Deploy(Frozen):
    """A deploy file: how a mesh is spread over machines. It is laid over the mesh file and changes nothing of what is answered."""

    version: Literal[1]
    """Version of the deploy file's format."""
    name: SystemName
    """The running system: its actors are named after it, and `apply` finds it by it."""
    namespace: str = Field(default="partsong", min_length=1)
    """Ray's namespace of its actors."""
    pools: dict[Name, Pool] = {}
    """Pools by the model's name."""
    defaults: Pool = Pool()
    """For pools that say nothing else."""
    coordinators: Actors = Actors()
    """The actors that work rows."""
    synthesizers: Actors = Actors()
    """The actors that merge answers."""
    journal: Journal = Journal()
    """The actors that write the journal."""
    control: Control = Control()
    """The actors of which there is one."""
    store: Store = Store()
    """Where the journal is kept."""
    autoscaling: Autoscaling | None = None
    """The machines; None: whatever the cluster has."""
    security: Security = Security()
    """Who may talk to the cluster, and what may run on it."""
    tenants: dict[Name, Tenant] = {}
    """Users that share the system."""
    kubernetes: Kubernetes | None = None
    """For `deploy render kuberay`."""
    launcher: Launcher | None = None
    """For `deploy render launcher`."""
