"""Places: addresses, ports and files of the cluster on this machine."""

import os
import secrets
import socket
import tempfile
from pathlib import Path

__all__ = [
    "DASHBOARD",
    "HEAD",
    "NODES",
    "STORE_PORT",
    "TroubleError",
    "address_of",
    "check_free",
    "environment",
    "folder",
    "token",
]

NODES = (1, 2, 3)
"""The first is the head."""

_GCS_PORT = 6389
_CLIENT_PORT = 10389
STORE_PORT = 5439
_DASHBOARD_PORT = 8265

DASHBOARD = f"http://127.0.0.1:{_DASHBOARD_PORT}"
"""Ray's dashboard and job API."""


class TroubleError(Exception):
    """What the user is to know, and can do something about."""


def address_of(node: int) -> str:
    """Return a node's own loopback address: Linux answers to all of 127.0.0.0/8, and Ray rewrites no other than 127.0.0.1."""
    return f"127.0.0.{node + 1}"


HEAD = f"{address_of(1)}:{_GCS_PORT}"
"""What nodes and drivers join."""


def folder() -> Path:
    """Return the folder of everything that the cluster keeps, which nobody else may read; its name is short, as Ray's sockets lie in it."""
    made = Path(tempfile.gettempdir(), f"partsong-{os.getuid()}")
    made.mkdir(mode=0o700, exist_ok=True)
    if made.stat().st_uid != os.getuid() or made.is_symlink():
        raise TroubleError(f"{made} belongs to somebody else: set TMPDIR to a folder of your own")
    return made


def token() -> str:
    """Return the token without which Ray answers nobody; it is made once."""
    file = folder() / "token"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()


def environment() -> dict[str, str]:
    """Return what whoever talks to the cluster needs in its environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder() / "token"),
        "RAY_API_SERVER_ADDRESS": DASHBOARD,
        "RAY_ADDRESS": HEAD,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def check_free() -> None:
    """Raise TroubleError with what to do when a port is taken."""
    wanted = {_DASHBOARD_PORT: "the dashboard", _GCS_PORT: "Ray", _CLIENT_PORT: "Ray's clients", STORE_PORT: "PostgreSQL"}
    taken = [f"{port} ({what})" for port, what in wanted.items() if _is_taken(port)]
    if taken:
        which = "port" if len(taken) == 1 else "ports"
        raise TroubleError(
            f"{which} {', '.join(taken)} of this machine {'is' if len(taken) == 1 else 'are'} taken: another Ray or PostgreSQL may run here"
            f" (`ss -ltnp` shows it). End it, then try again."
        )


def _is_taken(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("0.0.0.0", port))  # noqa: S104  Ray's own servers bind all addresses
        except OSError:
            return True
    return False
