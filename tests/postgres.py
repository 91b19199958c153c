"""A real PostgreSQL for tests, started by the project's own script: stopped, killed and started again as a test wants it."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

__all__ = ["Postgres", "postgres", "postgres_server"]

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "postgres"
_STARTS_WITHIN_S = 60.0


class Postgres:
    """One server; its databases outlive its stops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._address = "127.0.0.1:0"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text()

    @property
    def address(self) -> str:
        """Host and port; the same after a restart."""
        return self._address

    def start(self) -> None:
        """Start it, and return when it takes connections; it ends with the thread that started it."""
        command = [str(_SCRIPT), str(self.folder), self._address, "-c", "fsync=off", "-c", "max_connections=60"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
        self._address = urlsplit(line).netloc.rpartition("@")[2].strip()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by default it ends its sessions and goes; SIGQUIT is a crash."""
        if self._process is None:
            return
        self._process.send_signal(how)
        with closing(self._process.stdout):  # type: ignore[type-var]
            self._process.wait(_STARTS_WITHIN_S)
        self._process = None

    def freeze(self, *, frozen: bool = True) -> None:
        """Let all its processes stand still, or go on: connections stay, and nobody answers."""
        assert self._process is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def database(self) -> str:
        """Make a new database, and return its address."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.tool("createdb", name)
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://partsong@{self._address}/{database}"

    def sql(self, database: str, command: str) -> str:
        """Return what a command says, one line a row."""
        name = database.rpartition("/")[2]
        return self.tool("psql", "-qtAX", "-d", name, "-c", command)

    def tool(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's own programs against it; return what it says."""
        host, _, port = self._address.rpartition(":")
        env = {**os.environ, "PGPASSWORD": self.password, "PGHOST": host, "PGPORT": port, "PGUSER": "partsong"}
        done = subprocess.run([_program(program), *arguments], env=env, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start a server, and end it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="partsong-postgres-"))
    folder.chmod(0o755)
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The session's server, as this process's environment gives its password."""
    if not _found("initdb"):
        pytest.skip("PostgreSQL is not installed here (scripts/install-system-packages)")
    server = _of_session()
    monkeypatch.setenv("PGPASSWORD", server.password)
    return server


@cache
def _of_session() -> Postgres:
    running = postgres_server()
    server = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    return server


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _program(name: str) -> str:
    found = _found(name)
    assert found, f"{name} is not installed here"
    return found


def _found(name: str) -> str | None:
    """Debian keeps PostgreSQL's programs out of PATH, by version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)
