"""PostgreSQL server: one connection, held open and made again; each piece of work on it is one transaction, done again where that helps."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from partsong.errors import StoreError
from partsong.journal.loop_thread import LoopThread
from partsong.journal.postgres_address import PostgresAddress
from partsong.journal.postgres_refusals import kind_of, postgres_errors
from partsong.journal.postgres_schema import check_current, lay_out

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["PostgresServer"]

_CONNECTS_WITHIN_S = 10.0
_ANSWERS_WITHIN_S = 30.0
"""A server that says nothing for so long is away: a partition breaks no connection."""
_AGAIN_WHEN_CROSSED = 5
_SESSION: Mapping[str, str] = {
    "application_name": "partsong",
    "idle_in_transaction_session_timeout": "15s",  # what a writer that is cut off has locked is free again after that
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

T = TypeVar("T")


class PostgresServer:
    """For blocking callers, one at a time, in whatever thread."""

    def __init__(self, address: PostgresAddress, *, read_only: bool) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self.address = address
        self._read_only = read_only
        self._thread = LoopThread("partsong-postgres")
        self._engine = create_async_engine("postgresql+asyncpg://", async_creator=self._connected, pool_size=1, max_overflow=0)
        self._closed = False

    @classmethod
    def open(cls, address: PostgresAddress, *, read_only: bool) -> "PostgresServer":
        """Connect, and make or bring up the tables; to read, check that they are there."""
        server = cls(address, read_only=read_only)
        try:
            server.do(lambda connection: (check_current if read_only else lay_out)(connection, address))
        except BaseException:
            server.close()
            raise
        return server

    def do(self, work: Callable[["AsyncConnection"], Awaitable[T]]) -> T:
        """Return what the work returns when its transaction is committed; it may be done more than once, never partly."""
        if self._closed:
            raise StoreError("store-closed", "the journal is closed", at=self.address.at, remedy="open it again")
        with postgres_errors(self.address, read_only=self._read_only):
            return self._thread.run(self._repeated(work))

    def close(self) -> None:
        """Disconnect; may be called again."""
        if self._closed:
            return
        self._closed = True
        self._thread.run(self._engine.dispose())
        self._thread.close()

    async def _repeated(self, work: Callable[["AsyncConnection"], Awaitable[T]]) -> T:
        """A connection that was lost may have been lost long ago: that is told only if a new one is lost too, or cannot be made."""
        may_be_lost, may_cross = True, _AGAIN_WHEN_CROSSED
        while True:
            try:
                return await self._once(work)
            except Exception as error:
                kind = kind_of(error)
                if (kind == "lost" and may_be_lost) or (kind == "crossed" and may_cross):
                    may_be_lost, may_cross = may_be_lost and kind != "lost", may_cross - 1
                    continue
                raise

    async def _once(self, work: Callable[["AsyncConnection"], Awaitable[T]]) -> T:
        async with self._engine.connect() as connection:
            try:
                found = await work(connection)
                await connection.commit()
            except BaseException as error:
                if kind_of(error) == "lost":
                    with suppress(Exception):  # it is gone already
                        await connection.invalidate()
                raise
            return found

    async def _connected(self) -> Any:
        import asyncpg

        session = dict(_SESSION) | ({"default_transaction_read_only": "on"} if self._read_only else {})
        return await asyncpg.connect(
            self.address.dsn,
            password=self.address.password,
            timeout=_CONNECTS_WITHIN_S,
            command_timeout=_ANSWERS_WITHIN_S,
            server_settings=session,
        )
