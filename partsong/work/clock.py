"""Clock: the time and the dice, handed to whoever needs them, so that tests own both."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The system's own by default."""

    now_s: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    unix_s: Callable[[], float] = time.time
    """Seconds since 1970, for records."""
    dice: Callable[[], float] = random.random
    """Draws from [0, 1)."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
