"""Again: a call to an actor that may have died, made until the actor is back; only for what may be carried out twice."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from partsong.errors import PartsongError

__all__ = ["BACK_WITHIN_S", "again", "comes_back", "own_error"]

BACK_WITHIN_S = 180.0
"""How long a dead actor is waited for: Ray restarts a process within a second or two, takes some 15 s to notice that a node is gone, and a
minute for either on a machine whose processors others have; one that is gone for good is told of at once."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def again(
    call: Callable[[], Awaitable[T]], lost: PartsongError, within_s: float = BACK_WITHIN_S, away: Callable[[], None] = lambda: None
) -> T:
    """Return what the call returns; while its actor is being restarted, make it again. Raises `lost` when it is away for too long.

    A PartsongError raised by the actor is raised here as it was. `away` is called each time that the actor was not there.
    """
    gives_up_s: float | None = None  # not counted from the call: an actor may stand still under it for as long as it likes, and then die
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await own_error(call())
        except (ActorUnavailableError, RayTaskError) as error:
            if not comes_back(error):
                raise
            now_s = time.monotonic()
            gives_up_s = now_s + within_s if gives_up_s is None else gives_up_s
            if now_s + pause_s > gives_up_s:
                raise lost from error
            away()
        except RayActorError as error:
            _log.error("%s, and will not be back: %s", lost.problems[0].what, error)
            raise lost from error
        await asyncio.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)


def comes_back(error: Exception) -> bool:
    """Return whether the actor is being restarted, or is about to be: one that gets no memory any more ends."""
    return isinstance(error, ActorUnavailableError) or (isinstance(error, RayTaskError) and isinstance(error.cause, MemoryError))


async def own_error(result: Awaitable[T]) -> T:
    """Await a remote call; a PartsongError raised there is raised here as it was."""
    try:
        return await result
    except RayTaskError as error:
        if isinstance(error.cause, PartsongError):
            raise error.cause from None
        raise
