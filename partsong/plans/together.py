"""Together: several asks at once, all of them owned: a cancelled plan leaves none behind."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["together"]

T = TypeVar("T")


async def together(asks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return every result in the given order; cancelled while waiting, it cancels those that still run."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(ask) for ask in asks]
    return [task.result() for task in running]
