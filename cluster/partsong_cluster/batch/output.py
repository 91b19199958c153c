"""Output: `output.jsonl` and `errors.jsonl` as a projection of the journal, continued from a checkpoint.

The journal knows up to which of its rows, and up to which byte, the two files are good. Files are cut to those bytes at the start and
synced before every new checkpoint, so a kill at any moment leaves each row once, without a scan.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from partsong.contracts import Answer, RowRecord
from partsong.journal.port import JournalPort
from partsong.journal.store import Published
from partsong_cluster.batch.disk import disk_errors
from partsong_cluster.batch.output_line import error_line, output_line

__all__ = ["ERRORS", "OUTPUT", "Output"]

OUTPUT = "output.jsonl"
ERRORS = "errors.jsonl"


class Output:
    """The two files of one run. Open it, publish as often as there is news, close it."""

    def __init__(self, folder: Path, run: str, journal: JournalPort) -> None:
        self._folder = folder
        self.run = run
        self._journal = journal
        self._at = Published()
        self._output: BinaryIO | None = None
        self._errors: BinaryIO | None = None

    @property
    def seq(self) -> int:
        """Up to which row of the journal the files go."""
        return self._at.seq

    async def open(self) -> None:
        """Bring the files to the last checkpoint; files shorter than that are written anew from the journal."""
        self._at = await self._journal.published(self.run)
        await asyncio.to_thread(self._open)

    async def publish(self, most: int) -> Sequence[RowRecord]:
        """Write the next rows that the journal has and the files do not, and return them; none when there is no news."""
        found = await self._journal.rows(self.run, self._at.seq, most)
        records = [record for _, record in found]
        if found:
            at = await asyncio.to_thread(self._write, found[-1][0], records)
            await self._journal.publish(self.run, at)
            self._at = at
        return records

    def close(self) -> None:
        """Close the files; may be called again."""
        for file in (self._output, self._errors):
            if file is not None:
                file.close()

    def _open(self) -> None:
        with disk_errors(self._folder):
            self._output, self._errors = _opened(self._folder / OUTPUT), _opened(self._folder / ERRORS)
            if _size_bytes(self._output) < self._at.output_bytes or _size_bytes(self._errors) < self._at.errors_bytes:
                self._at = Published()
            self._output.truncate(self._at.output_bytes)
            self._errors.truncate(self._at.errors_bytes)

    def _write(self, seq: int, records: Sequence[RowRecord]) -> Published:
        assert self._output is not None, "open first"
        assert self._errors is not None, "open first"
        answered = b"".join(output_line(record) for record in records if isinstance(record.reply, Answer))
        failed = b"".join(error_line(record) for record in records if not isinstance(record.reply, Answer))
        with disk_errors(self._folder):
            _append(self._output, self._at.output_bytes, answered)
            _append(self._errors, self._at.errors_bytes, failed)
        return Published(seq, self._at.output_bytes + len(answered), self._at.errors_bytes + len(failed))


def _opened(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")


def _size_bytes(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _append(file: BinaryIO, offset: int, content: bytes) -> None:
    """Write at the offset, whatever an earlier try left behind it, and sync."""
    if content:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
