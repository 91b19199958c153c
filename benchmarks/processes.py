"""Processes of a run: which there are, by the names that Ray gives them, and the memory each holds, read from /proc."""

from pathlib import Path
from typing import NamedTuple

__all__ = ["Memory", "memory_of", "titles"]

_NAMED = {"journal": "JournalActor", "pool": "ModelPool", "synthesizer": "SynthesizerActor"}
"""Actors with a name are called by it until their first call."""
_KERNEL_LINES = {"RssAnon": 0, "RssShmem": 1}


class Memory(NamedTuple):
    """Resident bytes that are no files: those are libraries, shared with whatever else runs, which the kernel drops when it likes."""

    own: int
    shared: int
    """Of Ray's object store."""


def titles(root: int) -> dict[int, str]:
    """Return the process and all that descend from it, with their names."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    named = {pid: _title(pid) for pid in found}
    return {pid: "driver" if pid == root else title for pid, title in named.items() if title}


def memory_of(pid: int) -> Memory | None:
    """Return what the process holds; None when it is gone."""
    found = [0, 0]
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        name, _, rest = line.partition(":")
        if name in _KERNEL_LINES:
            found[_KERNEL_LINES[name]] = int(rest.split()[0]) * 1024
    return Memory(*found)


def _title(pid: int) -> str:
    """Return what a process is by its command line: `ModelWorker`, `raylet`, `dashboard/agent.py`; empty when it is gone."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    first = arguments[0].decode(errors="replace")
    if first.startswith("ray::"):
        name = first.removeprefix("ray::").split(".")[0].split(":")[0].lstrip("_")
        return _NAMED.get(name.rsplit("-", 1)[-1], name)
    script = next((a.decode(errors="replace") for a in arguments[1:] if a.endswith(b".py")), first)
    return "/".join(Path(script).parts[-2:]) if script != first else Path(first.split(" ")[0]).name
