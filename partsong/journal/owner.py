"""Owner: one process at a time writes a journal; the lock goes with the process, however it ends."""

import fcntl
import os
import socket
from pathlib import Path

from partsong.errors import Place, StoreError

__all__ = ["Owner"]


class Owner:
    """The right to write one journal, held until `release` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def claim(cls, journal: Path) -> "Owner":
        """Become the one writer of the journal, or raise StoreError naming the process that is."""
        place = journal.with_name(journal.name + ".owner")
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 500, 0).decode(errors="replace").strip() or "another process"
            os.close(fd)
            raise StoreError(
                "store-owned",
                f"the journal is being written by {holder}",
                at=Place(str(journal)),
                remedy="wait until it has finished or stop it; reading (report, trace) needs no waiting",
            ) from None
        except BaseException:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return cls(fd)

    def release(self) -> None:
        """Let another process write. The file stays: deleting it could hand the journal to two."""
        os.close(self._fd)
