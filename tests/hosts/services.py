"""Services: PostgreSQL, an S3 server and a provider that counts, each on a host of its own, apart from Ray's nodes."""

import json
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import Request, urlopen

from providers.process import RunningServer

from hosts.host import DISK, Host
from hosts.namespaces import REPOSITORY
from hosts.network import Network

__all__ = ["DATABASE_PASSWORD", "S3_ENVIRONMENT", "PostgresHost", "S3Host", "UpstreamHost"]

_TESTS = REPOSITORY / "tests"
_STARTS_WITHIN_S = 60.0

DATABASE_PASSWORD = "canaryDB-52a1"

S3_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "canaryS3-key", "AWS_SECRET_ACCESS_KEY": "canaryS3-secret", "AWS_DEFAULT_REGION": "us-east-1"}


class _Service:
    """A host that is up while it is in use."""

    def __init__(self, network: Network, name: str, number: int, folder: Path) -> None:
        self.host = Host(network, name, number, folder)

    def __enter__(self) -> Self:
        self.host.start()
        try:
            self._begin()
        except BaseException:
            self.host.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.host.kill()

    def _begin(self) -> None:
        raise NotImplementedError

    def _spawn(self, module: str, *arguments: str) -> str:
        """Start one of our servers; return the address that it says."""
        log = f"{module}.log"
        process = self.host.spawn("python", "-u", "-m", module, "--host", self.host.services_address, *arguments, log=log, folder=_TESTS)
        until_s = time.monotonic() + _STARTS_WITHIN_S
        while "listening on" not in self.host.said(log):
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"{module} does not listen: {self.host.said(log)}")
            time.sleep(0.05)
        return self.host.said(log).rpartition("listening on ")[2].split()[0]


class UpstreamHost(_Service):
    """A provider that answers with what it was asked, and by whom: `small: the prompt`; it counts all of it."""

    def __init__(self, network: Network, folder: Path, *, latency_s: float = 0.05, number: int = 201) -> None:
        super().__init__(network, "upstream", number, folder)
        self._latency_s = latency_s

    def _begin(self) -> None:
        url = self._spawn("chaos.upstream", "--port", "8000", "--latency", str(self._latency_s), "--key", "k")
        self.server = RunningServer(url, self.host.first)

    @property
    def url(self) -> str:
        return self.server.url


class S3Host(_Service):
    """An S3 server; what it holds is in its memory."""

    def __init__(self, network: Network, folder: Path, number: int = 202) -> None:
        super().__init__(network, "s3", number, folder)

    def _begin(self) -> None:
        self.url = self._spawn("hosts.s3", "--port", "9000")

    def shut(self, for_s: float) -> None:
        """Answer 503 for so long."""
        urlopen(Request(f"{self.url}/_shut?{for_s}", b""), timeout=10).close()

    def stats(self) -> dict[str, int]:
        """Return how many requests it turned away and let in."""
        with urlopen(f"{self.url}/_stats", timeout=10) as answer:
            counted: dict[str, int] = json.load(answer)
        return counted

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}


class PostgresHost(_Service):
    """A PostgreSQL with one database, `partsong`, and a password; its data outlives its power."""

    def __init__(self, network: Network, folder: Path, number: int = 203) -> None:
        super().__init__(network, "postgres", number, folder)

    @property
    def url(self) -> str:
        """The password is not in it, but in PGPASSWORD."""
        return f"postgresql://partsong@{self.host.services_address}/partsong"

    @property
    def environment(self) -> dict[str, str]:
        return {"PGPASSWORD": DATABASE_PASSWORD}

    def _begin(self) -> None:
        (self.host.disk / "password").write_text(DATABASE_PASSWORD)
        self._control("mkdir", "-p", str(DISK / "postgres"), as_owner=False)
        self._control("chown", "postgres", str(DISK / "postgres"), as_owner=False)
        access = ["--username=partsong", f"--pwfile={DISK / 'password'}", "--auth=scram-sha-256"]
        self._control("initdb", "--pgdata", _PGDATA, *access, "--encoding=UTF8", "--locale=C.UTF-8")
        with (self.host.disk / "postgres" / "data" / "pg_hba.conf").open("a") as access_file:
            access_file.write("host all all 203.0.113.0/24 scram-sha-256\n")
        self.start()
        environment = [f"PGPASSWORD={DATABASE_PASSWORD}", "PGHOST=/tmp", "PGUSER=partsong"]
        self._control("env", *environment, str(_BINARIES / "createdb"), "partsong")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-c listen_addresses={self.host.services_address} -c unix_socket_directories=/tmp -c max_connections=200"
        options += " -c track_commit_timestamp=on"  # since when a row is there: `pg_xact_commit_timestamp(xmin)`
        self._control("pg_ctl", "start", "--wait", "--silent", "-D", _PGDATA, "-l", str(DISK / "postgres" / "log"), "-o", options)

    def stop(self, how: str = "fast") -> None:
        """Stop it: `fast` closes connections, `immediate` is as a crash."""
        self._control("pg_ctl", "stop", "--wait", "--silent", "-D", _PGDATA, "--mode", how)

    def asked(self, query: str) -> list[list[str]]:
        """Return the rows that a query finds, as text."""
        command = [_BINARIES / "psql", "--no-psqlrc", "--tuples-only", "--csv", "-h", "/tmp", "-U", "partsong", "-c", query, "partsong"]
        said = self.host.run(*command, environment=self.environment).stdout
        return [line.split(",") for line in said.splitlines()]

    def said(self) -> str:
        """Return its log."""
        return (self.host.disk / "postgres" / "log").read_text(errors="replace")

    def _control(self, program: str, *arguments: str, as_owner: bool = True) -> None:
        """Run one of PostgreSQL's programs, as a user that it accepts."""
        owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if as_owner else []
        named = _BINARIES / program
        self.host.run(*owner, named if named.exists() else program, *arguments)


_PGDATA = str(DISK / "postgres" / "data")


def _newest() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else Path(shutil.which("postgres") or "/nowhere/postgres").parent


_BINARIES = _newest()
