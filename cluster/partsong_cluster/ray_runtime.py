"""Ray, connected or started: the cluster a user names, else a local one that `ray start` left running, else one of our own."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from partsong.errors import EngineError
from partsong_cluster.address import joinable
from partsong_cluster.ray_token import token_of

__all__ = ["RayOrigin", "ray_runtime"]

RayOrigin = Literal["joined", "started"]

_CURRENT = Path("/tmp/ray/ray_current_cluster")  # noqa: S108  Ray's own place; only `ray start` writes it
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "partsong"}
_LISTENS_WITHIN_S = 2.0
_STORE_BYTES = 256 * 2**20
"""Object store of a Ray of our own: messages go by value, so it stays all but empty."""


@asynccontextmanager
async def ray_runtime(address: str | None = None, keys: frozenset[str] = frozenset()) -> AsyncIterator[RayOrigin]:
    """Connect to the address, to `RAY_ADDRESS`, to a local cluster that runs already, or start one; leave it on exit.

    `keys` are environment variables that hold keys: a Ray that is started does not get them, as all of its processes would.
    A cluster that another program started for itself (`ray.init()`) is not joined: it would end with that program. Raises InputError where
    the address is none of a Ray, EngineError where no Ray answers there.
    """
    _send_the_token()
    found = address or os.environ.get("RAY_ADDRESS")
    named = None if not found else joinable(found)
    origin = await asyncio.to_thread(_joined_or_started, named, keys)
    try:
        yield origin
    finally:
        import ray

        await asyncio.to_thread(ray.shutdown)


def _send_the_token() -> None:
    """Where there is a token, `ray start` demands it; a driver sends it only if told so before Ray is imported."""
    if "ray" not in sys.modules and token_of().text:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _joined_or_started(named: str | None, keys: frozenset[str]) -> RayOrigin:
    if named is not None:
        _join(named)
        return "joined"
    if _somebody_listens(_CURRENT):
        try:
            _join("auto")
        except EngineError:
            pass  # something else, at the address of a cluster that is gone
        else:
            return "joined"
    with _environment_without(keys):
        _start()
    return "started"


def _somebody_listens(current: Path) -> bool:
    """Return whether the cluster that the file names can be there: a killed one leaves the file, and Ray seeks it for minutes."""
    try:
        host, _, port = current.read_text().strip().rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), _LISTENS_WITHIN_S).close()
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def _environment_without(names: frozenset[str]) -> Iterator[None]:
    taken = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


class _AsItIs(list[str]):
    """A list of import folders that nothing is added to."""

    def extend(self, folders: object) -> None:
        """Leave it as it is."""


def _job() -> Any:
    """Return a job whose workers do not import what happens to lie in the current folder: Ray puts that before all installed packages."""
    from ray.job_config import JobConfig

    job = JobConfig()
    job._py_driver_sys_path = _AsItIs()
    return job


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, job_config=_job(), **_QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"no Ray answers at {address}: {error}"[:500]
        raise EngineError("ray-unreachable", what, remedy="check the address; `ray status` shows whether it runs") from error


def _start() -> None:
    import ray

    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            job_config=_job(),
            _system_config={"timeout_ms_task_wait_for_death_info": 0},
            **_QUIET,
        )  # by default a dead actor's callers hear of it after one to two seconds: time to learn why, which nobody here asks
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = f"Ray cannot start on this machine: {error}"[:500]
        raise EngineError("ray-start", what, remedy="see /tmp/ray/session_latest/logs; --engine inline needs no Ray") from error
