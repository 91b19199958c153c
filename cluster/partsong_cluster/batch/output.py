"""Output: `output.jsonl` and `errors.jsonl` as a projection of the journal, continued from a checkpoint.

The journal knows up to which of its rows, and up to which byte, the two files are good. Files are cut to those bytes at the start and
durable before every new checkpoint, so a kill at any moment leaves each row once, without a scan. Files that are no longer what was
written (cut short, deleted, replaced) are written anew from the journal, also in the middle of a run.
"""

import threading
from collections.abc import Sequence

from partsong.contracts import Answer, Notice, RowRecord
from partsong.journal.port import JournalPort
from partsong.journal.store import Published
from partsong.work.notices import Tell
from partsong_cluster.batch.attempts import Attempts
from partsong_cluster.batch.output_line import error_line, output_line
from partsong_cluster.batch.results import ERRORS, OUTPUT, Lines, Results

__all__ = ["ERRORS", "OUTPUT", "Output"]


class Output:
    """The two files of one run. Open it, publish as often as there is news, close it."""

    def __init__(self, results: Results, run: str, journal: JournalPort, attempts: Attempts, tell: Tell) -> None:
        """`tell` hears what is mended."""
        self._results = results
        self.run = run
        self._journal = journal
        self._attempts = attempts
        self.tell = tell
        self._at = Published()
        self._output: Lines | None = None
        self._errors: Lines | None = None
        self._in_use = threading.Lock()
        """Held while a thread is at the files: a cancelled session closes them, and a number of a closed file may be another's by then."""

    @property
    def place(self) -> str:
        """Where the files are, as it is shown."""
        return self._results.name

    @property
    def pause_s(self) -> float:
        """Between two writes, so that one serves many rows."""
        return self._results.pause_s

    @property
    def seq(self) -> int:
        """Up to which row of the journal the files go."""
        return self._at.seq

    async def open(self) -> None:
        """Bring the files to the last checkpoint: what stands behind it is cut off, files that lack some of it are written anew."""
        self._at = await self._journal.published(self.run)
        await self._mended(await self._attempts.make(self._open))
        if cut := await self._attempts.make(self._cut):
            self.tell(Notice(code="output-cut", where=cut, what="a tail was not yet vouched for", doing="it is written again"))

    async def publish(self) -> Sequence[RowRecord]:
        """Write the next rows that the journal has and the files do not, and return them; none when there is no news."""
        await self._mended(await self._attempts.make(self._spoiled))
        found = await self._next()
        if found:
            await self._advance(found)
        return [record for _, record in found]

    async def seal(self) -> None:
        """Make both files whole: no more rows will come."""
        while why := await self._attempts.make(self._seal):
            await self._mended(why)

    def close(self) -> None:
        """Close the files; may be called again."""
        with self._in_use:
            for file in (self._output, self._errors):
                if file is not None:
                    file.close()
            self._output = self._errors = None

    async def _next(self) -> Sequence[tuple[int, RowRecord]]:
        return await self._journal.rows(self.run, self._at.seq, self._results.rows_a_step)

    async def _advance(self, rows: Sequence[tuple[int, RowRecord]]) -> None:
        at = await self._attempts.make(self._write, rows[-1][0], [record for _, record in rows])
        await self._journal.publish(self.run, at)
        self._at = at

    async def _mended(self, why: str) -> None:
        """Write both files anew up to where they were, if there is a reason."""
        if not why:
            return
        goal, self._at, rows = self._at.seq, Published(), 0
        await self._attempts.make(self._cut)
        while found := [(seq, record) for seq, record in await self._next() if seq <= goal]:
            await self._advance(found)
            rows += len(found)
        self.tell(Notice(code="output-rewritten", what=why, doing=f"{rows:,} rows were written anew from the journal"))

    def _open(self) -> str:
        """Open the files and return why they must be written anew; empty when they need not."""
        with self._in_use, self._results.errors():
            self._output, self._errors = self._results.lines(OUTPUT), self._results.lines(ERRORS)
        return self._spoiled()

    def _spoiled(self) -> str:
        with self._in_use, self._results.errors():
            output, errors = self._files()
            reasons = [output.spoiled(self._at.output_bytes), errors.spoiled(self._at.errors_bytes)]
        return " and ".join(reason for reason in reasons if reason)

    def _cut(self) -> str:
        """Cut both files to the checkpoint and return which one had more."""
        with self._in_use, self._results.errors():
            output, errors = self._files()
            longer = [output.cut(self._at.output_bytes), errors.cut(self._at.errors_bytes)]
        return " and ".join(name for name in longer if name)

    def _seal(self) -> str:
        """Seal both files; return why one must be written anew before."""
        with self._in_use, self._results.errors():
            output, errors = self._files()
            return output.seal(self._at.output_bytes) or errors.seal(self._at.errors_bytes)

    def _write(self, seq: int, records: Sequence[RowRecord]) -> Published:
        answered = b"".join(output_line(record) for record in records if isinstance(record.reply, Answer))
        failed = b"".join(error_line(record) for record in records if not isinstance(record.reply, Answer))
        with self._in_use, self._results.errors():
            output, errors = self._files()
            output.append(self._at.output_bytes, answered)
            errors.append(self._at.errors_bytes, failed)
        return Published(seq, self._at.output_bytes + len(answered), self._at.errors_bytes + len(failed))

    def _files(self) -> tuple[Lines, Lines]:
        assert self._output is not None, "not open"
        assert self._errors is not None, "not open"
        return self._output, self._errors
