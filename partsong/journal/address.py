"""Store address: `store: {url: ...}` of the mesh file, opened."""

from pathlib import Path

from partsong.errors import Place, StoreError
from partsong.journal.sqlite import SqliteStore
from partsong.journal.store import Store

__all__ = ["open_store"]

_SQLITE = "sqlite:///"


def open_store(url: str, folder: Path, *, read_only: bool = False) -> Store:
    """Open the store at `sqlite:///path`, the path relative to the folder (`sqlite:////path` is absolute)."""
    path = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not path:
        scheme = url.partition(":")[0]
        raise StoreError(
            "store-scheme", f"{scheme!r} is no store Partsong has", at=Place("", field="store.url"), remedy="write sqlite:///partsong.db"
        )
    return SqliteStore.open(folder / path, read_only=read_only)
