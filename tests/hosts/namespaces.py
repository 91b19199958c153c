"""Namespaces: what of Linux hosts are made of, and whether it is to be had here."""

import shutil
import subprocess
from pathlib import Path

__all__ = ["REPOSITORY", "inside", "why_not"]

REPOSITORY = Path(__file__).resolve().parent.parent.parent
_TOOLS = ("ip", "unshare", "nsenter", "mount", "hostname")


def why_not() -> str | None:
    """Return why hosts cannot be had here; None when they can."""
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"hosts need {', '.join(missing)} (Debian: iproute2, util-linux, hostname)"
    if REPOSITORY.is_relative_to("/tmp"):
        return "hosts have a /tmp of their own, and this checkout lies in /tmp"
    spaces = ["--net", "--pid", "--fork", "--mount", "--mount-proc", "--uts", "--ipc"]
    tried = subprocess.run(["unshare", *spaces, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"hosts need namespaces: {tried.stderr.strip()}"
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    if any(": lo:" not in link for link in links):
        return "hosts are reached from a network namespace of one's own: run it under scripts/alone"
    return None


def inside(pid: int, *command: str) -> list[str]:
    """Return the command, in the network namespace of a process."""
    return ["nsenter", "--target", str(pid), "--net", "--", *command]
