"""Host: a machine with an address, processes, a disk and cables of its own; it can lose its power and its cables."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hosts.network import CABLES, Cable, Network

__all__ = ["DISK", "Host"]

DISK = Path("/mnt")
"""Where a host's disk is on every host: the same path, and never the same files."""

_INIT = """\
set -e
hostname "$1"
ip link set lo up
mount --bind "$2" /mnt
mount --bind /mnt/tmp /tmp
mount --bind /mnt/hosts /etc/hosts
mount -t tmpfs tmpfs /dev/shm
echo up
while :; do sleep 1000; done
"""
"""The host's first process: it reaps what loses its parent."""


class Host:
    """Off until `start`; its disk outlives its power."""

    def __init__(self, network: Network, name: str, number: int, folder: Path, names: Mapping[str, str] | None = None) -> None:
        """`names` are what it finds in its /etc/hosts."""
        self.network = network
        self.name = name
        self.number = number
        self.address = network.address(number)
        self.services_address = network.address(number, "services")
        self.disk = folder / name
        """Where its disk is seen from here."""
        self._names = {name: self.address, **(names or {})}
        self._spawned: list[subprocess.Popen[bytes]] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Switch it on: nothing runs on it yet. What was in /tmp is gone, the rest of its disk is as it was."""
        shutil.rmtree(self.disk / "tmp", ignore_errors=True)
        for folder in ("tmp", "home", "logs"):
            (self.disk / folder).mkdir(parents=True, exist_ok=True)
        (self.disk / "tmp").chmod(0o1777)
        (self.disk / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in self._names.items()))
        namespaces = ["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--uts", "--ipc"]
        command = ["unshare", *namespaces, "bash", "-c", _INIT, "host", self.name, str(self.disk)]
        with (self.disk / "logs" / "host.log").open("ab") as said:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "up\n":
            raise RuntimeError(f"{self.name} does not start: {self.said('host.log')}")
        self.network.plug(self.name, self._process.pid, self.number)

    @property
    def is_up(self) -> bool:
        """Whether it has power."""
        return self._process is not None

    def kill(self) -> None:
        """Take its power: all its processes are gone at once, and nobody is told."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)  # the kernel ends all others before this one is gone
        self._process.wait()
        self.network.unplug(self.name)
        assert self._process.stdout is not None
        self._process.stdout.close()
        for process in self._spawned:
            process.wait()
        self._spawned.clear()
        self._process = None

    def partition(self, *cables: Cable) -> None:
        """Cut it off, over these cables or all of them; it goes on running."""
        self.network.cut(self.name, *(cables or CABLES))

    def heal(self) -> None:
        """Put all its cables back."""
        self.network.mend(self.name, *CABLES)

    def run(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        check: bool = True,
        folder: Path = DISK,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end; raises RuntimeError with what it said when it fails."""
        inside = self._inside(command, environment, folder)
        done = subprocess.run(inside, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            said = (done.stdout + done.stderr)[-4000:]
            raise RuntimeError(f"{self.name}: {' '.join(map(str, command))} ended with {done.returncode}: {said}")
        return done

    def spawn(
        self, *command: str | Path, log: str, environment: Mapping[str, str] | None = None, folder: Path = DISK
    ) -> "subprocess.Popen[bytes]":
        """Start a command on it that goes on; what it says is `said(log)`."""
        with (self.disk / "logs" / log).open("ab") as out:
            inside = self._inside(command, environment, folder)
            process = subprocess.Popen(inside, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self._spawned.append(process)
        return process

    def clear(self) -> None:
        """Kill all that runs on it; its power stays on."""
        self.run("sh", "-c", "kill -KILL -1", check=False)

    def said(self, log: str) -> str:
        """Return what a spawned command has said."""
        return (self.disk / "logs" / log).read_text(errors="replace")

    def processes(self) -> dict[int, str]:
        """Return its processes as they are seen from here, by number, each with its command line or title."""
        space = Path(f"/proc/{self.first}/ns/pid").readlink()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # ended meanwhile
                    if (entry / "ns/pid").readlink() == space:
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    @property
    def first(self) -> int:
        """The first process of the host."""
        assert self._process is not None, f"{self.name} is off"
        parent = self._process.pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])

    def _inside(self, command: tuple[str | Path, ...], environment: Mapping[str, str] | None, folder: Path) -> list[str]:
        assert self._process is not None, f"{self.name} is off"
        parent = self._process.pid
        spaces = [f"--pid=/proc/{parent}/ns/pid_for_children", "--net", "--mount", "--uts", "--ipc"]
        plain = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(DISK / "home"),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            **{name: value for name, value in os.environ.items() if name == "PYTHONPATH"},
        }
        variables = [f"{name}={value}" for name, value in (plain | dict(environment or {})).items()]
        enter = ["nsenter", "--target", str(parent), *spaces, "--", "env", "-i", f"--chdir={folder}", *variables]
        return [*enter, *map(str, command)]
