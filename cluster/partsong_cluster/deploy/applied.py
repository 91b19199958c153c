"""Applied: what a running system was last told to be; Ray's head keeps it, for as long as the system is there."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from partsong_actors.setup import own_version
from pydantic import Field, ValidationError

from partsong.contracts import Frozen
from partsong.mesh import LoadedMesh, Mesh
from partsong_cluster.deploy.overlay import overlaid
from partsong_cluster.deploy.schema import Deploy

__all__ = ["Applied", "Running", "applied_to", "forget", "keep", "running"]

_NAMESPACE = b"partsong"
_KINDS = ("coordinator-", "synthesizer-", "journal-", "pools", "staff", "worker/", "job/")


class Applied(Frozen):
    """A deploy file and the mesh that it was laid over."""

    deploy: Deploy
    """The deploy file."""
    mesh: str
    """The mesh as packed, the deploy file laid over it."""
    mesh_hash: str
    """What its answers depend on."""
    version: str = Field(default_factory=own_version)
    """The version of Partsong that applied it."""

    @classmethod
    def of(cls, deploy: Deploy, loaded: LoadedMesh) -> Self:
        """Return what applying the two would keep."""
        return cls(deploy=deploy, mesh=overlaid(loaded.mesh, deploy).pack().decode(), mesh_hash=loaded.hash)

    def unpacked(self) -> Mesh:
        """Return the mesh."""
        return Mesh.unpack(self.mesh.encode())


@dataclass(frozen=True, slots=True)
class Running:
    """A system on the cluster that this process is connected to."""

    name: str
    namespace: str
    actors: Sequence[str]
    """Names of its actors without the system's."""
    applied: Applied | None
    """What it was told to be; None where nobody applied a deploy file to it, or another version did that is not understood."""

    def of(self, kind: str) -> list[str]:
        """Return the actors of a kind: `coordinator-`, `worker/`, `job/`..."""
        return sorted(name for name in self.actors if name.startswith(kind))

    @property
    def workers(self) -> dict[str, int]:
        """How many workers each model has."""
        models = [name.removeprefix("worker/").rpartition("/")[0] for name in self.of("worker/")]
        return {model: models.count(model) for model in sorted(set(models))}


async def running(name: str | None = None, namespace: str | None = None) -> list[Running]:
    """Return the systems of the cluster that this process is connected to; of one name and one namespace, if they are given."""
    return await asyncio.to_thread(lambda: list(_running(name, namespace)))


def _running(name: str | None, namespace: str | None) -> Iterator[Running]:
    import ray

    found: dict[tuple[str, str], list[str]] = {}
    for actor in ray.util.list_named_actors(all_namespaces=True):
        system, _, rest = actor["name"].partition("/")
        if rest.startswith(_KINDS):
            found.setdefault((actor["namespace"], system), []).append(rest)
    for (space, system), actors in sorted(found.items()):
        if name in (None, system) and namespace in (None, space):
            yield Running(system, space, actors, applied_to(system, space))


def applied_to(name: str, namespace: str) -> Applied | None:
    """Return what was applied to the system, if that is known."""
    kept = _head()._internal_kv_get(_key(name, namespace), namespace=_NAMESPACE)
    try:
        return Applied.model_validate_json(kept) if kept else None
    except ValidationError:
        return None


def keep(applied: Applied) -> None:
    """Keep what was applied."""
    key = _key(applied.deploy.name, applied.deploy.namespace)
    _head()._internal_kv_put(key, applied.model_dump_json().encode(), overwrite=True, namespace=_NAMESPACE)


def forget(name: str, namespace: str) -> None:
    """The system has ended."""
    _head()._internal_kv_del(_key(name, namespace), namespace=_NAMESPACE)


def _key(name: str, namespace: str) -> bytes:
    return f"{namespace}/{name}/applied".encode()


def _head() -> Any:
    from ray.experimental import internal_kv

    return internal_kv
