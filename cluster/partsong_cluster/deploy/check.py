"""Check: what a deploy file asks for that cannot be, or is probably not meant; each with its place and what to do."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partsong_actors.setup import Placement, SystemSpec
from pydantic import BaseModel

from partsong.contracts.credentials import credential_in
from partsong.errors import MeshError, Problem
from partsong.mesh import Mesh
from partsong.mesh.explain import nearest
from partsong.plans.trust.python import Python
from partsong_cluster.deploy.load import LoadedDeploy
from partsong_cluster.deploy.overlay import overlaid, system_spec
from partsong_cluster.deploy.placing import Machine, Wanted, capacity, machines_of, misfit, selector_problem, total
from partsong_cluster.deploy.schema import Deploy

__all__ = ["Examined", "examined"]


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check came to, in the order of the file."""

    errors: tuple[Problem, ...]
    """What keeps it from being applied."""
    warnings: tuple[Problem, ...]
    """What is probably not meant."""

    def check(self) -> None:
        """Raise MeshError with what keeps it from being applied, if anything does."""
        if self.errors:
            raise MeshError.of(self.errors)


def examined(loaded: LoadedDeploy, mesh: Mesh | None = None, nodes: Sequence[Machine] | None = None) -> Examined:
    """Return everything that is wrong with a deploy file: alone, with the mesh that it is for, on the nodes of a cluster that runs."""
    look = _Look(loaded, mesh, nodes)
    errors = [*look.unknown_models(), *look.bad_selectors(), *look.bad_nodes(), *look.credentials()]
    errors += [*look.store(), *look.security(), *look.python()]
    warnings = [*look.doubtful_security(), *look.doubtful_kubernetes(), *look.tls_by_operator(), *look.keys()]
    for problem, serious in look.placing():
        (errors if serious else warnings).append(problem)
    return Examined(_in_order(errors), _in_order(warnings))


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.at.line, p.at.column) if p.at else (0, 0)))


@dataclass(frozen=True, slots=True)
class _Look:
    loaded: LoadedDeploy
    mesh: Mesh | None
    nodes: Sequence[Machine] | None

    @property
    def deploy(self) -> Deploy:
        return self.loaded.deploy

    def unknown_models(self) -> Iterator[Problem]:
        if self.mesh is None:
            return
        for name in self.deploy.pools:
            if name not in self.mesh.models:
                what = f"the mesh has no model {name!r}"
                yield Problem("unknown-model", what, self.loaded.place("pools", name), nearest(name, list(self.mesh.models)))

    def bad_selectors(self) -> Iterator[Problem]:
        for wanted in self.wanted():
            for name, selector in wanted.labels.items():
                if selector_problem(selector):
                    what = f"{selector!r} is no label selector"
                    remedy = "write `value`, `!value`, `in(a, b)` or `!in(a, b)`"
                    yield Problem("bad-selector", what, self.loaded.place(*wanted.path, "labels", name), remedy)

    def bad_nodes(self) -> Iterator[Problem]:
        scaling = self.deploy.autoscaling
        if scaling is None or scaling.max_nodes is None:
            return
        always = sum(kind.min for kind in scaling.node_types.values())
        if always > scaling.max_nodes:
            what = f"{always} machines are there always, and there may be {scaling.max_nodes}"
            at = self.loaded.place("autoscaling", "max_nodes")
            yield Problem("too-few-nodes", what, at, "raise `max_nodes`, or lower a node type's `min`")

    def credentials(self) -> Iterator[Problem]:
        stated = self.deploy.store
        wheres = {"url": "name a variable: `?password_env=PGPASSWORD`", "segments": "nodes read it from their own environment"}
        for field, url in (("url", stated.url), ("segments", stated.segments)):
            if found := credential_in(url or ""):
                what = f"the address holds {found}, and the file holds no secrets"
                yield Problem("literal-secret", what, self.loaded.place("store", field), f"take it out and change it; {wheres[field]}")

    def store(self) -> Iterator[Problem]:
        url, at = self._store_url(), self.loaded.place("store", "url")
        if not url.startswith("sqlite:"):
            return
        remedy = "use PostgreSQL: `postgresql://user@host/database`"
        if self._several_machines():
            yield Problem("store-not-shared", "SQLite is a file of one machine, and there are several", at, remedy)
        if self.deploy.journal.shards > 1:
            what = f"{self.deploy.journal.shards} journals cannot write one SQLite file"
            yield Problem("journal-shards", what, self.loaded.place("journal", "shards"), f"set `shards: 1`, or {remedy}")

    def _store_url(self) -> str:
        of_mesh = None if self.mesh is None else self.mesh.store.url
        return self.deploy.store.url or of_mesh or "sqlite:///journal.db"

    def _several_machines(self) -> bool:
        scaling = self.deploy.autoscaling
        return bool(scaling is not None and scaling.node_types) or len(self.nodes or ()) > 1

    def security(self) -> Iterator[Problem]:
        said = self.deploy.security
        if said.auth == "off" and not _is_loopback(said.dashboard_host):
            what = f"without a token whoever reaches {said.dashboard_host} runs code on every machine"
            yield Problem("open-cluster", what, self.loaded.place("security", "auth"), "set `auth: token`")
        elif said.auth == "off" and (self.deploy.kubernetes or self.deploy.launcher):
            what = "without a token whoever reaches a port of a machine runs code on it"
            yield Problem("open-cluster", what, self.loaded.place("security", "auth"), "set `auth: token`")

    def python(self) -> Iterator[Problem]:
        if self.mesh is None or self.deploy.security.python_adapter:
            return
        at = self.loaded.place("security", "python_adapter")
        for name, spec in self.mesh.models.items():
            if spec.adapter == "python":
                what = f"model {name!r} is Python code, and the system runs none"
                yield Problem("python-off", what, at, "take it out of the mesh, or set `python_adapter: on`")
        for name, plan in self.mesh.plans.items():
            if any(isinstance(piece, Python) for piece in _pieces(plan)):
                what = f"plan {name!r} trusts by Python code, and the system runs none"
                yield Problem("python-off", what, at, "take it out of the mesh, or set `python_adapter: on`")

    def doubtful_security(self) -> Iterator[Problem]:
        said = self.deploy.security
        if said.auth == "off" and _is_loopback(said.dashboard_host) and not (self.deploy.kubernetes or self.deploy.launcher):
            what = "several of Ray's ports listen on all addresses, and without a token they ask nobody who they are"
            yield Problem("auth-off", what, self.loaded.place("security", "auth"), "set `auth: token`")
        if said.auth == "token" and _is_public(said.dashboard_host):
            what = f"the dashboard listens on {said.dashboard_host}, over plain HTTP: the token travels in clear"
            remedy = "name a private address, or put a proxy with TLS in front"
            yield Problem("dashboard-public", what, self.loaded.place("security", "dashboard_host"), remedy)

    def doubtful_kubernetes(self) -> Iterator[Problem]:
        said = self.deploy.kubernetes
        if said is None:
            return
        if "@sha256:" not in said.image:
            what = f"image {said.image} is named by a tag, which may become another image"
            yield Problem("image-not-pinned", what, self.loaded.place("kubernetes", "image"), "add its digest: `name:tag@sha256:...`")
        if said.gcs_storage == "off":
            what = "when the head is lost, all actors and what they have in flight are lost with it"
            yield Problem("head-not-kept", what, self.loaded.place("kubernetes", "gcs_storage"), "set `gcs_storage: redis`")
        if said.gcs_storage == "rocksdb":
            what = "RocksDB is alpha in Ray 2.60, and a feature gate of KubeRay 1.7"
            remedy = "turn the operator's gate on, or set `gcs_storage: redis`"
            yield Problem("gcs-alpha", what, self.loaded.place("kubernetes", "gcs_storage"), remedy)

    def tls_by_operator(self) -> Iterator[Problem]:
        if self.deploy.kubernetes is not None and self.deploy.security.tls:
            what = "KubeRay 1.7 makes certificates behind a feature gate (RayClusterMTLS), with cert-manager"
            yield Problem("tls-alpha", what, self.loaded.place("security", "tls"), "turn the operator's gate on and install cert-manager")

    def keys(self) -> Iterator[Problem]:
        said = self.deploy.kubernetes
        if said is None or self.mesh is None or said.key_secrets:
            return
        from partsong.mesh import variables_of

        if names := sorted(variables_of(self.mesh.models)):
            what = f"the mesh reads {', '.join(names)}, and no Secret brings them into the pods"
            yield Problem("keys-missing", what, self.loaded.place("kubernetes", "key_secrets"), "name the Secret in `key_secrets`")

    def placing(self) -> Iterator[tuple[Problem, bool]]:
        """Yield what does not fit, and whether that keeps the system from working."""
        scaling = self.deploy.autoscaling
        asked = [(machines_of(self.deploy), None if scaling is None else scaling.max_nodes, "the file's machines")]
        asked += [] if self.nodes is None or scaling is not None else [(list(self.nodes), None, "the cluster's nodes")]
        for machines, max_nodes, whose in asked:
            alone = list(self._alone(machines, max_nodes, whose)) if machines else []
            yield from alone
            if machines and not any(serious for _, serious in alone):
                yield from self._together(machines, whose)
        if scaling is not None and self.nodes is not None:
            yield from self._missing_machines(self.nodes)

    def _alone(self, machines: Sequence[Machine], max_nodes: int | None, whose: str) -> Iterator[tuple[Problem, bool]]:
        for wanted in self.wanted():
            if any(map(selector_problem, wanted.labels.values())):
                continue  # told already
            at = self.loaded.place(*wanted.path, *(("workers",) if wanted.path[0] == "pools" else ()))
            fits = capacity(wanted, machines, max_nodes)
            if fits == 0:
                why = "; ".join(dict.fromkeys(f"{machine.name}: {misfit(wanted, machine)}" for machine in machines))
                what = f"{wanted.what} wants {_said(wanted)}; none of {whose} can hold it ({why})"
                yield Problem("not-placeable", what, self.loaded.place(*wanted.path), "lower `resources`, or add a larger machine"), True
            elif fits < wanted.least:
                what = f"{wanted.least} of {wanted.what} are kept, and {fits:g} fit on {whose}"
                yield Problem("too-few-nodes", what, at, "lower `min`, or allow more machines"), True
            elif fits < wanted.most:
                what = f"there may be {wanted.most} of {wanted.what}, and {fits:g} fit on {whose}"
                yield Problem("max-out-of-reach", what, at, "lower `max`, or allow more machines"), False

    def _together(self, machines: Sequence[Machine], whose: str) -> Iterator[tuple[Problem, bool]]:
        wanted = list(self.wanted())
        for name in dict.fromkeys(name for one in wanted for name in one.amounts):
            has = total(machines, name)
            least = sum(one.amounts.get(name, 0.0) * one.least for one in wanted)
            most = sum(one.amounts.get(name, 0.0) * one.most for one in wanted)
            at = self.loaded.place("autoscaling") if self.deploy.autoscaling else self.loaded.place("pools")
            if least > has:
                what = f"what is there always takes {least:g} {name} together, and {whose} have {has:g}"
                yield Problem("too-few-nodes", what, at, "lower `min`, or allow more machines"), True
            elif most > has:
                what = f"with all pools at their `max` {most:g} {name} are wanted, and {whose} have {has:g}"
                yield Problem("max-out-of-reach", what, at, "fine if the pools do not grow at the same time"), False

    def _missing_machines(self, nodes: Sequence[Machine]) -> Iterator[tuple[Problem, bool]]:
        """Yield the actors that are there always and that no node of the running cluster holds now: the autoscaler has to bring one."""
        for wanted in self.wanted():
            if wanted.least and nodes and capacity(wanted, nodes) == 0:
                what = f"no node of the cluster can hold {wanted.what} now ({_said(wanted)})"
                yield (
                    Problem("not-yet-placeable", what, self.loaded.place(*wanted.path), "the autoscaler has to bring a machine first"),
                    False,
                )

    def wanted(self) -> Iterator[Wanted]:
        """Yield all actors of the system, by kinds; workers only when the mesh is known."""
        if self.mesh is not None:
            for name, spec in overlaid(self.mesh, self.deploy).models.items():
                reserved = spec.resources
                amounts = _amounts(Placement(cpu=reserved.cpu, memory=reserved.memory, custom=reserved.custom), reserved.gpu)
                least, most = spec.workers.min, spec.workers.max
                yield Wanted(f"a worker of {name}", amounts, reserved.labels, least, most, self._pool_path(name))
        system = system_spec(self.deploy)
        for kind, path, count in _kinds(system):
            placed = system.placed[kind]  # type: ignore[index]  # the kinds are its keys
            yield Wanted(f"a {kind}", _amounts(placed), placed.labels, count, count, path)

    def _pool_path(self, name: str) -> tuple[str, ...]:
        return ("pools", name) if name in self.deploy.pools else ("defaults",)


def _kinds(system: SystemSpec) -> Iterator[tuple[str, tuple[str, ...], int]]:
    yield "coordinator", ("coordinators",), system.coordinators
    yield "synthesizer", ("synthesizers",), system.synthesizers
    yield "journal", ("journal",), system.journal_shards
    yield "staff", ("control",), 2  # the pools' and the one that starts workers


def _amounts(placed: Placement, gpu: float = 0.0) -> dict[str, float]:
    named = {"CPU": placed.cpu, "GPU": gpu, "memory": float(placed.memory or 0), **placed.custom}
    return {name: amount for name, amount in named.items() if amount}


def _said(wanted: Wanted) -> str:
    amounts = [f"{amount / 2**30:.3g} GiB" if name == "memory" else f"{amount:g} {name}" for name, amount in wanted.amounts.items()]
    return ", ".join([*amounts, *(f"{name}: {selector}" for name, selector in wanted.labels.items())]) or "nothing"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_public(host: str) -> bool:
    """Return whether the address is, or includes, one that the internet may reach; a name is taken for private."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address.is_global


def _pieces(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _pieces(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _pieces(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pieces(item)
