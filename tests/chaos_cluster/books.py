"""Books: since when the journal in PostgreSQL holds each call, and how many rows are answered, read beside the system."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import asyncpg
from hosts.services import DATABASE_PASSWORD

from partsong.journal.sealed import CALLS

__all__ = ["Pulse", "asked", "held_since"]

_EVERY_S = 0.25
_ANSWERS_WITHIN_S = 2.0
_COMMITS = """
select record, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as at_s from calls where answered::int = 1
"""
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def asked(url: str, query: str) -> Sequence[Any]:
    """Return the rows that a query finds."""

    async def answered() -> Sequence[Any]:
        connection = await _connected(url, within_s=30.0)
        try:
            found: Sequence[Any] = await connection.fetch(query)
        finally:
            await connection.close()
        return found

    return asyncio.run(answered())


def held_since(url: str) -> Mapping[str, float]:
    """Return since when the journal holds each call that has a completion, by what was said, which is what the provider was asked.

    Monotonic seconds of the commit, by PostgreSQL's own word (`track_commit_timestamp`).
    """
    records = asked(url, _COMMITS)
    to_monotonic_s = time.monotonic() - time.time()
    return {CALLS.unpack(bytes(one["record"]))[0].reply.text: one["at_s"] + to_monotonic_s for one in records}


class Pulse:
    """`with Pulse(url) as pulse: ...; pulse.longest_gap_s(since_s)`: when rows were answered, as far as the database tells."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)
        self._beats: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    @property
    def rows(self) -> int:
        """Rows answered."""
        return self._beats[-1][1]

    @property
    def quiet_s(self) -> float:
        """Seconds since the last one was."""
        return time.monotonic() - self._beats[-1][0]

    def longest_gap_s(self, since_s: float) -> float:
        """Return the longest time in which no row was answered, from a moment on until the last of all."""
        beats = [since_s, *(at_s for at_s, _ in self._beats if at_s > since_s)]
        return max((after - before for before, after in pairwise(beats)), default=0.0)

    def first_after_s(self, moment_s: float) -> float | None:
        """Return how long after a moment the next row was answered; None if none was."""
        return next((at_s - moment_s for at_s, _ in self._beats if at_s > moment_s), None)

    async def _watch(self) -> None:
        connection: Any = None
        while not self._over.wait(_EVERY_S):
            try:
                if connection is None:
                    connection = await _connected(self._url, _ANSWERS_WITHIN_S)
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    rows = await connection.fetchval("select count(*) from rows")
            except _AWAY:  # the table, or the database, is not there
                if connection is not None:
                    connection.terminate()
                connection = None
                continue
            if rows > self.rows:
                self._beats.append((time.monotonic(), rows))
        if connection is not None:
            connection.terminate()


async def _connected(url: str, within_s: float) -> Any:
    return await asyncpg.connect(url, password=DATABASE_PASSWORD, timeout=within_s)
