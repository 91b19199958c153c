"""State folder: what a run whose results go to a URL keeps on this machine: lock, ledger, and the journal of a mesh that names no store."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

__all__ = ["state_folder", "state_home"]

_LONGEST_NAME = 60


def state_home(env: Mapping[str, str]) -> Path:
    """Return where Partsong keeps things on this machine between commands (the XDG state home)."""
    home = env.get("XDG_STATE_HOME") or ""
    return (Path(home) if Path(home).is_absolute() else Path("~/.local/state").expanduser()) / "partsong"


def state_folder(url: str, env: Mapping[str, str]) -> Path:
    """Return the folder of the run whose results go to the URL: the same command finds it again."""
    place = url.rstrip("/")
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", place.partition("://")[2])[-_LONGEST_NAME:].strip("-.")
    return state_home(env) / "runs" / f"{readable}-{blake2b(place.encode(), digest_size=5).hexdigest()}"
