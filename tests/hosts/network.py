"""Network: two bridges in a namespace of their own; a port that is down is a cable that is out."""

import contextlib
import os
import subprocess
from types import TracebackType
from typing import Literal, Self

from hosts.namespaces import inside

__all__ = ["CABLES", "Cable", "Network"]

Cable = Literal["cluster", "services"]
"""Ray's nodes talk over the first; stores, providers and objects are on the second, so that a host can lose one and keep the other."""

CABLES: tuple[Cable, ...] = ("cluster", "services")
_PREFIX: dict[Cable, str] = {"cluster": "198.51.100", "services": "203.0.113"}
_HERE = 254
"""The number of whoever made the network: it has a cable to each bridge."""


class Network:
    """`with Network() as network: network.plug("node-1", pid, 1)`; nothing leaves it, and it is gone with the process that made it."""

    def __enter__(self) -> Self:
        # The namespace lives as long as this process, which ends with its parent.
        bridges = (
            'for name; do ip link add "$name" type bridge forward_delay 0; ip link set "$name" up; done; echo made; exec sleep infinity'
        )
        command = ["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "bash", "-c", bridges, "switch", *CABLES]
        self._switch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._switch.stdout is not None
        if self._switch.stdout.readline() != "made\n":
            raise RuntimeError("no bridge can be made")
        self.plug("here", os.getpid(), _HERE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unplug("here")
        self._switch.kill()
        self._switch.wait()
        assert self._switch.stdout is not None
        self._switch.stdout.close()

    @staticmethod
    def address(number: int, cable: Cable = "cluster") -> str:
        """Return a host's address by its number."""
        return f"{_PREFIX[cable]}.{number}"

    @property
    def here(self) -> str:
        """The address of whoever made the network, on the services' side."""
        return self.address(_HERE, "services")

    def plug(self, name: str, pid: int, number: int) -> None:
        """Give the namespace of a process a cable to each bridge."""
        for cable in CABLES:
            port, end = _port(cable, name), f"{cable[0]}-{name}"[:15] if pid == os.getpid() else cable
            self._on_switch("ip", "link", "add", port, "type", "veth", "peer", "name", end, "netns", str(pid))
            self._on_switch("ip", "link", "set", port, "master", cable, "up")
            _do(*inside(pid, "ip", "address", "add", f"{self.address(number, cable)}/24", "dev", end))
            _do(*inside(pid, "ip", "link", "set", end, "up"))

    def unplug(self, name: str) -> None:
        """Take a host off the bridges: its namespace may outlive its processes by a moment."""
        for cable in CABLES:
            with contextlib.suppress(subprocess.CalledProcessError):  # gone already
                self._on_switch("ip", "link", "delete", _port(cable, name))

    def cut(self, name: str, *cables: Cable) -> None:
        """Take cables out: what is sent is lost, in both directions, and nobody is told."""
        self._set("down", name, cables)

    def mend(self, name: str, *cables: Cable) -> None:
        """Put them back."""
        self._set("up", name, cables)

    def _set(self, state: str, name: str, cables: tuple[Cable, ...]) -> None:
        for cable in cables or CABLES:
            self._on_switch("ip", "link", "set", _port(cable, name), state)

    def _on_switch(self, *command: str) -> None:
        _do(*inside(self._switch.pid, *command))


def _port(cable: Cable, name: str) -> str:
    return f"{cable[0]}.{name}"[:15]


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
