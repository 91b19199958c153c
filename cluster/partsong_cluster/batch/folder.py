"""Run folder: one run's place on disk; what it was started with, and the one process that works in it."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from partsong.contracts import Frozen
from partsong.errors import Place, RunError
from partsong.journal.folder import make_folder
from partsong.telemetry.tree import recorded_files
from partsong_cluster.batch.disk import disk_errors, replace_file

__all__ = ["JOURNAL", "LEDGER", "MANIFEST", "SNAPSHOT", "Manifest", "RunFolder", "read_manifest", "read_snapshot"]

MANIFEST = "run.json"
SNAPSHOT = "mesh.json"
LEDGER = "ledger.db"
JOURNAL = "journal.db"
"""Of a mesh that names no other store."""

_LOCK = "run.lock"
_MOST_NAMED = 8


class Manifest(Frozen):
    """What a run was started with (`run.json`)."""

    version: Literal[1] = 1
    """Of this file's format."""
    run: str
    """The run's name in the journal."""
    mesh: str
    """The mesh file, as it was named."""
    mesh_hash: str
    """Over all in the mesh that answers depend on."""
    input: str
    """INPUT, as it was named."""
    input_hash: str
    """Over the input's content, see `places.fingerprint`."""
    use: str | None = None
    """The model or plan that `--plan` or `--model` named for all rows."""
    id_column: str = "id"
    prompt_column: str = "prompt"
    longest_row_bytes: int = 10_000_000
    """How the input is read: `--id-column`, `--prompt-column`, `--max-row`."""
    replay_of: str = ""
    """The run whose recorded calls answered, when this is a replay and made none."""
    started_s: float
    """Unix time."""
    partsong: str = Field(description="Version of Partsong that started it.")
    host: str = ""
    """The machine that began it, where its results stand elsewhere."""


@dataclass(slots=True)
class RunFolder:
    """A run's folder, claimed by this process until `release` or its end."""

    path: Path
    _lock: int

    @classmethod
    def claim(cls, path: Path) -> Self:
        """Make the folder if need be and become the one process that works in it; RunError names the other."""
        with disk_errors(path):
            make_folder(path)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(lock, 500, 0).decode(errors="replace").strip() or "another process"
            os.close(lock)
            what = f"{holder} works in this folder"
            raise RunError(
                "run-locked", what, at=Place(str(path)), remedy="wait until it has finished, stop it, or name another folder"
            ) from None
        claimed = cls(path, lock)
        try:
            with disk_errors(path):
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except RunError:
            claimed.release()
            raise
        return claimed

    def release(self) -> None:
        """Let another process work here. The lock's file stays: deleting it could let in two."""
        os.close(self._lock)

    def manifest(self) -> Manifest | None:
        """Return what the run here was started with; None when there is no run yet."""
        return read_manifest(self.path)

    def begin(self, manifest: Manifest, snapshot: str) -> None:
        """Write down what the run is started with; the snapshot is the mesh as JSON, without secrets."""
        replace_file(self.path / SNAPSHOT, snapshot.encode())
        replace_file(self.path / MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")

    def is_whole(self) -> bool:
        """Return whether what the run was started with can be read here."""
        try:
            read_snapshot(self.path)
            return self.manifest() is not None
        except RunError:
            return False

    def changes(self, before: Manifest, now: Manifest, snapshot: str) -> Sequence[str]:
        """Return in words what differs from how the run was started."""
        changes = []
        if before.mesh_hash != now.mesh_hash:
            changes.append(self._mesh_changes(snapshot))
        if before.input_hash != now.input_hash:
            renamed = f" (was {before.input}, is {now.input})" if before.input != now.input else ""
            changes.append(f"the input changed{renamed}")
        if before.use != now.use:
            changes.append(f"--plan was {before.use or 'not given'}, is {now.use or 'not given'}")
        for option, name in _READING.items():
            was, now_is = getattr(before, name), getattr(now, name)
            if was != now_is:
                changes.append(f"{option} was {was}, is {now_is}")
        return changes

    def empty(self) -> None:
        """Delete what an earlier run wrote, its traces and metrics too; the journal is not touched."""
        names = (MANIFEST, SNAPSHOT, "output.jsonl", "errors.jsonl", "output.parquet", "summary.json", "report.html")
        with disk_errors(self.path):
            for name in (*names, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"):
                (self.path / name).unlink(missing_ok=True)
            for recorded in recorded_files(self.path):
                recorded.unlink()

    def _mesh_changes(self, snapshot: str) -> str:
        try:
            before = read_snapshot(self.path)
        except RunError:
            return "the mesh changed"
        named = list(_changed(before, json.loads(snapshot)))
        if len(named) > _MOST_NAMED:
            named[_MOST_NAMED:] = [f"and {len(named) - _MOST_NAMED} more"]
        return ", ".join(named) or "a file that the mesh names changed (a prompt, weights, recorded outcomes)"


def read_manifest(folder: Path) -> Manifest | None:
    """Return what the run in the folder was started with; None when there is none."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    with disk_errors(path):
        raw = path.read_bytes()
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        what = f"{MANIFEST} cannot be read ({error.error_count()} problems)"
        remedy = "go on with the run, which writes it anew if it can be; or restore it, or start again with --fresh"
        raise RunError("run-manifest", what, at=Place(str(path)), remedy=remedy) from None


def read_snapshot(folder: Path) -> Mapping[str, Any]:
    """Return the mesh that the run in the folder was started with, as JSON has it."""
    path = folder / SNAPSHOT
    try:
        snapshot: Mapping[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        remedy = "go on with the run, which writes it anew"
        raise RunError("run-snapshot", f"{SNAPSHOT} cannot be read", at=Place(str(path)), remedy=remedy) from None
    return snapshot


_READING = {"--id-column": "id_column", "--prompt-column": "prompt_column", "--max-row": "longest_row_bytes"}


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs, by the names that the mesh file gives it: `plans.faq changed`, `models.mini removed`."""
    for key in {**old, **new}:
        was, now_is = old.get(key), new.get(key)
        if was == now_is:
            continue
        if key in _NAMED and isinstance(was or {}, dict) and isinstance(now_is or {}, dict):
            yield from (f"{key}.{change}" for change in _changed(was or {}, now_is or {}))
        else:
            yield f"{key} {'added' if was is None else 'removed' if now_is is None else 'changed'}"


_NAMED = frozenset({"models", "plans", "defaults"})
"""Sections whose entries have names of their own."""
