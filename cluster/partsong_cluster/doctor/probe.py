"""Probe: facts about the machine that it runs on. It travels to the nodes by value, and needs nothing but Python there."""

import os
import platform
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Facts", "Wanted", "probed"]

_LISTENS = "0A"


class Wanted(NamedTuple):
    """What is to be looked for besides."""

    variables: tuple[str, ...] = ()
    """Environment variables, by name; what they hold is not read."""
    addresses: tuple[tuple[str, int], ...] = ()
    """Hosts and ports that must be reached."""


class Facts(NamedTuple):
    """What was found."""

    where: str
    hostname: str
    python: str
    ray: str
    partsong: str
    """Empty where it is not installed."""
    clock_s: float
    listens: dict[int, tuple[str, ...]]
    """Local addresses by port."""
    disk_free: int
    disk_total: int
    shm_total: int
    shm_free: int
    open_files: int
    token_file: str
    """From which Ray reads the token here; empty where a variable holds it."""
    token_mode: int | None
    """That file's permissions; None where there is none."""
    auth_mode: str
    tls: bool
    certificate_days: float | None
    """Until the node's certificate ends; None where there is none, or it cannot be read."""
    variables: dict[str, bool]
    reaches: dict[str, str]
    """By `host:port`: empty, or why not."""


def probed(where: str, wanted: Any) -> Any:
    """Return what there is, as a tuple of the fields of Facts: the class itself need not be known where this runs."""
    variables, addresses = wanted
    temp = "/tmp/ray" if Path("/tmp/ray").exists() else "/tmp"  # noqa: S108  Ray's own place
    disk = shutil.disk_usage(temp)
    token_file = "" if os.environ.get("RAY_AUTH_TOKEN", "").strip() else os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    shm = shutil.disk_usage("/dev/shm") if Path("/dev/shm").exists() else None  # noqa: S108
    return (
        where,
        socket.gethostname(),
        platform.python_version(),
        _version("ray"),
        _version("partsong"),
        time.time(),
        _listens(),
        disk.free,
        disk.total,
        shm.total if shm else 0,
        shm.free if shm else 0,
        _open_files(),
        token_file,
        _mode(Path(token_file).expanduser()) if token_file else None,
        os.environ.get("RAY_AUTH_MODE", ""),
        os.environ.get("RAY_USE_TLS", "0") in ("1", "true", "True"),
        _certificate_days(os.environ.get("RAY_TLS_SERVER_CERT", "")),
        {name: bool(os.environ.get(name, "").strip()) for name in variables},
        {f"{host}:{port}": _reached(host, port) for host, port in addresses},
    )


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _listens() -> dict[int, tuple[str, ...]]:
    found: dict[int, set[str]] = {}
    for file, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        try:
            lines = Path(file).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            if state == _LISTENS:
                address, _, port = local.partition(":")
                found.setdefault(int(port, 16), set()).add(_address(address, family))
    return {port: tuple(sorted(addresses)) for port, addresses in found.items()}


def _address(written: str, family: int) -> str:
    raw = bytes.fromhex(written)
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]  # the kernel writes each four bytes in the machine's order
    return socket.inet_ntop(family, b"".join(words))


def _open_files() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _mode(file: Path) -> int | None:
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return None


def _certificate_days(file: str) -> float | None:
    if not file or not Path(file).is_file() or not shutil.which("openssl"):
        return None
    from datetime import datetime, timezone

    told = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", file], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603, S607
    try:
        ends = datetime.strptime(told.stdout.strip().removeprefix("notAfter="), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=timezone.utc)  # noqa: UP017
    except ValueError:
        return None
    return (ends.timestamp() - time.time()) / 86_400


def _reached(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), 5.0).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
