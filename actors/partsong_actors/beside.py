"""Beside: what an actor does beside its calls; where that fails its process ends, and Ray starts it anew.

An actor that hears no news and follows no orders any more would answer its calls all the same: nobody would notice that it is half dead.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

__all__ = ["beside"]

_log = logging.getLogger(__name__)


def beside(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin the work; only in an actor's process, which Ray restarts. The task is the caller's to keep, and to cancel."""
    task = asyncio.create_task(work)
    task.add_done_callback(_end_if_failed)
    return task


def _end_if_failed(task: asyncio.Task[None]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    _log.critical("this process cannot do its work any more, and ends", exc_info=error)
    os._exit(1)
