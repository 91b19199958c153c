"""Store: the cluster's PostgreSQL, on a loopback address, with a password that is made once."""

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from local_cluster.places import STORE_PORT, TroubleError, folder

__all__ = ["environment", "is_up", "shown", "start", "stop"]

_OWNER = "postgres"
"""Who runs it when root starts the cluster: PostgreSQL refuses root."""


def shown() -> str:
    """Return its address, without the password."""
    return f"127.0.0.1:{STORE_PORT}"


def environment() -> dict[str, str]:
    """Return what its clients need; deploy/three-nodes.yaml names the same variable."""
    return {"PARTSONG_STORE_PASSWORD": _password()}


def start() -> None:
    """Start it, and make it first where there is none. Raises TroubleError."""
    data = _files() / "data"
    if not data.exists():
        _make(data)
    options = f"-c listen_addresses=127.0.0.1 -c port={STORE_PORT} -c unix_socket_directories='' -c max_connections=200"
    _control("pg_ctl", "start", "--wait", "--silent", "-D", str(data), "-l", str(_files() / "log"), "-o", options)
    psql = ["psql", "--no-psqlrc", "--quiet", "--host=127.0.0.1", f"--port={STORE_PORT}", "--username=partsong", "--tuples-only"]
    if "1" not in _control(*psql, "--command=select 1 from pg_database where datname = 'partsong'", "postgres"):
        _control(*psql, "--command=create database partsong", "postgres")


def is_up() -> bool:
    """Return whether it runs."""
    return (_files() / "data" / "postmaster.pid").exists()


def stop() -> bool:
    """Stop it; return whether it ran. What it holds stays."""
    if not is_up():
        return False
    _control("pg_ctl", "stop", "--wait", "--silent", "--mode=fast", "-D", str(_files() / "data"), check=False)
    return True


def _make(data: Path) -> None:
    password = _files() / "password"
    password.touch(mode=0o600)
    password.write_text(_password())
    if _is_root():
        shutil.chown(password, _OWNER)
    access = ["--username=partsong", f"--pwfile={password}", "--auth=scram-sha-256"]
    _control("initdb", "--pgdata", str(data), *access, "--encoding=UTF8", "--locale=C.UTF-8")
    password.unlink()


def _password() -> str:
    file = folder() / "store-password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
    return file.read_text()


def _files() -> Path:
    """Return the folder of its files; its owner must be able to reach it."""
    if not _is_root():
        made = folder() / "postgres"
        made.mkdir(mode=0o700, exist_ok=True)
        return made
    made = folder().with_name(f"{folder().name}-store")
    if not made.exists():
        made.mkdir(mode=0o700)
        try:
            shutil.chown(made, _OWNER)
        except LookupError:
            raise TroubleError(f"PostgreSQL refuses root, and there is no user {_OWNER}: start the cluster as another user") from None
    elif made.is_symlink() or made.stat().st_uid != pwd.getpwnam(_OWNER).pw_uid:
        raise TroubleError(f"{made} belongs to somebody else: set TMPDIR to a folder of your own")
    return made


def _is_root() -> bool:
    return os.getuid() == 0


def _control(program: str, *arguments: str, check: bool = True) -> str:
    """Run one of PostgreSQL's programs, as a user that it accepts; return what it said."""
    owner = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups"] if _is_root() else []
    variables = {**os.environ, "PGPASSWORD": _password()}
    command = [*owner, _program(program), *arguments]
    with (folder() / "store.said").open("w+") as said:  # a file: the server keeps what it is given open
        done = subprocess.run(
            command,
            env=variables,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
            timeout=120,
            start_new_session=True,
        )
        said.seek(0)
        words = said.read()
    if check and done.returncode:
        raise TroubleError(f"PostgreSQL's {program} failed: {words.strip()}")
    return words


def _program(name: str) -> str:
    """Return a program's path: Debian keeps them out of PATH, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise TroubleError("PostgreSQL is not installed here: `apt-get install postgresql` (Debian), or your system's own package")
    return path
