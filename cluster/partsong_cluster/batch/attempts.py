"""Attempts: a place that is away for a while is tried again until it is back; the run waits, and loses nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from partsong.contracts import Notice
from partsong.errors import Place, RunError
from partsong.work.notices import Tell
from partsong_cluster.batch.remote_errors import AwayError
from partsong_cluster.batch.stop import Stop

__all__ = ["Attempts"]

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0


class Attempts:
    """Of one session; blocking functions are called in threads."""

    def __init__(self, place: str, stop: Stop, tell: Tell, grace_s: float) -> None:
        """`grace_s` is how long a place that is away is waited for when the run is asked to stop."""
        self._place = place
        self._stop = stop
        self._tell = tell
        self._grace_s = grace_s

    async def make(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread until it does not raise AwayError any more; see until."""
        return await self.until(lambda: asyncio.to_thread(function, *args, **kwargs))

    async def until(self, again: Callable[[], Awaitable[T]]) -> T:
        """Return what is awaited, once that does not raise AwayError any more. RunError when the run is to stop before."""
        wait_s, told, loop = _FIRST_WAIT_S, False, asyncio.get_running_loop()
        until_s: float | None = None
        while True:
            try:
                done = await again()
            except AwayError as error:
                why = error.problems[0].what
            else:
                if told:
                    self._tell(Notice(code="place-back", where=self._place, what="it answers again", doing="the run goes on"))
                return done
            if not told:
                doing = "it is tried again until it is back; rows go on as far as they may wait for it, and nothing is lost"
                self._tell(Notice(code="place-away", where=self._place, what=why, doing=doing))
                told = True
            if self._stop.why is not None and until_s is None:
                until_s = loop.time() + self._grace_s
            if self._stop.at_once or (until_s is not None and loop.time() > until_s):
                raise self._given_up(why)
            await self._pause(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  spreads load, no secret
            wait_s = min(_LONGEST_WAIT_S, 2 * wait_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past the moment in which stopping is asked for."""
        if self._stop.why is not None:
            await asyncio.sleep(min(seconds, 1.0))
            return
        asked = asyncio.ensure_future(self._stop.asked())
        try:
            await asyncio.wait((asked,), timeout=seconds)
        finally:
            asked.cancel()

    def _given_up(self, why: str) -> RunError:
        remedy = "nothing is lost: when it is back, the same command does what is missing, and pays for nothing twice"
        return RunError("place-away", f"the run was stopped while it waited for this place: {why}", at=Place(self._place), remedy=remedy)
