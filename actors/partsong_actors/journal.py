"""Journal: the Ray shell of the one writer, and the face its callers use."""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeVar
from zlib import crc32

import msgpack
import ray
from ray.actor import ActorProxy

from partsong.contracts import CallRecord, Completion, Notice, RowRecord
from partsong.contracts.epoch import Epoch
from partsong.errors import FencedError, StoreError
from partsong.journal.address import open_store
from partsong.journal.away import FIRST_PAUSE_S, LONGEST_PAUSE_S, away_notice, is_away
from partsong.journal.journal import Journal
from partsong.journal.sealed import CALLS, ROWS, Sealed, seal
from partsong.journal.store import Published, Record, RunInfo
from partsong.telemetry.levels import EPOCH
from partsong.wire import Codec
from partsong.work.memory import settle
from partsong.work.notices import Tell, logged
from partsong.work.watched import watch_journal
from partsong_actors.again import again
from partsong_actors.coalesce import Coalescer
from partsong_actors.memory_watch import end_without_memory
from partsong_actors.setup import Setup

__all__ = ["JournalActor", "JournalClient"]

_COMPLETIONS: Codec[Completion] = Codec(Completion)
_FIELDS = attrgetter(*Sealed.__slots__)
_UNDER = attrgetter("under")
_REMEDY = "see Ray's logs, then give the same command again: what was acknowledged is on disk"
_DIED = Notice(
    code="journal-died",
    where="journal",
    what="its process died",
    doing="it is started again; what it had not acknowledged is sent again, and rows wait for it",
)
T = TypeVar("T")

_FREE_WITHIN_S = 20.0
"""How long the journal's last writer may take to end: on a cluster, the actors of a killed driver live on for a moment."""


class _JournalActor:
    """Owns the store for as long as it lives."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._opened: Journal | None = None
        self._opening = asyncio.Lock()
        self._epoch: Epoch | None = None
        mesh = setup.unpacked()
        self._segments = mesh.store.segments
        self._telemetry = setup.telemetry(mesh.telemetry, "journal")
        watch_journal(self._telemetry, lambda: self._opened)
        own = (ray.get_runtime_context().get_actor_name() or setup.around.journal()).rpartition("/")[2]
        self._telemetry.gauge(*EPOCH, lambda: None if self._epoch is None else self._epoch.number, {"partsong.of": own})
        end_without_memory()
        settle()

    @ray.method
    async def claim(self, name: str, if_number: int | None) -> Epoch:
        """See Store.claim."""
        return await (await self._journal()).claim(name, if_number)

    @ray.method
    async def holds(self, epoch: Epoch) -> bool:
        """See Store.holds."""
        return await (await self._journal()).holds(epoch)

    @ray.method
    async def append(self, packed: bytes) -> list[FencedError | None]:
        """Return when the records are durable, for each append why it is refused; an append is packed as its epochs and sealed records.

        With each append go the trace contexts of those who wait for it.
        """
        journal = await self._journal()
        unpacked = msgpack.unpackb(packed)
        appends = [
            journal.append([Sealed(*fields) for fields in records], [*self._own, *(Epoch(name=name, number=no) for name, no in under)])
            for under, records, _ in unpacked
        ]
        with ExitStack() as spans:
            for traceparent in {traceparent for *_, waiting in unpacked for traceparent in waiting}:
                spans.enter_context(self._telemetry.span("append", traceparent))
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
        fenced = [outcome if isinstance(outcome, FencedError) else None for outcome in outcomes]
        if any(fenced):
            await self._end_if_fenced(journal)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, FencedError):
                raise outcome
        return fenced

    @ray.method
    async def calls(self, run: str, first_row: int, last_row: int) -> bytes:
        """See Store.calls; packed."""
        return CALLS.pack(await (await self._journal()).calls(run, first_row, last_row))

    @ray.method
    async def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See Store.done."""
        return await (await self._journal()).done(run, first_row, last_row)

    @ray.method
    async def finished(self, run: str, before_row: int) -> int:
        """See Store.finished."""
        return await (await self._journal()).finished(run, before_row)

    @ray.method
    async def row(self, run: str, row: int) -> bytes:
        """See Store.row; packed, a list of one or none."""
        found = await (await self._journal()).row(run, row)
        return ROWS.pack([] if found is None else [found])

    @ray.method
    async def rows(self, run: str, after_seq: int, limit: int) -> tuple[list[int], bytes]:
        """See Store.rows; places, and the packed records."""
        rows = await (await self._journal()).rows(run, after_seq, limit)
        return [seq for seq, _ in rows], ROWS.pack([record for _, record in rows])

    @ray.method
    async def cached(self, ask_hashes: list[bytes]) -> tuple[list[bytes], bytes]:
        """See Store.cached; hashes, and the packed completions."""
        found = await (await self._journal()).cached(ask_hashes)
        return list(found), _COMPLETIONS.pack(list(found.values()))

    @ray.method
    async def spent(self, run: str | None, since_s: float) -> dict[str, float]:
        """See Store.spent."""
        return dict(await (await self._journal()).spent(run, since_s))

    @ray.method
    async def run(self, run: str) -> RunInfo | None:
        """See Store.run."""
        return await (await self._journal()).run(run)

    @ray.method
    async def begin(self, info: RunInfo, under: Collection[Epoch]) -> None:
        """See Store.begin."""
        await self._changed(lambda journal, epochs: journal.begin(info, epochs), under)

    @ray.method
    async def forget(self, run: str, under: Collection[Epoch]) -> None:
        """See JournalPort.forget."""
        await self._changed(lambda journal, epochs: journal.forget(run, epochs), under)

    @ray.method
    async def published(self, run: str) -> Published:
        """See Store.published."""
        return await (await self._journal()).published(run)

    @ray.method
    async def publish(self, run: str, published: Published, under: Collection[Epoch]) -> None:
        """See Store.publish."""
        await self._changed(lambda journal, epochs: journal.publish(run, published, epochs), under)

    @ray.method
    async def close(self) -> None:
        """Write what is pending and let go of the store."""
        if self._opened is not None:
            await self._opened.aclose()
        self._telemetry.close()

    async def _journal(self) -> Journal:
        """Return the journal; it is opened when it is first asked for, and again by the next who asks if that fails."""
        async with self._opening:
            if self._opened is None:
                url, folder = self._setup.store_url, Path(self._setup.run_folder)
                journal = Journal(await asyncio.to_thread(open_store, url, folder, segments=self._segments))
                try:
                    self._epoch = await self._claimed(journal)
                except BaseException:
                    await journal.aclose()
                    raise
                self._opened = journal
        return self._opened

    async def _claimed(self, journal: Journal) -> Epoch | None:
        """Claim this actor's name where it can have a predecessor that is cut off; a passing system's file has one writer as it is."""
        if not self._setup.system.lasting:
            return None
        return await journal.claim(ray.get_runtime_context().get_actor_name() or self._setup.around.journal())

    async def _changed(self, change: Callable[[Journal, Collection[Epoch]], Awaitable[None]], under: Collection[Epoch]) -> None:
        """Change the store under this actor's epoch, and under the caller's."""
        journal = await self._journal()
        try:
            await change(journal, [*self._own, *under])
        except FencedError:
            await self._end_if_fenced(journal)
            raise

    @property
    def _own(self) -> Sequence[Epoch]:
        return [] if self._epoch is None else [self._epoch]

    async def _end_if_fenced(self, journal: Journal) -> None:
        """End this process when it has a successor: whoever asked is to ask that one."""
        if self._epoch is not None and not await journal.holds(self._epoch):
            os.write(2, f"{self._epoch.name} has a successor\n".encode())
            os._exit(1)


JournalActor = ray.remote(_JournalActor)


class _Unsent(NamedTuple):
    """A record that is to be appended, and under what."""

    sealed: Sealed
    under: frozenset[Epoch]
    traceparent: str


class JournalClient:
    """The actor's journal with the journal's own face (JournalPort); appends and look-ups of many callers share a message."""

    def __init__(
        self,
        actor: "ActorProxy[_JournalActor]",
        tell: Tell = logged,
        free_within_s: float = _FREE_WITHIN_S,
        *,
        others: "Sequence[ActorProxy[_JournalActor]]" = (),
    ) -> None:
        """`tell` hears when the journal's process is away; `free_within_s` is how long another's hold on the journal is waited out.

        `others` write the same store: a row's records always go to the same of them all, in the order they are given; any of them reads.
        """
        self._turns = itertools.cycle((actor, *others))
        self._free_within_s = free_within_s
        self._tell = tell
        self._appends: list[Coalescer[_Unsent, None]] = [Coalescer(partial(self._send, writer)) for writer in (actor, *others)]
        self._look_up: Coalescer[bytes, Completion | None] = Coalescer(self._find)
        self.led: dict[str, Epoch] = {}
        """By run, what its leader holds: runs are begun, published and forgotten under all of it."""

    @property
    def unsent(self) -> int:
        """Records and look-ups that wait for an earlier message to come back."""
        return sum(append.queued for append in self._appends) + self._look_up.queued

    async def claim(self, name: str, if_number: int | None = None) -> Epoch:
        """See JournalPort.claim."""
        return await self._asked(lambda: self._in_turn().claim.remote(name, if_number))

    async def holds(self, epoch: Epoch) -> bool:
        """See JournalPort.holds."""
        return await self._asked(lambda: self._in_turn().holds.remote(epoch))

    async def append(self, records: Sequence[Record], under: Collection[Epoch] = (), traceparent: str = "") -> None:
        """See JournalPort.append."""
        epochs = frozenset(under)
        unsent = [_Unsent(sealed, epochs, traceparent) for sealed in seal(records)]
        await asyncio.gather(*(self._appends[self._shard(one.sealed)].put(one) for one in unsent))

    async def cached(self, ask_hashes: Sequence[bytes]) -> Mapping[bytes, Completion]:
        """See JournalPort.cached."""
        found = {ask_hash: await self._look_up(ask_hash) for ask_hash in ask_hashes}
        return {ask_hash: completion for ask_hash, completion in found.items() if completion is not None}

    async def calls(self, run: str, first_row: int, last_row: int) -> Sequence[CallRecord]:
        """See JournalPort.calls."""
        return CALLS.unpack(await self._asked(lambda: self._in_turn().calls.remote(run, first_row, last_row)))

    async def done(self, run: str, first_row: int, last_row: int) -> frozenset[int]:
        """See JournalPort.done."""
        return await self._asked(lambda: self._in_turn().done.remote(run, first_row, last_row))

    async def finished(self, run: str, before_row: int) -> int:
        """See JournalPort.finished."""
        return await self._asked(lambda: self._in_turn().finished.remote(run, before_row))

    async def row(self, run: str, row: int) -> RowRecord | None:
        """See JournalPort.row."""
        found = ROWS.unpack(await self._asked(lambda: self._in_turn().row.remote(run, row)))
        return found[0] if found else None

    async def rows(self, run: str, after_seq: int, limit: int) -> Sequence[tuple[int, RowRecord]]:
        """See JournalPort.rows."""
        places, packed = await self._asked(lambda: self._in_turn().rows.remote(run, after_seq, limit))
        return list(zip(places, ROWS.unpack(packed), strict=True))

    async def spent(self, run: str | None, since_s: float) -> Mapping[str, float]:
        """See JournalPort.spent."""
        return await self._asked(lambda: self._in_turn().spent.remote(run, since_s))

    async def run(self, run: str) -> RunInfo | None:
        """See JournalPort.run."""
        return await self._asked(lambda: self._in_turn().run.remote(run))

    async def begin(self, info: RunInfo, under: Collection[Epoch] = ()) -> None:
        """See JournalPort.begin."""
        await self._asked(lambda: self._in_turn().begin.remote(info, self._with_led(under)))

    async def forget(self, run: str, under: Collection[Epoch] = ()) -> None:
        """See JournalPort.forget."""
        await self._asked(lambda: self._in_turn().forget.remote(run, self._with_led(under)))

    async def published(self, run: str) -> Published:
        """See JournalPort.published."""
        return await self._asked(lambda: self._in_turn().published.remote(run))

    async def publish(self, run: str, published: Published, under: Collection[Epoch] = ()) -> None:
        """See JournalPort.publish."""
        await self._asked(lambda: self._in_turn().publish.remote(run, published, self._with_led(under)))

    def _in_turn(self) -> "ActorProxy[_JournalActor]":
        """Return one after the other: what has to be asked again is asked of another."""
        return next(self._turns)

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        """Every operation may be repeated: an append leaves alone what is there already. A store that is away is waited for."""
        lost = StoreError("journal-lost", "the journal's process is gone", remedy=_REMEDY)
        gives_up_s = time.monotonic() + self._free_within_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await again(call, lost, away=lambda: self._tell(_DIED))
            except StoreError as error:
                if is_away(error):
                    self._tell(away_notice(error))
                    pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                elif error.code != "store-owned" or time.monotonic() > gives_up_s:
                    raise
            await asyncio.sleep(pause_s)

    def _with_led(self, under: Collection[Epoch]) -> Collection[Epoch]:
        return [*under, *self.led.values()]

    def _shard(self, sealed: Sealed) -> int:
        return crc32(f"{sealed.run}/{sealed.row}".encode()) % len(self._appends) if len(self._appends) > 1 else 0

    async def _send(self, writer: "ActorProxy[_JournalActor]", batch: Sequence[_Unsent]) -> Sequence[FencedError | None]:
        """Send them as one message, each run of records under the same epochs an append of its own; return why each was refused."""
        appends = [(under, list(run)) for under, run in groupby(batch, _UNDER)]
        packed = msgpack.packb([_packable(under, run) for under, run in appends])
        fenced = await self._asked(lambda: writer.append.remote(packed))
        return [error for error, (_, run) in zip(fenced, appends, strict=True) for _ in run]

    async def _find(self, ask_hashes: Sequence[bytes]) -> Sequence[Completion | None]:
        hashes, packed = await self._asked(lambda: self._in_turn().cached.remote(list(set(ask_hashes))))
        found = dict(zip(hashes, _COMPLETIONS.unpack(packed), strict=True))
        return [found.get(ask_hash) for ask_hash in ask_hashes]


def _packable(under: frozenset[Epoch], run: Sequence[_Unsent]) -> tuple[object, ...]:
    waiting = {unsent.traceparent for unsent in run if unsent.traceparent}
    return [(epoch.name, epoch.number) for epoch in under], [_FIELDS(unsent.sealed) for unsent in run], list(waiting)
