"""Store address: `store: {url: ..., segments: ...}` of the mesh file, opened."""

from pathlib import Path

from partsong.errors import Place, StoreError
from partsong.journal.postgres import PostgresStore
from partsong.journal.postgres_address import is_postgres
from partsong.journal.segments import Segments
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Store

__all__ = ["open_store"]

_SQLITE = "sqlite:///"


def open_store(url: str, folder: Path, *, segments: str | None = None, read_only: bool = False) -> Store:
    """Open the store at `postgresql://user@host/database`, whose large records stand in `segments`, or at `sqlite:///path`.

    The path is relative to the folder (`sqlite:////path` is absolute).
    """
    if is_postgres(url):
        return PostgresStore.open(url, segments=None if segments is None else Segments(segments), read_only=read_only)
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path:
        scheme = url.partition(":")[0]
        raise StoreError(
            "store-scheme",
            f"{scheme!r} is no store Partsong has",
            at=Place("", field="store.url"),
            remedy="write sqlite:///partsong.db, or postgresql://user@host/database",
        )
    return SqliteStore.open(folder / path, read_only=read_only)
