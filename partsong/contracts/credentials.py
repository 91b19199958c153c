"""Credentials in URLs: recognised, so that an address which travels and is shown holds none."""

import re
from urllib.parse import parse_qsl, urlsplit

__all__ = ["credential_in"]

_ENDINGS = ("signature", "token", "password", "passwd", "pwd", "secret", "credential", "credentials", "apikey", "secretkey", "accesskey")
_ENDINGS_OF_IDS = ("accesskeyid", "googleaccessid", "accountkey", "privatekey")
_NAMES = frozenset({"sig", "key", "sas", "auth", "pass"})
_CHAINED = re.compile(r"::(?![^\[]*\])")
"""Between links of a chained URL, and not within an address of IPv6."""
_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")


def credential_in(url: str) -> str:
    """Return what of the URL is a credential, in words that do not tell it; empty when nothing is.

    A password before the host, whoever signs in over HTTP, and query keys that signed links, tokens and passwords have. A name alone is
    none (`sftp://user@host`, `abfs://container@account`), nor is a variable's (`?password_env=NAME`). Chained URLs (`zip://*::s3://...`)
    are looked at link by link.
    """
    return next((found for link in _CHAINED.split(url) if (found := _credential_in(link))), "")


def _credential_in(link: str) -> str:
    scheme, separator, rest = link.partition("://")
    if not separator:
        return ""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    account, at, hosts = authority.rpartition("@")
    if ":" in account or (at and account and scheme in ("http", "https")):
        return "a password before the host"
    if not at and not all(_PORT.fullmatch(host) for host in hosts.split(",")):
        return "a password before the host"  # one with a slash in it, as keys of S3 have: no port looks like that
    try:
        query = urlsplit(link).query
    except ValueError:  # no URL at all: whoever opens it says so
        return ""
    return next((f"a credential, `{name}`" for name, _ in parse_qsl(query) if _names_a_credential(name)), "")


def _names_a_credential(name: str) -> bool:
    letters = re.sub(r"[^a-z]", "", name.lower())
    return letters in _NAMES or letters.endswith((*_ENDINGS, *_ENDINGS_OF_IDS))
