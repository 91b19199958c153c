"""Ray, connected or started: the cluster a user names, else a local one that `ray start` left running, else one of our own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from partsong.errors import EngineError

__all__ = ["RayOrigin", "ray_runtime"]

RayOrigin = Literal["joined", "started"]

_CURRENT = Path("/tmp/ray/ray_current_cluster")  # noqa: S108  Ray's own place; only `ray start` writes it
_STORE_BYTES = 256 * 2**20
"""Object store of a Ray of our own: messages go by value, so it stays all but empty."""


@asynccontextmanager
async def ray_runtime(address: str | None = None) -> AsyncIterator[RayOrigin]:
    """Connect to the address, to `RAY_ADDRESS`, to a local cluster that runs already, or start one; leave it on exit.

    A cluster that another program started for itself (`ray.init()`) is not joined: it would end with that program.
    """
    target = address or os.environ.get("RAY_ADDRESS") or ("auto" if _CURRENT.exists() else None)
    origin = await asyncio.to_thread(_init, target, optional=address is None and "RAY_ADDRESS" not in os.environ)
    try:
        yield origin
    finally:
        import ray

        await asyncio.to_thread(ray.shutdown)


def _init(target: str | None, *, optional: bool) -> RayOrigin:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "partsong"}
    if target is not None:
        try:
            ray.init(address=target, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if not optional:
                raise EngineError(
                    "ray-unreachable",
                    f"no Ray answers at {target}: {error}"[:500],
                    remedy="check the address; `ray status` shows whether it runs",
                ) from error
        else:
            return "joined"
    try:
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EngineError(
            "ray-start",
            f"Ray cannot start on this machine: {error}"[:500],
            remedy="see /tmp/ray/session_latest/logs; --engine inline needs no Ray",
        ) from error
    return "started"
