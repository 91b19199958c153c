"""PostgreSQL address: `postgresql://user@host/database`, and where the password is that must not stand in it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from partsong.contracts.credentials import credential_in
from partsong.errors import Place, StoreError

__all__ = ["PostgresAddress", "is_postgres"]

_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
_PASSWORD_ENV = "password_env"  # noqa: S105  the name of a name
_REFERENCE = "take it out, change it, and name the variable that holds it: ?password_env=PARTSONG_STORE_PASSWORD"


def is_postgres(url: str) -> bool:
    """Return whether it is the address of a PostgreSQL database."""
    return url.partition(":")[0] in _SCHEMES


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a PostgreSQL store is, and who may in."""

    dsn: str
    """What the driver takes: hosts, database, `sslmode` and the like; the password is not in it."""
    password: str | None
    """None: PGPASSWORD or the user's password file, as every client of PostgreSQL takes them."""
    shown: str
    """What may be printed."""
    user: str
    database: str

    @classmethod
    def of(cls, url: str, env: Mapping[str, str] = os.environ) -> "PostgresAddress":
        """Read it; StoreError when it cannot be used or holds a password itself."""
        parts = urlsplit(url)
        account, _, hosts = parts.netloc.rpartition("@")
        user = account.partition(":")[0]
        shown = f"postgresql://{f'{user}@' if user else ''}{hosts}{parts.path}"
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if credential_in(url):
            raise StoreError("literal-secret", "the store's address holds a password", at=_place(shown), remedy=_REFERENCE)
        database = parts.path.removeprefix("/")
        if not database:
            remedy = "write postgresql://user@host/database"
            raise StoreError("store-scheme", "the store's address names no database", at=_place(shown), remedy=remedy)
        password = _password(query.pop(_PASSWORD_ENV, None), env, shown)
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))
        return cls(dsn, password, shown, user or env.get("PGUSER", ""), database)

    @property
    def at(self) -> Place:
        """Where errors about it point."""
        return _place(self.shown)


def _password(name: str | None, env: Mapping[str, str], shown: str) -> str | None:
    if name is None:
        return None
    if not env.get(name):
        what = f"environment variable {name}, which holds the store's password, is not set"
        raise StoreError("missing-secret", what, at=_place(shown), remedy=f"export {name}=... on every node where a journal may run")
    return env[name]


def _place(shown: str) -> Place:
    return Place(shown)
