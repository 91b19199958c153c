"""Output: `output.jsonl` and `errors.jsonl` as a projection of the journal, continued from a checkpoint.

The journal knows up to which of its rows, and up to which byte, the two files are good. Files are cut to those bytes at the start and
synced before every new checkpoint, so a kill at any moment leaves each row once, without a scan. Files that are no longer what was
written (cut short, deleted, replaced) are written anew from the journal, also in the middle of a run.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from partsong.contracts import Answer, Notice, RowRecord
from partsong.journal.port import JournalPort
from partsong.journal.store import Published
from partsong.work.notices import Tell
from partsong_cluster.batch.disk import disk_errors
from partsong_cluster.batch.output_line import error_line, output_line

__all__ = ["ERRORS", "OUTPUT", "Output"]

OUTPUT = "output.jsonl"
ERRORS = "errors.jsonl"

_ROWS_A_STEP = 256


class Output:
    """The two files of one run. Open it, publish as often as there is news, close it."""

    def __init__(self, folder: Path, run: str, journal: JournalPort, tell: Tell) -> None:
        """`tell` hears what is mended."""
        self._folder = folder
        self.run = run
        self._journal = journal
        self._tell = tell
        self._at = Published()
        self._output: _LineFile | None = None
        self._errors: _LineFile | None = None
        self._in_use = threading.Lock()
        """Held while a thread is at the files: a cancelled session closes them, and a number of a closed file may be another's by then."""

    @property
    def seq(self) -> int:
        """Up to which row of the journal the files go."""
        return self._at.seq

    async def open(self) -> None:
        """Bring the files to the last checkpoint: what stands behind it is cut off, files that lack some of it are written anew."""
        self._at = await self._journal.published(self.run)
        await self._mended(await asyncio.to_thread(self._open))
        if cut := await asyncio.to_thread(self._cut):
            self._tell(Notice(code="output-cut", where=cut, what="a tail was not yet vouched for", doing="it is written again"))

    async def publish(self, most: int) -> Sequence[RowRecord]:
        """Write the next rows that the journal has and the files do not, and return them; none when there is no news."""
        await self._mended(await asyncio.to_thread(self._spoiled))
        found = await self._journal.rows(self.run, self._at.seq, most)
        if found:
            await self._advance(found)
        return [record for _, record in found]

    def close(self) -> None:
        """Close the files; may be called again."""
        with self._in_use:
            for file in (self._output, self._errors):
                if file is not None:
                    file.close()
            self._output = self._errors = None

    async def _advance(self, rows: Sequence[tuple[int, RowRecord]]) -> None:
        at = await asyncio.to_thread(self._write, rows[-1][0], [record for _, record in rows])
        await self._journal.publish(self.run, at)
        self._at = at

    async def _mended(self, why: str) -> None:
        """Write both files anew up to where they were, if there is a reason."""
        if not why:
            return
        goal, self._at, rows = self._at.seq, Published(), 0
        await asyncio.to_thread(self._cut)
        while found := [(seq, record) for seq, record in await self._journal.rows(self.run, self._at.seq, _ROWS_A_STEP) if seq <= goal]:
            await self._advance(found)
            rows += len(found)
        self._tell(Notice(code="output-rewritten", what=why, doing=f"{rows:,} rows were written anew from the journal"))

    def _open(self) -> str:
        """Open the files and return why they must be written anew; empty when they need not."""
        with self._in_use, disk_errors(self._folder):
            self._output, self._errors = _LineFile(self._folder / OUTPUT), _LineFile(self._folder / ERRORS)
        return self._spoiled()

    def _spoiled(self) -> str:
        with self._in_use, disk_errors(self._folder):
            output, errors = self._files()
            reasons = [output.spoiled(self._at.output_bytes), errors.spoiled(self._at.errors_bytes)]
        return " and ".join(reason for reason in reasons if reason)

    def _cut(self) -> str:
        """Cut both files to the checkpoint and return which one had more."""
        with self._in_use, disk_errors(self._folder):
            output, errors = self._files()
            longer = [output.cut(self._at.output_bytes), errors.cut(self._at.errors_bytes)]
        return " and ".join(name for name in longer if name)

    def _write(self, seq: int, records: Sequence[RowRecord]) -> Published:
        answered = b"".join(output_line(record) for record in records if isinstance(record.reply, Answer))
        failed = b"".join(error_line(record) for record in records if not isinstance(record.reply, Answer))
        with self._in_use, disk_errors(self._folder):
            output, errors = self._files()
            output.append(self._at.output_bytes, answered)
            errors.append(self._at.errors_bytes, failed)
        return Published(seq, self._at.output_bytes + len(answered), self._at.errors_bytes + len(failed))

    def _files(self) -> "tuple[_LineFile, _LineFile]":
        assert self._output is not None, "not open"
        assert self._errors is not None, "not open"
        return self._output, self._errors


class _LineFile:
    """A file of lines that is good up to a byte which others keep."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _opened(path)

    def spoiled(self, good_bytes: int) -> str:
        """Return why the file is not what was written up to there; empty when it is. Opens it again when it is another."""
        held = os.fstat(self._fd)
        if not self._path.exists() or self._path.stat().st_ino != held.st_ino:
            self.close()
            self._fd = _opened(self._path)
            return f"{self._path.name} was deleted or replaced"
        if held.st_size < good_bytes:
            return f"{self._path.name} was cut short" if held.st_size else f"{self._path.name} was deleted or emptied"
        if good_bytes and os.pread(self._fd, 1, good_bytes - 1) != b"\n":
            return f"{self._path.name} was changed"
        return ""

    def cut(self, good_bytes: int) -> str:
        """Cut off what stands behind; return the file's name if that was anything."""
        longer = os.fstat(self._fd).st_size > good_bytes
        os.ftruncate(self._fd, good_bytes)
        return self._path.name if longer else ""

    def append(self, offset: int, content: bytes) -> None:
        """Write behind the offset, in place of what an earlier try left there, and sync.

        Always at the file's end: if somebody has just emptied it, it comes out too short, which is noticed, and not with a hole in it.
        """
        if os.fstat(self._fd).st_size > offset:
            os.ftruncate(self._fd, offset)
        left = memoryview(content)
        while left:
            left = left[os.write(self._fd, left) :]
        if content:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
