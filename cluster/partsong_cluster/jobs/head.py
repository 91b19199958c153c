"""Head: what Ray's head keeps for the cluster that this process is connected to, and which actors it knows."""

from collections.abc import Collection, Sequence

import ray
from ray.exceptions import RayError
from ray.experimental import internal_kv

__all__ = ["AWAY", "RayHead"]

AWAY = (RayError, OSError, RuntimeError)
"""What everything here raises while the head is away."""

_NAMESPACE = b"partsong-jobs"


class RayHead:
    """See notes.Head."""

    def put(self, key: str, value: str) -> None:
        """See Head.put."""
        internal_kv._internal_kv_put(key.encode(), value.encode(), overwrite=True, namespace=_NAMESPACE)

    def delete(self, key: str) -> None:
        """See Head.delete."""
        internal_kv._internal_kv_del(key.encode(), namespace=_NAMESPACE)

    def get(self, keys: Sequence[str]) -> Sequence[str]:
        """See Head.get."""
        client = internal_kv.internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]
        found = client.internal_kv_multi_get([key.encode() for key in keys], _NAMESPACE)
        return [value.decode() for value in found.values()]

    def keys(self, prefix: str) -> Sequence[str]:
        """See Head.keys."""
        return [key.decode() for key in internal_kv._internal_kv_list(prefix.encode(), namespace=_NAMESPACE)]

    def actors(self) -> Collection[tuple[str, str]]:
        """See Head.actors."""
        return {(one["namespace"], one["name"]) for one in ray.util.list_named_actors(all_namespaces=True)}
