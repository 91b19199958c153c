"""Publisher: follows the journal with the output files and the tally, a little behind the rows as they finish."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from partsong.journal.port import JournalPort
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.output import Output
from partsong_cluster.batch.tally import Tally

__all__ = ["Publisher"]

_MOST_WAITING_ROWS = 4096
"""Finished rows that may wait for the output files; past that, a slow sink slows the source."""
_PRESSING_ROWS = 1024
"""So many are written out before the pause between two rounds is over."""
_ROWS_A_STEP = 256


class Publisher:
    """Writes out what the journal holds; lives as long as a session of the run."""

    def __init__(self, output: Output, journal: JournalPort, ledger: Ledger, published: Callable[[], None]) -> None:
        self._output = output
        self._journal = journal
        self._ledger = ledger
        self._published = published
        self._news = asyncio.Event()
        self._pressing = asyncio.Event()
        self._waiting_rows = 0
        self._over = False
        self.tally = Tally()
        """Of all rows in the output files."""

    @property
    def has_room(self) -> bool:
        """Whether more rows may be begun."""
        return self._waiting_rows < _MOST_WAITING_ROWS

    @property
    def waiting_rows(self) -> int:
        """Rows that the journal has and the output files do not."""
        return self._waiting_rows

    def row_finished(self) -> None:
        """The journal has one more row."""
        self._waiting_rows += 1
        self._news.set()
        if self._waiting_rows >= _PRESSING_ROWS:
            self._pressing.set()

    def finish(self) -> None:
        """No more rows will come: write the rest and end."""
        self._over = True
        self._news.set()
        self._pressing.set()

    async def begin(self) -> None:
        """Bring files and tally to where the journal stands."""
        await self._output.open()
        await self._recount()
        await self._publish()

    async def work(self) -> None:
        """Publish until `finish`."""
        while not self._over:
            await self._news.wait()
            self._news.clear()
            await self._publish()
            await self._pause()
        await self._publish()

    async def seal(self) -> None:
        """Make the output files whole: every row of the input is in them."""
        await self._output.seal()

    def keep_tally(self) -> None:
        """Keep the tally for the next session."""
        self._ledger.keep_tally(self._output.seq, self.tally.written())

    def close(self) -> None:
        """Close the files; may be called again."""
        self._output.close()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._output.pause_s):
                await self._pressing.wait()
        self._pressing.clear()

    async def _publish(self) -> None:
        while records := await self._output.publish():
            for record in records:
                self.tally.add(record.reply)
            self._waiting_rows = max(0, self._waiting_rows - len(records))
            self.keep_tally()
            self._published()

    async def _recount(self) -> None:
        """Bring the tally to where the files are: a kill between the two leaves it a step behind."""
        seq, kept = self._ledger.tally()
        self.tally = Tally.read(kept) if kept is not None else Tally()
        if kept is None or seq > self._output.seq:
            seq = 0
            self.tally = Tally(sessions=self.tally.sessions, duration_s=self.tally.duration_s)
        while seq < self._output.seq and (found := await self._journal.rows(self._output.run, seq, _ROWS_A_STEP)):
            for place, record in found:
                if place <= self._output.seq:
                    self.tally.add(record.reply)
            seq = found[-1][0]
